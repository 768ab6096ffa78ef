#!/bin/sh
# SPDX-License-Identifier: MIT
# Make a disk image with a whole Debian on it, from packages and without root:
#   mkdistro.sh [OPTION]... OUT
#     --include PKG[,PKG]...  more packages
#     --size SIZE             of the disk (default: 8G; it takes what is used)
#     --format qcow2|raw      (default: qcow2)
#     --suite NAME            (default: bookworm)
#     --small                 for tests: 2G, no manuals, translations and other documentation
# One ext4 partition in a GPT, /boot in it.  What the image has beyond its packages is the tree
# tools/distro, and what configure() and tidy() below do.  SOURCE_DATE_EPOCH, if it is set, is the
# time of all files; the UUIDs are a hash of the packages and of this script.
# SUNDOG is the program that writes qcow2 (default: build/sundog).
# apt checks what it downloads against the signed package lists.
set -eu

PATH=$PATH:/usr/sbin:/sbin
top=$(cd "$(dirname "$0")/.." && pwd)
sundog=${SUNDOG:-$top/build/sundog}
packages="systemd-sysv udev dbus libpam-systemd systemd-resolved iproute2 iputils-ping netbase
	kmod linux-image-cloud-amd64 initramfs-tools zstd e2fsprogs cloud-init cloud-guest-utils
	sudo ca-certificates procps less nano fio xfsprogs"
mirror=http://deb.debian.org/debian
security=http://deb.debian.org/debian-security
first=2048 # sector of the partition: as everybody aligns

suite=bookworm format=qcow2 size='' small='' out=''
fail() {
	echo "sundog: $*" >&2
	exit 1
}
asked=$*
while [ $# -gt 0 ]; do
	case $1 in
	--small) small=1 ;;
	--include | --size | --format | --suite)
		[ $# -gt 1 ] || fail "$1 needs a value; see the head of $0"
		case $1 in
		--include) packages="$packages $(echo "$2" | tr , ' ')" ;;
		--size) size=$2 ;;
		--format) format=$2 ;;
		--suite) suite=$2 ;;
		esac
		shift
		;;
	-*) fail "unknown option $1; see the head of $0" ;;
	*)
		[ -z "$out" ] || fail "there are two files to write, $out and $1; name one"
		out=$1
		;;
	esac
	shift
done
[ -n "$out" ] || fail "no file to write; see the head of $0"
[ -n "$size" ] || size=${small:+2G}
[ -n "$size" ] || size=8G
bytes=$(numfmt --from=iec "$size" 2>/dev/null) || fail "--size $size is no size; write it like 8G"
[ "$bytes" -ge $((1 << 30)) ] || fail "--size $size is too small for Debian; 2G is a good start"
case $format in
raw) ;;
qcow2) [ -x "$sundog" ] || fail "no $sundog to write qcow2 with; make builds it, or name one as SUNDOG" ;;
*) fail "--format $format is not known; use qcow2 or raw" ;;
esac

may_unshare() {
	command -v newuidmap >/dev/null 2>&1 && grep -q "^$(id -un):" /etc/subuid &&
		grep -q "^$(id -un):" /etc/subgid
}
if [ "$(id -u)" != 0 ] && ! may_unshare; then
	fail "packages want to be set up by a root of their own, and you may have none;" \
		"install uidmap and usermod --add-subuids, or run this as root"
fi

mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
# Whoever wants the same image at the same time waits for it.
exec 9>"$out.lock"
flock 9
made=$({ echo "$asked" && cat "$0" && tar -c --sort=name --mtime=@0 -C "$top/tools" distro; } | md5sum)
if [ -e "$out" ] && [ "$(cat "$out.made" 2>/dev/null)" = "$made" ]; then
	exit 0
fi
work=$out.work
rm -rf "$out.made" "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
start=$(date +%s)
step() {
	printf '%4d s  %s\n' $(($(date +%s) - start)) "$*"
}

