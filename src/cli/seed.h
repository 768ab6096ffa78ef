/* SPDX-License-Identifier: MIT */
/*
 * seed.h - what a guest's first boot is told: a cloud-init NoCloud seed.
 *
 * An ISO 9660 file system named "cidata" with the files that cloud-init's "NoCloud" page
 * lists.  It is in this room because it is made of options and nothing below asks for it: to
 * devices it is one more disk.
 */
#ifndef CLI_SEED_H
#define CLI_SEED_H

#include "sundog/types.h"

struct err;

struct seed_cfg {
	const char *user, *hostname, *user_data; /* NULL: not given; user_data is a file */
	const char *const *ssh_keys;		 /* files, NULL-ended, or NULL */
};

/* Whether anything of it is given. */
bool seed_wanted(const struct seed_cfg *cfg);
/*
 * A descriptor of the image, in memory that has no name and cannot be changed; the caller's.
 * -errno.  The same options give the same instance-id, so that later boots are no first ones.
 */
int seed_new(const struct seed_cfg *cfg, struct err *e) must_check;

#endif
