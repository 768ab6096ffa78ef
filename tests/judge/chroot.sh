#!/bin/sh
# SPDX-License-Identifier: MIT
# Run a command natively in a Debian tree, as its root: chroot.sh TREE DIR COMMAND...
# DIR appears there as /run; /tmp is fresh memory; processes and mounts are of its own.
set -eu

if [ "${1:-}" = --inside ]; then
	tree=$2
	mount --bind "$3" "$tree/run"
	mount -t tmpfs none "$tree/tmp"
	mount -t proc none "$tree/proc"
	mount --rbind /dev "$tree/dev"
	mount --rbind /sys "$tree/sys"
	shift 3
	# Not exec: the command is to be no process 1.
	chroot "$tree" /bin/env -i PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C TZ=UTC \
		${GLIBC_TUNABLES+GLIBC_TUNABLES="$GLIBC_TUNABLES"} "$@" || exit $?
	exit 0
fi
user=
[ "$(id -u)" = 0 ] || user=--map-root-user
# shellcheck disable=SC2086
exec unshare $user --mount --pid --fork --kill-child sh "$0" --inside "$@"