# The same words give the same UUID.
uuid_of() { # WORDS
	echo "$*" | md5sum | sed 's/\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}

# The tree of files that are ours, and what depends on this image.
overlay() {
	mkdir "$work/overlay"
	cp -r "$top/tools/distro/." "$work/overlay"
	chmod -R u=rwX,go=rX "$work/overlay"
	echo "PARTUUID=$partuuid / ext4 errors=remount-ro 0 1" >"$work/overlay/etc/fstab"
	tar -c --sort=name --owner=0 --group=0 --mtime=@"${SOURCE_DATE_EPOCH:-$start}" \
		-C "$work/overlay" . >"$work/overlay.tar"
}

# Runs in the new system, when all is installed.
configure() {
	cat <<'CONFIGURE'
set -e
# Once, and not after each package that has a say in it.
for modules in /lib/modules/*; do
	update-initramfs -c -k "${modules##*/}"
	linux-update-symlinks install "${modules##*/}" "/boot/vmlinuz-${modules##*/}"
done
# Nothing here has a screen; and what Debian does daily or weekly is for servers that stay up.
systemctl --quiet disable getty@tty1.service apt-daily.timer apt-daily-upgrade.timer \
	e2scrub_all.timer e2scrub_reap.service systemd-pstore.service
systemctl --quiet enable systemd-networkd.service
# Whoever has the serial console has the machine: root needs no password there, and has none
# that would do anywhere else.
sed -i '1i auth sufficient pam_succeed_if.so quiet user = root tty =~ *ttyS0' /etc/pam.d/login
usermod -p '*' root
CONFIGURE
}

# What must not be the same on two machines.
tidy() {
	cat <<'TIDY'
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed
: >/etc/machine-id
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
TIDY
}

make_tree() {
	set -- --variant=minbase --include="$packages" \
		--essential-hook="tar-in $work/overlay.tar /" \
		--customize-hook="upload $work/configure /configure" \
		--customize-hook='chroot "$1" sh /configure && rm "$1/configure"'
	if [ -n "$small" ]; then
		set -- "$@" --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/locale/*' \
			--dpkgopt='path-exclude=/usr/share/i18n/*' \
			--dpkgopt='path-exclude=/usr/share/doc/*'
	fi
	{ configure && tidy; } >"$work/configure"
	INITRD=No mmdebstrap "$@" "$suite" "$work/tree.tar" \
		"deb $mirror $suite main" "deb $mirror $suite-updates main" \
		"deb $security $suite-security main" 2>"$work/log" ||
		{ tail -n 40 "$work/log" >&2; fail "mmdebstrap failed; its last lines are above"; }
}

# mke2fs takes owners and device nodes from the tree; fakeroot remembers them for us.
make_filesystem() {
	mkdir "$work/tree"
	fakeroot sh -ec '
		tar -xf "$1/tree.tar" -C "$1/tree" --numeric-owner
		rm -f "$1/tree.tar"
		mke2fs -q -F -t ext4 -L root -U "$3" -d "$1/tree" \
			-E "offset=$(($2 * 512)),lazy_itable_init=0,lazy_journal_init=0,hash_seed=$3" \
			"$1/disk.raw" "$4k"
	' sh "$work" $first "$uuid" $(((bytes - first * 512 - (1 << 20)) / 1024))
}

make_disk() {
	truncate -s "$bytes" "$work/disk.raw"
	sfdisk --quiet "$work/disk.raw" <<SFDISK
label: gpt
label-id: $(uuid_of disk "$made")
start=$first, size=$(((bytes >> 9) - first - 2048)), uuid=$partuuid, name=root, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
SFDISK
}

finish() {
	case $format in
	raw) mv "$work/disk.raw" "$work/out" ;;
	qcow2) "$sundog" img convert --quiet -f raw -O qcow2 "$work/disk.raw" "$work/out" ;;
	esac
	mv "$work/out" "$out"
	echo "$made" >"$out.made"
}

if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
	export E2FSPROGS_FAKE_TIME="$SOURCE_DATE_EPOCH"
fi
partuuid=$(uuid_of partition "$made")
uuid=$(uuid_of filesystem "$made")
overlay
step "fetching and installing Debian packages ($suite)"
make_tree
step "making an ext4 file system"
make_disk
make_filesystem
step "writing $out ($format)"
finish
step "done: $(du -h "$out" | cut -f 1) of $size; root=PARTUUID=$partuuid"
