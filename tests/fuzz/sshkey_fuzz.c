/* SPDX-License-Identifier: MIT */
/* sshkey_fuzz.c - lines of files with SSH public keys: any bytes, and a good beginning. */
#include "fuzz/input.h"

#include <stdlib.h>

#include "cli/sshkey.h"
#include "fuzz/fuzz_testbed.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char head[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA";
	size_t skip = size && data[0] & 1 ? strlen(head) : 0;
	char *line = malloc(skip + size + 1);

	CHECK(line);
	memcpy(line, head, skip);
	memcpy(line + skip, data, size);
	if (ssh_key_valid(line, skip + size))
		CHECK(memcmp(line, "ssh-", 4) == 0 || memcmp(line, "ecdsa-", 6) == 0 ||
		      memcmp(line, "sk-", 3) == 0);
	free(line);
	return 0;
}
