#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetch Debian's kernels and BusyBox as packages and unpack them, without root:
#   fetch-guest.sh DIR cloud|amd64|686-pae|busybox|busybox-i386...
# makes DIR/NAME/vmlinuz, config and modules, or DIR/NAME/busybox.
# apt checks what it downloads against the signed package lists.
set -eu

dir=$1
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Lists of our own: for another architecture, or where the system has none.
own_lists() { # ARCHITECTURE
	state=$dir/apt-$1
	apt_options="-o Dir::State=$state -o Dir::Cache=$state/cache -o APT::Architecture=$1
		-o APT::Architectures=$1 -o Dir::State::status=$state/status
		-o Acquire::Languages=none -o APT::Sandbox::User="
	[ ! -e "$state/fetched" ] || return 0
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	: >"$state/status"
	# A list that fails apt's checks is left out; what the others have is enough.
	# shellcheck disable=SC2086
	apt-get -qq $apt_options update ||
		echo "sundog: some package lists could not be had; going on without them" >&2
	: >"$state/fetched"
}

known() { # PACKAGE
	# shellcheck disable=SC2086
	apt-cache $apt_options show "$1" 2>/dev/null | grep -q ^Filename:
}

# The kernel's metapackage depends on the package that has it.
kernel_package() {
	# shellcheck disable=SC2086
	apt-cache $apt_options depends "$1" |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ :]*\).*/\1/p' | head -n 1
}

unpack() { # PACKAGE INTO
	tmp=$dir/tmp.$$
	rm -rf "$tmp"
	mkdir -p "$tmp/root"
	# shellcheck disable=SC2086
	(cd "$tmp" && apt-get -qq $apt_options -o APT::Sandbox::User= download "$1")
	dpkg-deb -x "$tmp"/*.deb "$tmp/root"
	rm -rf "$2"
	mkdir -p "$2"
	case $1 in
	busybox-static) mv "$tmp/root/bin/busybox" "$2/busybox" ;;
	*)
		mv "$tmp"/root/boot/vmlinuz-* "$2/vmlinuz"
		mv "$tmp"/root/boot/config-* "$2/config"
		# Of the large ones, only the kernel's tests of itself are wanted here.
		case $1 in
		*-cloud-*) mv "$tmp"/root/lib/modules/* "$2/modules" ;;
		*) mkdir "$2/modules" && mv "$tmp"/root/lib/modules/*/kernel/lib/test_*.ko "$2/modules" ;;
		esac
		;;
	esac
	rm -rf "$tmp"
	echo "$1" >"$2/package"
}

fetch() { # NAME
	case $1 in
	busybox) package=busybox-static arch=amd64 ;;
	cloud) package=linux-image-cloud-amd64 arch=amd64 ;;
	amd64) package=linux-image-amd64 arch=amd64 ;;
	busybox-i386) package=busybox-static arch=i386 ;;
	686-pae) package=linux-image-686-pae arch=i386 ;;
	*) echo "$0: no guest $1; see the head of this script" >&2; exit 2 ;;
	esac
	apt_options=
	if [ "$arch" != "$(dpkg --print-architecture)" ] || ! known $package; then
		own_lists $arch
	fi
	case $1 in
	busybox*) ;;
	*) package=$(kernel_package "$package") ;;
	esac
	if [ -z "$package" ] || ! known "$package"; then
		rm -f "${state:-/nonexistent}/fetched"
		echo "sundog: no Debian package for $1; check /etc/apt/sources.list" >&2
		exit 1
	fi
	echo "fetching $package"
	unpack "$package" "$dir/$1"
}

for what; do
	[ ! -e "$dir/$what/package" ] || continue
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "sundog: no apt-get to fetch a guest with; name a kernel yourself:" \
			"build/sundog run FILE" >&2
		exit 1
	fi
	fetch "$what"
done
