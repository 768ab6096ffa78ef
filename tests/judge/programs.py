# SPDX-License-Identifier: MIT
"""Programs of a Debian userland: each case prints nothing that depends on machine or time."""
from case import Case

# Some 3 MB of text that is the same everywhere.
TEXT = '''seq 1 60000 | awk '{ x = ($1 * 7919) % 65537; printf "%d line %x of %s\\n", $1, x,
    x % 3 ? "a text that repeats itself" : "another kind of text" }' >text
'''

SQL = '''
CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, r REAL, s TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO t SELECT i, (i * 7919) % 10007, i / 7.0, printf('%x-%s', i * 31, hex(i)) FROM n;
CREATE INDEX tk ON t(k);
CREATE INDEX ts ON t(s);
SELECT count(*), sum(k), round(sum(r), 6), max(s) FROM t;
SELECT a.id, b.id FROM t a JOIN t b ON a.k = b.k AND a.id < b.id ORDER BY a.id, b.id LIMIT 20;
UPDATE t SET s = s || k WHERE k % 3 = 0;
DELETE FROM t WHERE id % 7 = 0;
SELECT k % 10, count(*), round(avg(r), 9), min(s) FROM t GROUP BY 1 ORDER BY 1;
SELECT id, row_number() OVER (ORDER BY s), lag(k) OVER (ORDER BY s) FROM t ORDER BY s LIMIT 15;
CREATE VIRTUAL TABLE f USING fts5(body);
INSERT INTO f SELECT 'the row ' || id || ' has ' || s FROM t WHERE id < 3000;
SELECT count(*) FROM f WHERE f MATCH 'row AND has';
SELECT json_group_array(json_object('i', id, 'r', r)) FROM (SELECT * FROM t LIMIT 8);
SELECT 1e308 * 10, 0.1 + 0.2, 1.0 / 3, 12345678901234567890, round(2.5), 7.1 % 3;
VACUUM;
PRAGMA integrity_check;
'''

PERL = r'''
use strict; use warnings; use Digest::SHA qw(sha256_hex); use List::Util qw(shuffle reduce);
my (%h, @a); my $x = 12345;
for my $i (1 .. 60000) { $x = ($x * 1103515245 + 12345) % 2147483648; $h{"k$x"} += $i; push @a, $x; }
print sha256_hex(join ",", map { "$_=$h{$_}" } sort keys %h), "\n";
print sha256_hex(pack "N*", sort { $a <=> $b } @a), "\n";
my $t = join " ", map { sprintf "%x-%o", $_, $_ * 3 } 1 .. 5000;
my $n = () = $t =~ /([a-f]\d+)-(\d*7)\b/g; print "$n\n";
(my $u = $t) =~ s/(\w+)-(\w+)/$2:\U$1/g; print sha256_hex($u), "\n";
printf "%.17g %.17g %.17g %s\n", exp(1), 1e23 / 3, -7.5 % 4, 2 ** 0.5;
print join(",", map { sprintf "%.15g", sqrt($_) * log($_ + 1) } 1 .. 20), "\n";
my $p = reduce { $a * $b % 1000003 } 1 .. 500; print "$p\n";
print unpack("H*", pack "w/a* d> f< q> v", "abc", 1.1, 2.7, -9, 513), "\n";
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; 1 while 1; }; print $@;
my $pid = open(my $c, "-|") // die; if (!$pid) { print "child\n"; exit 7 } print <$c>; close $c;
print $? >> 8, "\n";
'''

JS = r'''
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
var s = 0, o = {}, i;
for (i = 0; i < 30000; i++) { s = (s * 31 + i) % 1000003; o["k" + s] = (o["k" + s] || 0) + i; }
print(fib(20), s, Object.keys(o).length);
print(JSON.stringify([0.1 + 0.2, 1e21, 1 / 3, Math.sqrt(2), -0, 5e-324, 123456789012345680000]));
print("a-b-c".replace(/(\w)-/g, "$1+"), parseInt("ff", 16), (255).toString(2), (0.5).toFixed(3));
var a = []; for (i = 0; i < 5000; i++) a.push((i * 7919) % 5003); a.sort(function (x, y) { return x - y; });
print(a.slice(0, 5), a[4999]);
'''

LUA = r'''
local bit, ffi = require "bit", require "ffi"
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(29))
local h, t = 0, {}
for i = 1, 3000000 do h = bit.bxor(bit.rol(h, 5), bit.tobit(i * 2654435761)) end
print(h)
for i = 1, 200000 do t[i] = (i * 7919) % 100003 end
table.sort(t) print(t[1], t[1000], t[200000])
local a = ffi.new("double[?]", 1000)
for k = 1, 300 do for i = 1, 998 do a[i] = (a[i - 1] + a[i + 1]) * 0.5 + i / k end end
print(string.format("%.14g %.14g", a[500], a[998]))
local s = {} for i = 1, 20000 do s[#s + 1] = string.format("%d:%x", i, i * i) end
print(#table.concat(s, ","), (table.concat(s):gsub("%d+:", ""):sub(-40)))
'''

