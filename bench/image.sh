#!/bin/sh
# SPDX-License-Identifier: MIT
# Make the initramfs of the benchmark's programs: image.sh TREE BENCH OUT
# From a tree that tools/fetch-judges.sh made, the programs, their libraries, and what they read.
set -eu

tree=$1
bench=$2
out=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

gcc=usr/lib/gcc/x86_64-linux-gnu/12
programs="usr/bin/gcc usr/bin/gcc-12 usr/bin/x86_64-linux-gnu-gcc-12 $gcc/cc1
	usr/bin/as usr/bin/x86_64-linux-gnu-as usr/bin/gzip usr/bin/mawk usr/bin/python3
	usr/bin/python3.11 usr/bin/duk usr/bin/flac usr/bin/lame"
folders="$gcc/include usr/include usr/lib/python3.11 judge/src/zlib"

for p in $programs; do
	echo "/$p"
done >"$tmp/programs"
# What the dynamic linker finds, asked in the tree; a link there is followed to its end.
# shellcheck disable=SC2016
"$here/../tests/judge/chroot.sh" "$tree" "$tmp" sh -c '
	while read -r program; do
		/lib64/ld-linux-x86-64.so.2 --list "$program"
	done </run/programs | sed -n "s,.*[ \t]\(/lib[^ ]*\) (0x.*,\1,p" | sort -u |
	while read -r lib; do
		echo "/usr$lib"
		readlink -f "$lib"
	done' >"$tmp/libraries"

mkdir "$tmp/root"
(cd "$tree" && {
	sed 's,^/,,' "$tmp/programs" "$tmp/libraries"
	# shellcheck disable=SC2086
	find $folders \( -name test -o -name 'idlelib' -o -name 'ensurepip' \) -prune -o -type f -print \
		-o -type l -print
	echo bin; echo lib; echo lib64
} | sort -u | cpio --quiet -pdm "$tmp/root")
mkdir -p "$tmp/root/tmp" "$tmp/root/dev" "$tmp/root/proc"
cp "$bench" "$tmp/root/bench"
(cd "$tmp/root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$out.tmp"
mv "$out.tmp" "$out"
