#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetch what judges a CPU, and build it; without root if the host has user namespaces:
#   fetch-judges.sh DIR
# makes DIR/rootfs, a Debian userland to run natively and in a guest; DIR/small, BusyBox and the
# static test programs of Debian's source packages, built in the first; and DIR/*.cpio of both.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
suite=bookworm
mirror=http://deb.debian.org/debian
# Programs to run, compilers for the test programs (also for 32 bits), and what scripts call.
packages="dash busybox-static coreutils diffutils findutils grep sed mawk tar gzip bzip2 xz-utils
	gcc libc6-dev libc6-dev-i386 lib32gcc-12-dev make perl python3 libpython3.11-testsuite
	openssl sqlite3 stress-ng luajit duktape fzf age ripgrep fd-find lame flac zlib1g-dev"
# Source packages, and what of them is wanted.
sources="zlib lua5.4 valgrind qemu linux"
wanted() { # SOURCE
	case $1 in
	valgrind) echo '*/none/tests/* */tests/*.h' ;;
	qemu) echo '*/tests/tcg/*' ;;
	linux) echo '*/selftests/x86/* */selftests/*.h */x86/include/asm/desc_defs.h' ;;
	*) echo '*' ;;
	esac
}

mkdir -p "$1"
dir=$(cd "$1" && pwd)
made=$(cat "$0" "$top/tests/judge/build.sh" | md5sum)
[ "$(cat "$dir/made" 2>/dev/null)" != "$made" ] || exit 0

work=$dir/work
rm -rf "$dir/made" "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

make_rootfs() {
	rm -rf "$dir/rootfs"
	# Unpacked, not configured: no script of a package runs, so nobody has to be root.
	# shellcheck disable=SC2016
	mmdebstrap --quiet --mode=chrootless --variant=extract --include="$packages" \
		--setup-hook='mkdir -p "$1/usr"
			for d in bin sbin lib lib32 lib64 libx32; do
				mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"
			done' \
		$suite "$dir/rootfs" "$mirror" 2>"$work/log" || { cat "$work/log" >&2; return 1; }
	cd "$dir/rootfs"
	ln -sf mawk usr/bin/awk
	mkdir -p proc sys dev tmp run root judge etc
	echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
	echo 'root:x:0:' >etc/group
	echo '127.0.0.1 localhost' >etc/hosts
}

fetch_sources() {
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/tar" \
		"$dir/rootfs/judge/src"
	: >"$work/apt/status"
	echo "deb-src $mirror $suite main" >"$work/apt/sources.list"
	apt="-qq -o Dir::State=$work/apt -o Dir::Cache=$work/apt/cache
		-o Dir::State::status=$work/apt/status
		-o Dir::Etc::sourcelist=$work/apt/sources.list -o Dir::Etc::sourceparts=/dev/null
		-o Acquire::Languages=none -o APT::Sandbox::User="
	# shellcheck disable=SC2086
	(cd "$work/tar" && apt-get $apt update && apt-get $apt source --download-only $sources)
	for s in $sources; do
		set -f
		# shellcheck disable=SC2046
		set -- $(wanted "$s")
		set +f
		mkdir -p "$dir/rootfs/judge/src/$s"
		tar -xf "$work/tar/$s"_*.orig.tar.* -C "$dir/rootfs/judge/src/$s" \
			--strip-components=1 --no-same-owner --wildcards "$@"
	done
}

# What the guest has no use for is left out of its image.
image() { # TREE OUT
	(cd "$1" && find . \( -path ./usr/share/doc -o -path ./usr/share/locale \
		-o -path ./usr/share/man -o -path './usr/lib*32' -o -path './var/*' \
		-o -path ./judge/bin -o -path ./judge/src/linux -o -path ./judge/src/qemu \
		-o -path ./judge/src/valgrind -o -name lto1 -o -name '*lto-dump*' \
		-o -name 'lib?san*' -o -name 'lib[cm]*.a' -size +1M \) \
		-prune -o -print | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$2"
}

small_tree() {
	rm -rf "$dir/small"
	mkdir -p "$dir/small"
	cd "$dir/small"
	mkdir bin judge tmp proc sys dev run lib lib64
	cp "$dir/rootfs/bin/busybox" bin/busybox
	for applet in $(bin/busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "bin/$applet"
	done
	cp -r "$dir/rootfs/judge/bin" judge/bin
	cp -L "$dir/rootfs/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" lib64/
	cp -L "$dir/rootfs/lib32/ld-linux.so.2" lib/
	for d in lib/x86_64-linux-gnu lib32; do
		mkdir -p $d
		cp -L "$dir/rootfs/$d/libc.so.6" "$dir/rootfs/$d/libm.so.6" $d/
	done
}

echo "fetching a Debian userland and test programs"
make_rootfs
fetch_sources
cp "$top/tests/judge/build.sh" "$dir/rootfs/judge/build.sh"
"$top/tests/judge/chroot.sh" "$dir/rootfs" "$work" sh /judge/build.sh
small_tree
image "$dir/rootfs" "$dir/rootfs.cpio"
(cd "$dir/small" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$dir/small.cpio"
echo "$made" >"$dir/made"