C = r'''
#include <stdint.h>
#include <stdio.h>
typedef struct { double r, i; } complex_t;
static uint64_t mix(uint64_t h, uint64_t v) { h ^= v; h *= 0x9e3779b97f4a7c15u; return h ^ h >> 29; }
int main(void)
{
    uint64_t h = 1; float f = 1; double d = 1; long double l = 1;
    for (int i = 1; i < 2000000; i++) {
        h = mix(h, i * 3); h = h % 1000003 + h / (i | 1); f = f * 1.0001f + i; d = d / 1.01 + i;
        l = l * 0.99L - i; if (h & 4) h = __builtin_bswap64(h) + __builtin_popcountll(h);
    }
    printf("%llx %.9g %.17g %.20Lg\n", (unsigned long long)h, f, d, l);
    return 0;
}
'''

# Compile with and without optimization, debug information and vectors; hash what comes out.
GCC = '''cat >one.c <<'EOF'
%s
EOF
for o in "-O0 -g" "-O2" "-O3 -ftree-vectorize" "-Os -m32"; do
    gcc -w $o -S one.c -o - | sha256sum
done
gcc -w -O2 one.c -o one && ./one
gcc -w -O0 one.c -o one && ./one
''' % C


ZLIB = '''cp -r /judge/src/zlib s && cd s || exit 1
for f in adler32 inflate inftrees; do
    gcc -O2 -DHAVE_UNISTD_H -c $f.c && sha256sum $f.o
done'''

ZLIB_ALL = '''cp -r /judge/src/zlib s && cd s || exit 1
./configure --static >/dev/null && make -j4 libz.a example minigzip >log 2>&1 || cat log
sha256sum *.o && ./example x.gz && ./minigzip -9 <deflate.c | ./minigzip -d | cmp - deflate.c'''

LUA54 = '''cp -r /judge/src/lua5.4/src s && cd s && make -j4 linux MYLIBS= MYCFLAGS= >log 2>&1 || cat log
sha256sum *.o && ./lua -e 'local t = {} for i = 1, 99999 do t[i] = i * i % 1009 end
table.sort(t) print(t[1], t[77777], #t, 7 // 2, 7.5 // 2, 1e15, 2^53, string.format("%q", 1/3))\''''

OPENSSL = '''seq 1 40000 >data
for d in md5 sha1 sha224 sha256 sha384 sha512 sha3-256 sha3-512 blake2b512 blake2s256 sm3 ripemd160 \\
    shake256; do
    openssl dgst -$d data
done
k=00112233445566778899aabbccddeeff
for c in aes-128-cbc aes-256-ctr aes-192-cfb aes-256-ofb aria-128-cbc camellia-256-cbc chacha20 \\
    des-ede3-cbc sm4-ctr; do
    echo $c
    openssl enc -$c -K $k$k -iv $k -in data -out enc 2>/dev/null; sha256sum <enc
    openssl enc -d -$c -K $k$k -iv $k -in enc 2>/dev/null | cmp - data
done
openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:x -kdfopt salt:y -kdfopt iter:2000 PBKDF2
openssl kdf -keylen 32 -kdfopt pass:x -kdfopt salt:y -kdfopt n:1024 -kdfopt r:8 -kdfopt p:1 SCRYPT
openssl prime 170141183460469231731687303715884105727
for a in "RSA -pkeyopt rsa_keygen_bits:1024" "EC -pkeyopt ec_paramgen_curve:P-256" ED25519 X448; do
    openssl genpkey -algorithm $a -out key 2>/dev/null && openssl pkey -in key -check -noout
done
for a in "RSA -pkeyopt rsa_keygen_bits:1024" "EC -pkeyopt ec_paramgen_curve:secp384r1"; do
    openssl genpkey -algorithm $a -out key 2>/dev/null && openssl pkey -in key -pubout -out pub
    openssl dgst -sha256 -sign key -out sig data
    openssl dgst -sha256 -verify pub -signature sig data
done'''

PYTHON_TESTS = 'struct bisect'
# Not those that want the network, other tests' order, or much time.
PYTHON_SOAK = ('math float long bytes re json zlib heapq array complex cmath fractions statistics'
               ' random set dict list codecs lzma memoryview int strtod exceptions'
               ' generators compile ast marshal')


def python_tests(names):
    """Python's tests of itself: how many ran and which failed, but not how long they took."""
    return f'''for t in {names}; do
    echo $t
    python3 -m unittest -q test.test_$t 2>&1 | sed -E '/^Ran/s/ in .*//; /^[-]+$/d'
done'''


