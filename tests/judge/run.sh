#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# Run the cases of /run/judge, natively and in a guest: run.sh JOBS [NAME]
# The output of a case goes to got/NAME.  If there is want/NAME, the two are compared.
# What a case needs/NAME that the CPU has not keeps it out.
here=/run/judge

one() { # NAME
	# shellcheck disable=SC2013
	for f in $(cat "$here/needs/$1" 2>/dev/null); do
		grep -m 1 ^flags /proc/cpuinfo | grep -qw "$f" && continue
		echo "judge: lacks $1 $f"
		return
	done
	dir=/tmp/case.$1
	mkdir -p "$dir" && cd "$dir" || exit 1
	read -r start rest </proc/uptime
	timeout 900 /bin/sh "$here/cases/$1" >"$here/got/$1" 2>&1 </dev/null
	echo "status $?" >>"$here/got/$1"
	read -r end rest </proc/uptime
	cd / && rm -rf "$dir"
	[ -e "$here/want/$1" ] || exit 0
	took=$(echo "$start $end" | awk '{ printf "%.2f s", $2 - $1 }')
	if cmp -s "$here/want/$1" "$here/got/$1"; then
		echo "judge: ok $1 $took"
	else
		echo "judge: differs $1 $took
$(diff -U 1 "$here/want/$1" "$here/got/$1" | cut -c 1-200 | head -n 40)"
	fi
}

ulimit -c 0
if [ $# = 2 ]; then
	one "$2"
else
	mkdir -p "$here/got"
	# The longest, named first by who made the list, do not come last.
	xargs -n 1 -P "$1" busybox sh "$0" "$1" <"$here/list"
fi
