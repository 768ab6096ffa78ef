#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""qcow2_test.py - qcow2 images, judged by qemu-img and qemu-io, and what crashes leave of them.

    qcow2_test.py IMGIO [--long] [TEST]...

IMGIO is imgio.c beside this.  Each test works in a folder of its own.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import replay  # noqa: E402

SIZE = 4 << 20
OURS = ['', 'version=2', 'cluster_size=512', 'cluster_size=2M', 'refcount_bits=1',
        'refcount_bits=64', 'lazy=1', 'extended_l2=1', 'compression=zstd', 'prealloc=1',
        'prealloc=2', 'prealloc=3', 'data_file=x.data', 'data_file=x.data data_file_raw=1',
        'cluster_size=512 refcount_bits=64', 'cluster_size=4K refcount_bits=2 lazy=1',
        'extended_l2=1 cluster_size=16K compression=zstd']
THEIRS = ['', 'compat=0.10', 'cluster_size=512', 'cluster_size=2M', 'lazy_refcounts=on',
          'refcount_bits=1', 'refcount_bits=8', 'refcount_bits=64', 'extended_l2=on',
          'compression_type=zstd', 'preallocation=metadata', 'preallocation=falloc',
          'preallocation=full', 'data_file=x.data', 'data_file=x.data,data_file_raw=on',
          'extended_l2=on,cluster_size=16k,refcount_bits=32',
          'compat=1.1,cluster_size=1k,lazy_refcounts=on']


class Failure(Exception):
    pass


class Bed:
    """One test's folder and tools."""

    def __init__(self, imgio, scale):
        self.imgio, self.scale = imgio, scale

    def run(self, *args, ok=(0,)):
        p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           errors='replace', timeout=240)
        if p.returncode not in ok:
            raise Failure(f'{" ".join(args)}: status {p.returncode}: {p.stdout[-1500:]}')
        return p.stdout

    def img(self, *args, ok=(0,)):
        return self.run(self.imgio, *[str(a) for a in args], ok=ok)

    def qemu(self, *args, ok=(0,)):
        return self.run('qemu-img', *args, ok=ok)

    def io(self, image, *commands, ok=(0,)):
        args = [a for c in commands for a in ('-c', c)]
        return self.run('qemu-io', '-f', 'qcow2', *args, image, ok=ok)

    def check(self, image, leaks=False):
        """qemu-img: sound; without leaks too, unless they are allowed."""
        self.qemu('check', '-f', 'qcow2', image, ok=(0, 3) if leaks else (0,))

    def same(self, image, raw, snapshot=None):
        """QEMU and we read these bytes."""
        ours = 'ours.raw'
        self.img(image + (f',snapshot={snapshot}' if snapshot else ',ro'), 'dump', ours)
        self.run('cmp', ours, raw)
        opts = ['-l', f'snapshot.name={snapshot}'] if snapshot else []
        self.qemu('convert', '-f', 'qcow2', *opts, '-O', 'raw', image, 'theirs.raw')
        self.run('cmp', 'theirs.raw', raw)

    def clean(self):
        for name in os.listdir('.'):
            os.unlink(name)


