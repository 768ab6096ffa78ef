# SPDX-License-Identifier: MIT
"""Measure sundog img convert beside qemu-img convert: the same images, in turn, medians.

qemu-img does not wait for the host's disk unless it is told to (-t writeback); sundog always does.
So there are two of it: as it is typed, and as durable as sundog.
"""
import os
import random
import shutil
import statistics
import subprocess
import time

SIZE = 512  # MiB
# What is converted into what, and how.
ROWS = {
    'raw to raw': ('raw', 'raw', []),
    'raw to qcow2': ('raw', 'qcow2', []),
    'qcow2 to raw': ('qcow2', 'raw', []),
    'qcow2 to qcow2': ('qcow2', 'qcow2', []),
    'raw, to zlib': ('raw', 'qcow2', ['-c']),
    'raw, to zstd': ('raw', 'qcow2', ['-c', '-o', 'compression_type=zstd']),
    'zlib to raw': ('zlib', 'raw', []),
    'zstd to raw': ('zstd', 'raw', []),
}


def make_sources(tmp):
    """A disk a quarter each random, text, written zeroes and a hole; and as qcow2."""
    rnd = random.Random(1)
    raw = os.path.join(tmp, 'source.raw')
    with open(raw, 'wb') as f:
        for i in range(0, SIZE, 4):
            f.write(rnd.randbytes(1 << 20))
            f.write(b''.join(b'line %d of a log: %x\n' % (n, rnd.getrandbits(20))
                             for n in range(i, i + 40000))[:1 << 20].ljust(1 << 20))
            f.write(bytes(1 << 20))
            f.seek(1 << 20, 1)
        f.truncate(SIZE << 20)
    paths = {'raw': raw}
    for name, args in (('qcow2', []), ('zlib', ['-c']),
                       ('zstd', ['-c', '-o', 'compression_type=zstd'])):
        paths[name] = os.path.join(tmp, f'source.{name}')
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', *args, raw,
                        paths[name]], check=True)
    os.sync()
    return paths


def tools(build):
    yield 'sundog', [os.path.join(build, 'sundog'), 'img', 'convert', '-q']
    yield 'qemu-img', ['qemu-img', 'convert']
    yield 'qemu-img synced', ['qemu-img', 'convert', '-t', 'writeback']


def once(argv, source, fmt, out, args, target):
    start = time.monotonic()
    subprocess.run([*argv, '-f', 'raw' if fmt == 'raw' else 'qcow2', '-O', out, *args, source,
                    target], check=True)
    took = time.monotonic() - start
    os.unlink(target)
    os.sync()
    return took


def measure(build, rounds, tmp, say):
    """Seconds by row and tool; empty without qemu-img."""
    if not shutil.which('qemu-img'):
        say('qemu-img is not here: install qemu-utils (tools/deps.sh bench)')
        return {}
    sources = make_sources(tmp)
    target = os.path.join(tmp, 'target')
    found = {row: {name: [] for name, _ in tools(build)} for row in ROWS}
    # Who comes first would pay for memory that the host has not touched for a while.
    once(['qemu-img', 'convert'], sources['raw'], 'raw', 'raw', ['-S', '0'], target)
    for i in range(rounds):
        for row, (fmt, out, args) in ROWS.items():
            for name, argv in tools(build):
                found[row][name].append(once(argv, sources[fmt], fmt, out, args, target))
        say(f'round {i + 1} of {rounds}: images')
    return {row: {name: statistics.median(times) for name, times in by_tool.items()}
            for row, by_tool in found.items()}


def table(medians, out):
    if not medians:
        return
    names = list(next(iter(medians.values())))
    print(f'\n{f"convert {SIZE} MiB":18}' + ''.join(f'{n:>18}' for n in names) +
          ''.join(f'{"sundog:" + n:>26}' for n in names[1:]), file=out)
    for row, by_tool in medians.items():
        print(f'{row:18}' + ''.join(f'{by_tool[n] * 1000:>15.0f} ms' for n in names) +
              ''.join(f'{by_tool[n] / by_tool["sundog"]:>25.3g}x' for n in names[1:]), file=out)
