# SPDX-License-Identifier: MIT
# The same work natively and in a guest, by the same BusyBox: the output must not differ.
# It prints nothing that depends on the machine, the kernel or the time.
export LC_ALL=C
cd "$(mktemp -d)" || exit 1

echo "== hashes"
i=0
while [ $i -lt 2000 ]; do
	echo "line $i of a file that is the same everywhere"
	i=$((i + 1))
done >text
for sum in md5sum sha1sum sha256sum sha512sum sha3sum; do
	$sum <text
done

echo "== compression"
gzip -9 <text | gunzip | cmp - text && echo gzip
bzip2 <text | bunzip2 | cmp - text && echo bzip2
gzip -n <text | md5sum
tar c text | tar t

echo "== awk"
awk 'BEGIN { x = 1; for (i = 1; i <= 20; i++) {
	x = x * 1.7 + i / 3; printf "%d %.15g %.6e %d %x\n", i, x, 1 / x, x % 97, int(x) } }'
awk '{ n += length($0); c[$2 % 7]++ } END { print n; for (i = 0; i < 7; i++) print i, c[i] }' text
echo '2 ^ 200 / 3' | bc
dc -e '20 k 2 v p'

echo "== pipes"
sort -r text | uniq -c | tail -n 3
seq 1 5000 | grep 7 | sed 's/7/seven/g' | tr a-z A-Z | md5sum
seq 1 300 | xargs -n 10 echo | wc
head -c 1000000 /dev/zero | tr '\0' x | fold -w 77 | wc
od -A d -t x1 text | tail -n 2

echo "== fork"
sum=0
for i in $(seq 1 60); do
	sum=$((sum + $(echo "$i" | sed 's/^/1/')))
done
echo $sum
for i in 1 2 3 4 5 6 7 8; do
	(seq 1 $((i * 200)) | md5sum >out.$i) &
done
wait
cat out.*

echo "== signals"
(
	trap 'echo caught USR1' USR1
	trap 'echo leaving' EXIT
	sh -c 'kill -USR1 $PPID'
	echo after
)
sh -c 'kill -SEGV $$' 2>/dev/null
echo "status $?"
sleep 100 &
pid=$!
kill -TERM $pid
# What the shell says of it depends on who comes first.
{ wait $pid; } 2>/dev/null
echo "status $?"
timeout 1 sleep 100
echo "status $?"

echo "== arithmetic"
echo $((0x7fffffffffffffff + 1)) $((-7 / 2)) $((-7 % 3)) $((1 << 40)) $((~0 ^ 12345))
factor 999999866000004473 1000003 600851475143

echo "== files"
mkdir -p a/b/c && echo x >a/b/c/d && ln -s d a/b/c/l && cat a/b/c/l
cp -r a e && find e | sort
dd if=text bs=1000 skip=3 count=5 2>/dev/null | md5sum
diff text - </dev/null | wc -l
echo "== done"