def test_created(b):
    """Images of ours: what the model says is what QEMU reads, and QEMU finds no fault."""
    for i, options in enumerate(OURS):
        b.clean()
        b.img('create', 'a.qcow2', SIZE, *options.split())
        b.check('a.qcow2')
        b.img('a.qcow2', 'model', i, 300 * b.scale, 'f', 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        if 'data_file_raw' in options:
            b.run('cmp', 'x.data', 'a.raw')


def test_foreign(b):
    """Images of QEMU's: patterns written on both sides, read on the other."""
    for i, options in enumerate(THEIRS):
        b.clean()
        opts = ['-o', options] if options else []
        b.qemu('create', '-q', '-f', 'qcow2', *opts, 'a.qcow2', str(SIZE))
        b.io('a.qcow2', 'write -P 17 0 300k', 'write -P 18 1M 1M', 'write -z 1100k 200k',
             'discard 1500k 200k', 'write -P 19 3333k 100k')
        b.img('a.qcow2', 'read', 0, '300K', 17, 'read', '1M', '76K', 18, 'read', '1100K', '200K',
              0, 'read', '3333K', '100K', 19, 'read', '3M', '100K', 0)
        b.img('a.qcow2', 'model', i, 200 * b.scale, 'f', 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        b.img('a.qcow2', 'write', '10K', '1M', 33, 'unmap', '2M', '1M')
        b.io('a.qcow2', 'read -P 33 10k 1M', 'read -P 0 2M 1M', 'write -P 7 2500k 9k')
        b.img('a.qcow2,ro', 'read', '2500K', '9K', 7)
        b.check('a.qcow2')


def test_backing(b):
    """Chains: shorter, longer and equal backing images, in both formats."""
    for i, (size, opts) in enumerate([(SIZE, []), (SIZE // 2 + 512, []), (SIZE * 2, []),
                                      (SIZE - 1024, ['extended_l2=1']),
                                      (SIZE + 66048, ['cluster_size=512']),
                                      (SIZE * 2, ['version=2'])]):
        b.clean()
        fmt = 'raw' if i % 2 else 'qcow2'
        b.qemu('create', '-q', '-f', fmt, 'base', str(size))
        b.run('qemu-io', '-f', fmt, '-c', 'write -P 51 0 1M', '-c',
              f'write -P 52 {size - 131072} 128k', 'base')
        b.img('create', 'a.qcow2', SIZE, 'backing=base', f'backing_format={fmt}', *opts)
        b.qemu('convert', '-O', 'raw', 'a.qcow2', 'start.raw')
        b.same('a.qcow2', 'start.raw')
        b.img('a.qcow2', 'model', i, 200 * b.scale, 'f', 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        # Growing never shows what a longer backing image has there.
        b.img('a.qcow2', 'resize', SIZE + 1048576, 'dump', 'a.raw', 'read', SIZE, 1048576, 0)
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        b.img('a.qcow2', 'resize', SIZE // 4 + 512, 'resize', SIZE, 'dump', 'a.raw', 'read',
              SIZE // 4 + 512, SIZE - SIZE // 4 - 512, 0)
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        b.img('a.qcow2', 'rebase', '-', '-')
        if 'backing file' in b.qemu('info', 'a.qcow2'):
            raise Failure('the backing image is still there')
        b.img('a.qcow2', 'rebase', 'base', fmt)
        b.same('a.qcow2', 'a.raw')


def test_compressed(b):
    """Compressed clusters, of ours and of QEMU's, and overwritten."""
    for options in ['', 'compression=zstd', 'version=2', 'extended_l2=1', 'cluster_size=512',
                    'cluster_size=2M', 'refcount_bits=1']:
        b.clean()
        b.img('create', 'a.qcow2', SIZE, *options.split())
        b.img('a.qcow2', 'compress', 0, SIZE // 2, 5, 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        b.img('a.qcow2', 'model', 9, 100 * b.scale, 'f', 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
    for options in ['compression_type=zlib', 'compression_type=zstd', 'cluster_size=512']:
        b.qemu('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, 'a.raw', 'c.qcow2')
        b.same('c.qcow2', 'a.raw')
        b.img('c.qcow2', 'model', 4, 100 * b.scale, 'f')
        b.check('c.qcow2')
    b.img('create', 'd.qcow2', SIZE)  # other bytes where those were that were read last
    again = ['compress', 0, '64K', 6, 'read', 0, '4K', 6, 'discard', 0, '64K', 'flush']
    b.img('d.qcow2', 'compress', 0, '64K', 5, 'read', 0, '4K', 5, 'discard', 0, '64K', 'flush',
          *again, 'compress', 0, '64K', 7, 'read', '4K', '4K', 7)
    b.check('d.qcow2')


def test_snapshots(b):
    """Made, read, gone back to and deleted, by us and by QEMU in turn."""
    for options in ['', 'version=2', 'extended_l2=1', 'cluster_size=512', 'lazy=1']:
        b.clean()
        b.img('create', 'c.qcow2', SIZE, *options.split())
        b.img('c.qcow2', 'model', 3, 150, 'f', 'dump', '1.raw', 'snapshot', 'one', 'model', 4, 150,
              'f', 'dump', '2.raw', 'snapshot', 'two', 'model', 5, 100, 'f', 'compress', 0, '1M', 3,
              'model', 6, 50, 'f', 'dump', '3.raw')
        b.check('c.qcow2')
        b.qemu('snapshot', '-c', 'three', 'c.qcow2')
        for name, raw in ('one', '1.raw'), ('two', '2.raw'), ('three', '3.raw'):
            b.same('c.qcow2', raw, name)
        b.img('c.qcow2', 'apply', 'one', 'model', 7, 50, 'f', 'delete', 'two', 'check', 'none')
        b.check('c.qcow2')
        b.same('c.qcow2', '3.raw', 'three')
        b.qemu('snapshot', '-a', 'three', 'c.qcow2')
        b.qemu('snapshot', '-d', 'one', 'c.qcow2')
        b.same('c.qcow2', '3.raw')
        b.img('c.qcow2', 'delete', 'three', 'model', 7, 100, 'f')
        b.check('c.qcow2')


def test_no_snapshot(b):
    """One that cannot be made leaves the image as it was, without leaks."""
    b.img('create', 'a.qcow2', SIZE, 'refcount_bits=1')
    b.img('a.qcow2', 'write', 0, '1M', 3)
    out = b.img('a.qcow2', 'snapshot', 'one', ok=(1,))
    if 'refcount_bits' not in out:
        raise Failure(out)
    b.check('a.qcow2')
    b.img('a.qcow2', 'write', 0, '2M', 4)
    b.check('a.qcow2')
    b.io('a.qcow2', 'read -P 4 0 2M')


def test_long_tables(b):
    """L1 tables longer than what one refcount block counts, which have to lie in one piece."""
    for options in ['', 'refcount_bits=64', 'lazy=1']:
        b.clean()
        b.img('create', 'a.qcow2', '1M', 'cluster_size=512', *options.split())
        b.img('a.qcow2', 'write', 0, '1M', 3, 'resize', '900M', 'write', '899M', '1M', 4)
        b.img('a.qcow2', 'snapshot', 'one', 'write', '899M', '1M', 5, 'resize', '1800M')
        b.check('a.qcow2')
        if os.path.getsize('a.qcow2') > 32 << 20:
            raise Failure(f'{options}: {os.path.getsize("a.qcow2")} bytes for 3 MiB')
        b.io('a.qcow2', 'read -P 3 0 1M', 'read -P 5 899M 1M', 'read -P 0 1799M 1M')
        b.io('a.qcow2', 'write -P 6 1799M 1M')
        b.img('a.qcow2', 'apply', 'one', 'read', '899M', '1M', 4, 'delete', 'one')
        b.check('a.qcow2')


def test_bitmaps(b):
    """Those of others are kept while nothing is written, and then no longer trusted."""
    b.qemu('create', '-q', '-f', 'qcow2', 'a.qcow2', str(SIZE))
    b.qemu('bitmap', '--add', 'a.qcow2', 'kept')
    b.img('a.qcow2', 'read', 0, '1M', 0, 'flush', 'check', 'none')
    if 'kept' not in b.qemu('info', 'a.qcow2'):
        raise Failure('the bitmap went without a write')
    b.img('a.qcow2', 'write', 0, '1M', 3)
    with open('a.qcow2', 'rb') as f:
        if f.read(96)[95] & 1:
            raise Failure('the bitmap is still said to be right')
    b.check('a.qcow2', leaks=True)
    b.io('a.qcow2', 'read -P 3 0 1M')
    b.img('a.qcow2,repair', 'check', 'leaks')
    b.check('a.qcow2')


def test_threads(b):
    """Several threads in the same clusters at once."""
    for i, options in enumerate(['', 'extended_l2=1', 'cluster_size=512', 'cluster_size=2M']):
        b.clean()
        b.img('create', 'a.qcow2', SIZE, *options.split())
        b.img('a.qcow2', 'threads', i, 1500 * b.scale, 'dump', 'a.raw')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')


def test_enospc(b):
    """A full host: requests fail, the image stays sound, and goes on when there is room."""
    os.mkdir('full')
    b.run('mount', '-t', 'tmpfs', '-o', 'size=1M', 'none', 'full')  # root's, as in a container
    try:
        b.img('create', 'full/a.qcow2', SIZE, 'cluster_size=4K')
        b.img('full/a.qcow2', 'write', 0, '512K', 7, 'flush')
        b.img('full/a.qcow2', 'write', '1M', '2M', 8, ok=(1,))
        b.check('full/a.qcow2', leaks=True)
        b.io('full/a.qcow2', 'read -P 7 0 512k')
        b.run('mount', '-o', 'remount,size=16M', 'full')
        b.img('full/a.qcow2', 'write', '1M', '2M', 9, 'read', '1M', '2M', 9, 'read', 0, '512K', 7)
        b.check('full/a.qcow2', leaks=True)
    finally:
        b.run('umount', 'full')
        os.rmdir('full')


def test_repair(b):
    """Leaks, and counts that are too low, found and repaired; QEMU agrees."""
    for options in ['', 'refcount_bits=1', 'cluster_size=512', 'lazy=1']:
        b.clean()
        b.img('create', 'a.qcow2', SIZE, *options.split())
        b.img('a.qcow2', 'model', 8, 100, 'f', 'dump', 'a.raw')
        with open('a.qcow2', 'r+b') as f:
            f.seek(48)
            table = int.from_bytes(f.read(8), 'big')
            f.seek(table)
            block = int.from_bytes(f.read(8), 'big')
            f.seek(block + 2)
            f.write(b'\0\3\0\0\0\0')
        if 'errors=0' in b.img('a.qcow2,repair', 'check', 'none'):
            raise Failure('nothing was found')
        b.img('a.qcow2,repair', 'check', 'errors')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')
        with open('a.qcow2', 'r+b') as f:  # a refcount table of garbage
            f.seek(48)
            table = int.from_bytes(f.read(8), 'big')
            f.seek(table)
            f.write(b'\1\2\3\4\5\6\7\11')
        b.img('a.qcow2,repair', 'check', 'errors')
        b.check('a.qcow2')
        b.same('a.qcow2', 'a.raw')


def forget_block(image, index, entry=bytes(8)):
    """Of the refcount table: that block does not exist any more, or is nowhere."""
    with open(image, 'r+b') as f:
        f.seek(48)
        f.seek(int.from_bytes(f.read(8), 'big') + index * 8)
        f.write(entry)


def test_lost_counts(b):
    """Clusters in use that nothing counts keep their bytes when the counts are made anew."""
    for options in ['', 'lazy=1']:
        b.clean()
        b.img('create', 'a.qcow2', SIZE, 'cluster_size=512', *options.split())
        b.img('a.qcow2', 'write', 0, '1M', 1)
        for more in 2, 3:  # the first time the blocks go to the end, and bytes to where they were
            forget_block('a.qcow2', 3, b'\1\2\3\4\5\6\7\11')
            b.img('a.qcow2,repair', 'check', 'errors')
            b.check('a.qcow2')
            b.img('a.qcow2', 'write', f'{more - 1}M', '1M', more, 'dump', 'a.raw')
        forget_block('a.qcow2', 3)
        b.img('a.qcow2,repair', 'check', 'errors')
        b.check('a.qcow2')
        b.io('a.qcow2', 'read -P 1 0 1M', 'read -P 2 1M 1M', 'read -P 3 2M 1M')
        b.same('a.qcow2', 'a.raw')
    forget_block('a.qcow2', 2)
    with open('a.qcow2', 'r+b') as f:  # the dirty bit: repaired when it is opened
        f.seek(79)
        f.write(b'\1')
    b.img('a.qcow2', 'write', '1M', '1M', 4, 'zero', '2M', '1M', 'write', '2M', '1M', 5)
    b.check('a.qcow2')
    b.io('a.qcow2', 'read -P 4 1M 1M', 'read -P 5 2M 1M')
    b.clean()
    b.img('create', 'a.qcow2', SIZE, 'refcount_bits=1')
    b.img('a.qcow2', 'write', 0, '128K', 1)
    with open('a.qcow2', 'r+b') as f:  # two guest clusters in one: more than a bit counts
        f.seek(40)
        f.seek(int.from_bytes(f.read(8), 'big'))
        table = int.from_bytes(f.read(8), 'big') & (1 << 56) - 1
        f.seek(table)
        entry = f.read(8)
        f.seek(table + 8)
        f.write(entry)
    b.img('a.qcow2,repair', 'check', 'errors', ok=(0, 1))
    b.img('a.qcow2', 'write', '1M', '1M', 7, 'read', 0, '128K', 1)


def test_refused(b):
    """One line that says why, and the file stays as it is."""
    b.qemu('create', '-q', '-f', 'qcow2', 'a.qcow2', '1M')
    for at, data, why in [(72, b'\0\0\0\0\0\0\1\0', 'not supported'),
                          (32, b'\0\0\0\1', 'encrypted'), (20, b'\0\0\0\x40', 'cluster size'),
                          (36, b'\x7f\0\0\0', 'L1 table size'), (40, b'\0\0\0\0\0\0\1\1', 'L1'),
                          (60, b'\0\1\0\1', 'snapshots'), (0, b'x', 'not a qcow2'),
                          (72, b'\0\0\0\0\0\0\0\2', 'damaged'), (24, b'\x20', 'size')]:
        shutil.copyfile('a.qcow2', 'b.qcow2')
        with open('b.qcow2', 'r+b') as f:
            f.seek(at)
            f.write(data)
        before = open('b.qcow2', 'rb').read()
        out = b.img('b.qcow2', 'flush', ok=(1,))
        if why not in out or out.count('\n') != 1:
            raise Failure(f'{why}: {out}')
        if open('b.qcow2', 'rb').read() != before:
            raise Failure(f'{why}: the file was changed')


def steps_of(seed, size, count):
    """The requests of imgio.c's model, to know which bytes may differ after a crash."""
    def rnd():
        nonlocal seed
        seed = (seed * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        return seed >> 33
    kinds = 'WWWWWWWWZUDFRRRW'
    sectors = size // 512
    for _ in range(count):
        most = 32 if rnd() % 8 else 1024
        kind = kinds[rnd() % 16]
        area = sectors // 8 + 1 if rnd() % 4 else sectors
        off = rnd() % area
        length = min(1 + rnd() % most, sectors - off)
        rnd()
        yield kind, off, length


def verify_crash(b, image, start_raw, seed, flushed, count, what):
    """All sectors that no request after the flush touched are as the model has them."""
    if 'lazy' in what:  # the dirty bit: whoever opens it counts anew
        b.qemu('check', '-q', '-r', 'all', '-f', 'qcow2', image, ok=(0, 2, 3))
    b.qemu('check', '-f', 'qcow2', image, ok=(0, 3))
    shutil.copyfile(start_raw, 'want.raw')
    b.img('step', seed, flushed, 'want.raw')
    b.qemu('convert', '-f', 'qcow2', '-O', 'raw', image, 'now.raw')
    want, now = open('want.raw', 'rb').read(), open('now.raw', 'rb').read()
    touched = set()
    for i, (kind, off, length) in enumerate(steps_of(seed, len(want), count)):
        if i >= flushed and kind in 'WZUD':
            touched.update(range(off, off + length))
    for s in range(len(want) // 512):
        if s not in touched and want[s * 512:s * 512 + 512] != now[s * 512:s * 512 + 512]:
            raise Failure(f'{what}: sector {s} is not what was flushed by step {flushed}')


def last_number(path):
    lines = open(path).read().split('\n')[:-1]
    return int(lines[-1]) if lines else 0


def test_crash(b):
    """Power cuts: any subset of what was written since the last sync, torn at sectors."""
    kinds = ['', 'extended_l2=1', 'cluster_size=512 refcount_bits=64', 'lazy=1', 'backing', 'snap',
             'version=2']
    for i, kind in enumerate(kinds):
        b.clean()
        if kind == 'backing':
            b.qemu('create', '-q', '-f', 'qcow2', 'base', str(SIZE))
            b.io('base', 'write -P 51 0 3M')
            options = ['backing=base', 'backing_format=qcow2']
        else:
            options = [] if kind == 'snap' else kind.split()
        b.img('create', 'a.qcow2', SIZE, *options)
        b.img('a.qcow2', 'model', 1, 40, 'f')
        if kind == 'snap':
            b.img('a.qcow2', 'snapshot', 's')
        shutil.copyfile('a.qcow2', 'start.qcow2')
        b.img('a.qcow2', 'dump', 'start.raw')
        count = 60
        b.img('a.qcow2,log=log', 'model', 100 + i, count, 'f')
        log = replay.Log('log')
        flushes = [int(n) for n in open('f').read().split()]
        syncs = [n for n, r in enumerate(log.records) if r.kind == replay.SYNC]
        for seed in range(15 * b.scale):
            rng = random.Random(1000 * i + seed)
            cut = rng.randrange(1, len(log.records) + 1)
            shutil.copyfile('start.qcow2', 'cut.qcow2')
            with open('cut.qcow2', 'r+b') as out:
                replay.replay(log, out, cut, seed, 'some', True)
            # Without more than the log, what is surely flushed: nothing, or all at its end.
            flushed = flushes[-1] if flushes and cut > syncs[-1] else 0
            verify_crash(b, 'cut.qcow2', 'start.raw', 100 + i, flushed, count, f'{kind} {seed}')
            b.img('cut.qcow2', 'model', seed, 10, 'f2')
            b.qemu('check', '-f', 'qcow2', 'cut.qcow2', ok=(0, 3))


def test_kill(b):
    """kill -9 in the middle: flushed bytes are there, and nothing is damaged."""
    rng = random.Random(5)
    for i in range(100 * b.scale):
        b.clean()
        options = rng.choice(['', 'lazy=1', 'cluster_size=512', 'extended_l2=1', 'refcount_bits=1'])
        b.img('create', 'a.qcow2', SIZE, *options.split())
        with open('zero.raw', 'wb') as f:
            f.truncate(SIZE)
        p = subprocess.Popen([b.imgio, 'a.qcow2', 'model', str(i), '3000', 'f'],
                             stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * 0.15)
        p.send_signal(signal.SIGKILL)
        p.wait()
        flushed = last_number('f') if os.path.exists('f') else 0
        verify_crash(b, 'a.qcow2', 'zero.raw', i, flushed, 3000, f'{options} {i}')
        b.img('a.qcow2', 'model', i, 10, 'f')
        b.qemu('check', '-f', 'qcow2', 'a.qcow2', ok=(0, 3))


TESTS = {name[5:]: f for name, f in list(globals().items()) if name.startswith('test_')}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('imgio')
    p.add_argument('tests', nargs='*')
    p.add_argument('--long', action='store_true')
    a = p.parse_args()
    if not shutil.which('qemu-img') or not shutil.which('qemu-io'):
        print('qemu-utils is missing')
        return 77
    imgio, failed = os.path.abspath(a.imgio), 0
    for name in a.tests or TESTS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='sundog-qcow2-') as folder:
            os.chdir(folder)
            try:
                TESTS[name](Bed(imgio, 10 if a.long else 1))
                result = 'ok'
            except (Failure, subprocess.TimeoutExpired) as e:
                result, failed = f'FAILED: {e}', failed + 1
                if os.environ.get('KEEP'):
                    shutil.copytree(folder, os.environ['KEEP'], dirs_exist_ok=True)
            os.chdir('/')
        print(f'{name}: {result} ({time.monotonic() - start:.1f} s)', flush=True)
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
