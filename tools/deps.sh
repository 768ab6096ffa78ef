#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the Debian packages that a make target needs: deps.sh build|run|distro|check|fuzz|bench
set -eu

build="gcc libc6-dev meson ninja-build pkgconf libzydis-dev libyaml-dev libjansson-dev
	libarchive-dev liburing-dev libext2fs-dev libseccomp-dev zlib1g-dev libzstd-dev
	acpica-tools scdoc"
guest="cpio gzip"
distro="mmdebstrap fakeroot e2fsprogs fdisk"
tests="libcmocka-dev python3 python3-jsonschema clang clang-format gdb binutils lz4
	mmdebstrap xz-utils bzip2 genisoimage openssh-client e2fsprogs fdisk qemu-utils"

case ${1:-run} in
build) want="$build" ;;
run) want="$build $guest" ;;
distro) want="$distro" ;;
check | fuzz) want="$build $guest $distro $tests" ;;
bench) want="$build $guest $distro python3 qemu-system-x86 qemu-utils xz-utils bzip2" ;;
*) echo "usage: $0 build|run|distro|check|fuzz|bench" >&2; exit 2 ;;
esac

have() { # PACKAGE: installed, or its program there by other means
	case $1 in
	ninja-build) command -v ninja ;;
	pkgconf) command -v pkg-config ;;
	acpica-tools) command -v iasl ;;
	qemu-system-x86) command -v qemu-system-x86_64 ;;
	xz-utils) command -v xz ;;
	e2fsprogs) PATH=$PATH:/sbin command -v mke2fs ;;
	fdisk) PATH=$PATH:/sbin command -v sfdisk ;;
	qemu-utils) command -v qemu-img ;;
	gcc | meson | scdoc | cpio | gzip | bzip2 | python3 | clang | clang-format | gdb | lz4 | \
		mmdebstrap | fakeroot) command -v "$1" ;;
	*) dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -x installed ;;
	esac >/dev/null 2>&1
}

missing=
for p in $want; do
	have "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "sundog: missing here:$missing; install what your system calls these packages" >&2
	exit 1
fi
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1; then
	as_root=sudo
else
	echo "sundog: missing packages; as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
$as_root apt-get -qq update
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive \
	apt-get -qq -y --no-install-recommends install $missing >/dev/null
