/* SPDX-License-Identifier: MIT */
/*
 * Tests of cloud-init seeds.  "seed_test --write FILE OPTION..." writes one instead, for judges:
 * user=NAME, key=FILE, hostname=NAME, data=FILE.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "cli/seed.h"
#include "cli/sshkey.h"
#include "sundog/err.h"

#define KEY            \
	"ssh-ed25519 " \
	"AAAAC3NzaC1lZDI1NTE5AAAAIB4Yb0CVmcXYnlLzJWGBDgvKtAiOfKkqHdYFTqmnHPDV"

/* The file of that name in a seed, allocated; NULL: there is none. */
static char *file_of(int fd, const char *name)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char *text = NULL;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(archive_read_support_format_iso9660(a), ARCHIVE_OK);
	assert_int_equal(archive_read_open_fd(a, fd, 2048), ARCHIVE_OK);
	while (!text && archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		size_t size = archive_entry_size(entry);

		if (strcmp(archive_entry_pathname(entry), name) != 0)
			continue;
		text = calloc(1, size + 1);
		assert_int_equal(archive_read_data(a, text, size), size);
	}
	archive_read_free(a);
	return text;
}

static void expect_file(int fd, const char *name, const char *want)
{
	char *text = file_of(fd, name);

	if (want)
		assert_string_equal(text, want);
	else
		assert_null(text);
	free(text);
}

/* A file that is gone at the end of the test program. */
static const char *temp_file(const char *text)
{
	static char names[8][32];
	static unsigned n;
	char *name = names[n++ % 8];
	int fd;

	snprintf(name, 32, "/tmp/seed_test.XXXXXX");
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return name;
}

static int new_seed(const struct seed_cfg *cfg)
{
	struct err e = {0};
	int fd = seed_new(cfg, &e);

	if (fd < 0)
		fail_msg("%s", e.msg);
	return fd;
}

static void has_what_cloud_init_reads(void **state)
{
	const char *keys[] = {temp_file("# mine\n\n" KEY " me@here\r\n" KEY "\n"), NULL};
	const struct seed_cfg cfg = {.user = "ada", .hostname = "dog", .ssh_keys = keys};
	int fd = new_seed(&cfg), again = new_seed(&cfg);
	char *meta, label[6], byte = 0;

	expect_file(fd, "user-data",
		    "#cloud-config\n"
		    "users:\n"
		    "- name: 'ada'\n"
		    "  shell: '/bin/bash'\n"
		    "  lock_passwd: true\n"
		    "  sudo: 'ALL=(ALL) NOPASSWD:ALL'\n"
		    "  ssh_authorized_keys:\n"
		    "  - '" KEY " me@here'\n"
		    "  - '" KEY "'\n");
	expect_file(fd, "network-config",
		    "version: 2\n"
		    "ethernets:\n"
		    "  e*:\n"
		    "    match:\n"
		    "      name: 'e*'\n"
		    "    dhcp4: true\n");
	expect_file(fd, "vendor-data", NULL);
	meta = file_of(fd, "meta-data");
	assert_non_null(strstr(meta, "\nlocal-hostname: 'dog'\n"));
	expect_file(again, "meta-data", meta);
	/* ECMA-119, 8.4.7: the volume identifier, which libarchive writes in capitals. */
	assert_int_equal(pread(fd, label, 6, 16 * 2048 + 40), 6);
	assert_memory_equal(label, "CIDATA", 6);
	assert_int_equal(pwrite(fd, &byte, 1, 0), -1);
	free(meta);
	close(fd);
	close(again);
	unlink(keys[0]);
}

static void each_content_is_an_instance(void **state)
{
	int one = new_seed(&(struct seed_cfg){.user = "ada"});
	int two = new_seed(&(struct seed_cfg){.user = "bob"});
	char *a = file_of(one, "meta-data"), *b = file_of(two, "meta-data");

	assert_int_equal(strncmp(a, "instance-id: 'sundog-", 21), 0);
	assert_string_not_equal(a, b);
	free(a);
	free(b);
	close(one);
	close(two);
}

static void users_file_has_the_last_word(void **state)
{
	const char *data = temp_file("#!/bin/sh\nexit 0\n");
	int fd = new_seed(&(struct seed_cfg){.user = "ada", .user_data = data});
	char *vendor = file_of(fd, "vendor-data");

	expect_file(fd, "user-data", "#!/bin/sh\nexit 0\n");
	assert_non_null(strstr(vendor, "name: 'ada'"));
	free(vendor);
	close(fd);
	unlink(data);
}

