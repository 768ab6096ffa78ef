/* SPDX-License-Identifier: MIT */
/*
 * sshkey.h - files with SSH public keys.
 */
#ifndef CLI_SSHKEY_H
#define CLI_SSHKEY_H

#include <jansson.h>

#include "sundog/types.h"

struct err;

/*
 * Append the keys of a file, as sshd's authorized_keys has them but without options, one
 * string each.  A private key is refused, whatever else is in the file.
 */
int ssh_keys_read(const char *path, json_t *keys, struct err *e) must_check;
/* "ssh-ed25519 AAAA... comment": whether a line looks like a public key. */
bool ssh_key_valid(const char *line, size_t len);

#endif
