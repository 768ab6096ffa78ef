/* SPDX-License-Identifier: MIT */
/*
 * memfd.h - anonymous memory with a descriptor, so that it can be mapped more than once.
 */
#ifndef SUNDOG_MEMFD_H
#define SUNDOG_MEMFD_H

#include "sundog/types.h"

/*
 * A descriptor of size bytes of zeroes, closed on exec, or -errno.  Nobody can execve() it,
 * because hosts may forbid such that can be (sysctl vm.memfd_noexec); that does not keep it
 * from being mapped to run.
 */
int memfd_new(const char *name, u64 size) must_check;

#endif