static void keys_alone_are_the_distributions_user(void **state)
{
	const char *keys[] = {temp_file(KEY), NULL};
	int fd = new_seed(&(struct seed_cfg){.ssh_keys = keys});

	expect_file(fd, "user-data", "#cloud-config\nssh_authorized_keys:\n- '" KEY "'\n");
	close(fd);
	unlink(keys[0]);
}

static void expect_error(struct seed_cfg cfg, int code, const char *message)
{
	struct err e = {0};

	assert_int_equal(seed_new(&cfg, &e), code);
	if (!strstr(e.msg, message))
		fail_msg("\"%s\" is not in \"%s\"", message, e.msg);
}

static void expect_bad_key(const char *text, const char *message)
{
	const char *keys[] = {temp_file(text), NULL};

	expect_error((struct seed_cfg){.ssh_keys = keys}, -EINVAL, message);
	unlink(keys[0]);
}

static void refuses_what_is_none(void **state)
{
	expect_error((struct seed_cfg){.user = ""}, -EINVAL, "no user name");
	expect_error((struct seed_cfg){.user = "Ada"}, -EINVAL, "--user Ada is no user name");
	expect_error((struct seed_cfg){.user = "a b"}, -EINVAL, "no user name");
	expect_error((struct seed_cfg){.user = "1a"}, -EINVAL, "no user name");
	expect_error((struct seed_cfg){.user = "a234567890123456789012345678901234"}, -EINVAL,
		     "no user name");
	expect_error((struct seed_cfg){.user = "root"}, -EINVAL, "root is there");
	expect_error((struct seed_cfg){.hostname = ""}, -EINVAL, "no host name");
	expect_error((struct seed_cfg){.hostname = "a..b"}, -EINVAL, "no host name");
	expect_error((struct seed_cfg){.hostname = "-a"}, -EINVAL, "no host name");
	expect_error((struct seed_cfg){.hostname = "a-.b"}, -EINVAL, "no host name");
	expect_error((struct seed_cfg){.hostname = "a_b"}, -EINVAL, "no host name");
	expect_error((struct seed_cfg){.user_data = "/nonexistent"}, -ENOENT, "cannot read");
	expect_error((struct seed_cfg){.user_data = "/dev/zero"}, -EFBIG, "larger than");
	expect_error((struct seed_cfg){.ssh_keys = (const char *[]){"/nonexistent", NULL}}, -ENOENT,
		     "name a file with an SSH public key");
	expect_bad_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n", "is a private key");
	expect_bad_key("", "has no SSH public key");
	expect_bad_key("# only this\n", "has no SSH public key");
	expect_bad_key(KEY "\nhello\n", ":2: not an SSH public key");
	expect_bad_key(KEY "\n" KEY " \xff\n", ":2: not UTF-8");
}

static bool valid(const char *line)
{
	return ssh_key_valid(line, strlen(line));
}

static void tells_keys_from_others(void **state)
{
	assert_true(valid(KEY));
	assert_true(valid(KEY " with a comment"));
	/* Of another type than it says, no base64, too short, with a control character. */
	assert_false(valid("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIB4Yb0CVmcXYnlLzJWGBDgvKtAiOfKkqHdYF"));
	assert_false(valid("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA!B4Yb0CV"));
	assert_false(valid("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"));
	assert_false(valid("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5A"));
	assert_false(valid("ssh-ed25519 ===="));
	assert_false(valid("ssh-ed25519 "));
	assert_false(valid("ssh-ed25519"));
	assert_false(valid(KEY "\tcomment"));
	assert_false(valid("-----BEGIN RSA PRIVATE KEY-----"));
}

/* For judges who read files. */
static int write_seed(int argc, char **argv)
{
	const char *keys[16] = {NULL};
	struct seed_cfg cfg = {.ssh_keys = keys};
	size_t nr_keys = 0;
	struct err e = {0};
	char buf[4096];
	ssize_t n;
	int out, fd;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=') + 1;

		switch (argv[i][0]) {
		case 'u': cfg.user = value; break;
		case 'h': cfg.hostname = value; break;
		case 'd': cfg.user_data = value; break;
		case 'k': keys[nr_keys++] = value; break;
		}
	}
	fd = seed_new(&cfg, &e);
	out = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || out < 0) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_what_cloud_init_reads),
		cmocka_unit_test(each_content_is_an_instance),
		cmocka_unit_test(users_file_has_the_last_word),
		cmocka_unit_test(keys_alone_are_the_distributions_user),
		cmocka_unit_test(refuses_what_is_none),
		cmocka_unit_test(tells_keys_from_others),
	};

	if (argc > 2 && strcmp(argv[1], "--write") == 0)
		return write_seed(argc - 2, argv + 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
