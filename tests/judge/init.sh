#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# A guest's init: as chroot.sh prepares a tree, then the cases, then power-off.
export PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C TZ=UTC
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts none /dev/pts
busybox mount -t tmpfs none /dev/shm
busybox mount -t tmpfs none /tmp
busybox ifconfig lo 127.0.0.1 up
# shellcheck disable=SC1091
. /run/judge/env
busybox sh /run/judge/run.sh "$(busybox nproc)"
echo "judge: end"
busybox poweroff -f
