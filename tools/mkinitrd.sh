#!/bin/sh
# SPDX-License-Identifier: MIT
# Make an initrd around BusyBox, without root, the same bytes each time:
#   mkinitrd.sh OUT BUSYBOX [HOSTFILE:GUESTPATH]...
# /init runs /script if there is one, else a shell on the console; then it powers off.
set -eu

out=$1
busybox=$2
shift 2
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root/bin" "$root/sbin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" \
	"$root/etc" "$root/root" "$root/usr/bin" "$root/usr/sbin"
cp "$busybox" "$root/bin/busybox"
chmod 755 "$root/bin/busybox"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=${TERM:-vt100}
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mkdir -p /dev/pts
mount -t devpts none /dev/pts 2>/dev/null
cd /root
if [ -e /script ]; then
	sh /script
else
	echo
	echo "Welcome to Linux $(uname -r) on Sundog.  \"exit\" powers off; Ctrl-A x pulls the plug."
	setsid cttyhack sh
fi
sync
poweroff -f
INIT
chmod 755 "$root/init"
for pair; do
	to=$root/${pair#*:}
	mkdir -p "$(dirname "$to")"
	cp "${pair%%:*}" "$to"
done
chmod 755 "$root"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort |
	cpio --quiet -o -H newc -R 0:0 --reproducible) | gzip -n -9 >"$out.tmp"
mv "$out.tmp" "$out"
