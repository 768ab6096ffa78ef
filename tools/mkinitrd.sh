#!/bin/sh
# SPDX-License-Identifier: MIT
# Make an initrd around BusyBox, without root, the same bytes each time:
#   mkinitrd.sh [-m DIR:MODULE[,MODULE]...] OUT BUSYBOX [HOSTFILE:GUESTPATH]...
# /init loads the kernel modules, with what they depend on, out of DIR (a kernel's modules); it
# runs /script if there is one, else a shell on the console; then it powers off.
set -eu

modules=
if [ "$1" = -m ]; then
	modules=${2#*:}
	module_dir=${2%%:*}
	shift 2
fi
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
for module in /modules/*.ko; do
	[ ! -e "$module" ] || insmod "$module"
done
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

# The file of a module, after those of what it depends on; what is built in has none.
module_files() { (
	file=$(find "$module_dir" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko" | head -n 1)
	[ -n "$file" ] || exit 0
	for need in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '); do
		module_files "$need"
	done
	echo "$file"
); }
count=100
mkdir "$root/modules"
for file in $(for module in $(echo "$modules" | tr , ' '); do module_files "$module"; done |
	awk '!seen[$0]++'); do
	cp "$file" "$root/modules/$count-$(basename "$file")"
	count=$((count + 1))
done
chmod 755 "$root"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort |
	cpio --quiet -o -H newc -R 0:0 --reproducible) | gzip -n -9 >"$out.tmp"
mv "$out.tmp" "$out"
