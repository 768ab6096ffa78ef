/* SPDX-License-Identifier: MIT */
/* config_fuzz.c - configuration files: any text, and what is taken can be printed and read again.
 */
#include "fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/config.h"
#include "cli/dryrun.h"
#include "fuzz/fuzz_testbed.h"
#include "sundog/err.h"

struct args {
	bool flag;
	const char *kernel, *console, *addr;
	u64 memory;
	unsigned cpus;
	struct strlist devices, disks;
	struct config config;
};

#define AT(member) offsetof(struct args, member)

static const struct option table[] = {
	{"stats", NULL, "", OPTION_FLAG, AT(flag)},
	{"memory", "SIZE", "", OPTION_SIZE, AT(memory)},
	{"cpus", "N", "", OPTION_NUM, AT(cpus)},
	{"kernel", "FILE", "", OPTION_STR, AT(kernel), .path = ""},
	{"console", "WHERE", "", OPTION_STR, AT(console), .path = "file:"},
	{"device", "SPEC", "", OPTION_LIST, AT(devices), .first = "name"},
	{"disk", "SPEC", "", OPTION_LIST, AT(disks), .path = "", .first = "file",
	 .path_keys = "overlay backing"},
	{"gdb", "HOST:PORT", "", OPTION_ADDR, AT(addr), ":1234"},
	{"file", "FILE", "", OPTION_FILE, AT(config), .letter = 'f', .only_here = true},
	{NULL},
};

/* What was printed, or NULL if it cannot be: a value is not UTF-8. */
static char *print(const struct args *a, bool json, size_t *len)
{
	struct err e = {0};
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	int r;

	CHECK(f);
	r = print_options(table, a, json, f, &e);
	fclose(f);
	CHECK(!r || (e.code && e.msg[0]));
	if (!r)
		return text;
	free(text);
	return NULL;
}

static void done(struct args *a)
{
	strlist_free(&a->devices);
	strlist_free(&a->disks);
	config_free(&a->config);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct args a = {0}, b = {0};
	struct err e = {0};
	char *first, *second;
	size_t len, len2;

	if (config_parse(table, "x,y/vm.yaml", data, size, &a, &a.config, &e)) {
		CHECK(e.code && e.msg[0]);
		done(&a);
		return 0;
	}
	first = print(&a, size & 1, &len);
	if (first) {
		CHECK(!config_parse(table, "vm.yaml", first, len, &b, &b.config, &e));
		second = print(&b, size & 1, &len2);
		CHECK(second && len == len2 && memcmp(first, second, len) == 0);
		free(second);
	}
	free(first);
	done(&a);
	done(&b);
	return 0;
}