def stress(*options):
    """Which stressors did work that they verified, and what they complain of."""
    return f'''stress-ng --verify --no-rand-seed --oomable --temp-path . --metrics-brief \\
    {" ".join(options)} >log 2>&1; echo "status $?"
sed -nE '/metrc/s/.*\\] ([a-z]+) +[1-9].*/\\1/p; /fail|error|abort/p' log | sort -u'''


CASES = [
    Case('gcc', GCC),
    Case('gcc_zlib', ZLIB),
    Case('gcc_zlib_all', ZLIB_ALL, soak=True),
    Case('gcc_lua', LUA54, soak=True),
    Case('python_tests', python_tests(PYTHON_TESTS)),
    Case('python_tests_more', python_tests(PYTHON_SOAK), soak=True),
    Case('perl', f"cat >t.pl <<'EOF'\n{PERL}\nEOF\nPERL_HASH_SEED=0 perl t.pl"),
    Case('openssl', OPENSSL),
    Case('openssl_speed', 'openssl speed -seconds 1 sha256 aes-128-cbc ecdsap256 2>/dev/null |'
                          'cut -d " " -f 1 | grep -E "^(sha256|AES|aes)"', soak=True),
    Case('sqlite', f"cat >t.sql <<'EOF'\n{SQL}\nEOF\nsqlite3 t.db <t.sql"),
    Case('luajit', f"cat >t.lua <<'EOF'\n{LUA}\nEOF\nluajit t.lua"),
    Case('duktape', f"cat >t.js <<'EOF'\n{JS}\nEOF\nduk t.js"),
    Case('go_fzf', TEXT + 'fzf --filter "5 kind" <text | sort | sha256sum\n'
                   'fzf --filter "^1 text$" --exact <text | head -n 5'),
    Case('go_age', TEXT + 'age-keygen -o key 2>/dev/null\n'
                   'age -r $(sed -n "s/.*public key: //p" key) -o enc text\n'
                   'age -d -i key enc | sha256sum'),
    Case('rust_rg', TEXT + 'mkdir d; cp text d/a; tac text >d/b\n'
                    'rg --sort path -c "line [0-9a-f]*7" d; rg -j 4 -o "x?[a-f]{3,} of \\w+" d/a | sha256sum\n'
                    'rg -P "(?<=line )\\d+(?= of an)" -o text | sha256sum'),
    Case('rust_fd', 'cp -r /judge/src/zlib z; fdfind -e c -x sha256sum {} | sort | sha256sum\n'
                    'fdfind "^in" z | sort'),
    Case('compress', TEXT + '''for c in "gzip -9n" "bzip2 -9" "xz -2 -T1" ; do
    $c <text >z; sha256sum <z; ${c%% *} -d <z | cmp - text
done'''),
    Case('encode', '''python3 - <<'EOF'
import math, struct
n = 44100
with open('a.raw', 'wb') as f:
    x = 1
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7fffffff
        v = (i * i // 97 % 20001) - 10000 + (x >> 20)
        f.write(struct.pack('<h', max(-32768, min(32767, v))))
EOF
flac --totally-silent -8 --no-padding --force-raw-format --endian=little --sign=signed --channels=1 \\
    --bps=16 --sample-rate=44100 a.raw -o a.flac; sha256sum <a.flac
flac --totally-silent -d --force-raw-format --endian=little --sign=signed a.flac -o b.raw
cmp a.raw b.raw
lame --quiet -r -s 44.1 -m m --bitwidth 16 -b 128 a.raw a.mp3; sha256sum <a.mp3'''),
    Case('stress_cpu', stress('--cpu 1 --cpu-method all --cpu-ops 80')),
    Case('stress_memory', stress('--vm 1 --vm-bytes 16M --vm-method all --vm-ops 40000',
                                 '--str 1 --str-ops 40', '--atomic 2 --atomic-ops 400')),
    Case('stress_math', stress('--matrix 1 --matrix-ops 40 --matrix-size 64',
                               '--fp 1 --fp-ops 40 --hash 1 --hash-ops 200',
                               '--bsearch 1 --bsearch-ops 4 --qsort 1 --qsort-ops 2')),
    Case('stress_more', stress('--cpu 2 --cpu-method all --cpu-ops 400',
                               '--vm 2 --vm-bytes 32M --vm-method all --vm-ops 100000',
                               '--funccall 1 --funccall-ops 100 --memcpy 1 --memcpy-ops 50',
                               '--vecmath 1 --vecmath-ops 50 --radixsort 1 --radixsort-ops 2',
                               '--switch 2 --switch-ops 20000 --fork 2 --fork-ops 300',
                               '--timeout 120'), soak=True),
]
