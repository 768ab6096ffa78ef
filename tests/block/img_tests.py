#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sundog img beside qemu-img: each reads, checks and compares what the other has made."""
import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SUNDOG = ''
KIB, MIB = 1 << 10, 1 << 20
OPTIONS = [
    {}, {'cluster_size': 512}, {'cluster_size': 2 * MIB}, {'compat': '0.10'},
    {'refcount_bits': 1}, {'refcount_bits': 64, 'cluster_size': 4096}, {'lazy_refcounts': 'on'},
    {'extended_l2': 'on'}, {'compression_type': 'zstd'}, {'preallocation': 'metadata'},
    {'preallocation': 'full'},
]


class Failure(Exception):
    pass


def check(good, text):
    if not good:
        raise Failure(text)


def run(argv, **kw):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300, **kw)


def qemu(*args, status=0):
    p = run(['qemu-img', *map(str, args)])
    check(p.returncode == status, f'qemu-img {args}: status {p.returncode}\n{p.stdout}{p.stderr}')
    return p.stdout


def img(*args, status=0, **kw):
    p = run([SUNDOG, 'img', *map(str, args)], **kw)
    check(p.returncode == status and (status in (1, 2, 3) or not p.stderr),
          f'sundog img {args}: status {p.returncode}\n{p.stdout}{p.stderr}')
    return p.stdout


def error(status, text, *args, **kw):
    """One line on stderr that has text, nothing on stdout."""
    p = run([SUNDOG, 'img', *map(str, args)], **kw)
    lines = p.stderr.splitlines()
    check(p.returncode == status and len(lines) == 1 and lines[0].startswith('sundog: ') and
          text in lines[0] and not p.stdout,
          f'sundog img {args}: status {p.returncode}, expected {status} and {text!r}\n'
          f'{p.stdout}{p.stderr}')


def joined(options):
    return ['-o', ','.join(f'{k}={v}' for k, v in options.items())] if options else []


def pattern(path, size, seed, part=0.4):
    """A raw file of data, written zeroes and holes, at odd places too."""
    rnd = random.Random(seed)
    with open(path, 'wb') as f:
        f.truncate(size)
        at = 0
        while at < size:
            n = min(size - at, rnd.choice([512, 4096, 10 * 512, 65536, 200 * 512, MIB]))
            what = rnd.random()
            f.seek(at)
            if what < part / 2:
                f.write(rnd.randbytes(n))
            elif what < part:
                f.write(bytes([rnd.randrange(1, 256)]) * n)
            elif what < part + 0.15:
                f.write(bytes(n))
            at += n
    return path


def sound(path):
    if path.endswith('.qcow2'):
        qemu('check', '-q', '-f', 'qcow2', path)
        img('check', '-q', path)


def same(a, b):
    """To qemu-img and to us."""
    def fmt(path):
        return 'qcow2' if path.endswith('.qcow2') else 'raw'
    qemu('compare', '-q', '-f', fmt(a), '-F', fmt(b), a, b)
    img('compare', '-q', '-f', fmt(a), '-F', fmt(b), a, b)


def blocks(path):
    return os.stat(path).st_blocks * 512


def only(names):
    """Nothing is left in the folder but these."""
    here = set(os.listdir('.'))
    check(here == set(names), f'there is {sorted(here)}, expected {sorted(names)}')


# --- cases: each in a folder of its own -----------------------------------------------------

def info_raw():
    pattern('a.img', 8 * MIB, 1)
    want = json.loads(qemu('info', '-f', 'raw', '--output=json', 'a.img'))
    got = json.loads(img('info', '--json', 'a.img'))
    for key in ('filename', 'format', 'virtual-size', 'actual-size', 'dirty-flag'):
        check(got[key] == want[key], f'{key}: {got[key]} and {want[key]}')
    check('virtual size:    8 MiB' in img('info', 'a.img'), 'text of info')


def compare_info(path):
    want = json.loads(qemu('info', '-f', 'qcow2', '--output=json', path))
    got = json.loads(img('info', '--json', path))
    for key in ('filename', 'format', 'virtual-size', 'actual-size', 'dirty-flag', 'cluster-size',
                'backing-filename', 'backing-filename-format', 'full-backing-filename'):
        check(got.get(key) == want.get(key), f'{key}: {got.get(key)} and {want.get(key)}')
    data = want['format-specific']['data']
    mine = got['format-specific']['data']
    check(mine == {k: data[k] for k in mine} and set(data) <= {*mine, 'bitmaps'},
          f'{mine} and {data}')
    strip = [{k: v for k, v in s.items() if k != 'icount'} for s in want.get('snapshots', [])]
    check(got.get('snapshots', []) == strip, f'{got.get("snapshots")} and {strip}')
    return got


def info_qcow2():
    pattern('base.img', 4 * MIB, 1)
    for i, options in enumerate(OPTIONS):
        name = f'{i}.qcow2'
        qemu('create', '-q', '-f', 'qcow2', *joined(options), name, 8 * MIB)
        compare_info(name)
    qemu('create', '-q', '-f', 'qcow2', '-b', 'base.img', '-F', 'raw', 'top.qcow2')
    compare_info('top.qcow2')
    chain = json.loads(img('info', '--json', '--backing-chain', 'top.qcow2'))
    check([c['format'] for c in chain] == ['qcow2', 'raw'], chain)
    qemu('snapshot', '-c', 'one', '0.qcow2')
    qemu('snapshot', '-c', 'two', '0.qcow2')
    check(len(compare_info('0.qcow2')['snapshots']) == 2, 'snapshots')


def create():
    for i, options in enumerate(OPTIONS):
        name = f'{i}.qcow2'
        img('create', *joined(options), name, '8M')
        sound(name)
        compare_info(name)
        data = json.loads(qemu('info', '--output=json', name))
        for key, value in options.items():
            if key == 'cluster_size':
                check(data['cluster-size'] == value, key)
            elif key != 'preallocation':
                got = data['format-specific']['data'][key.replace('_', '-')]
                check(got == {'on': True}.get(value, value), f'{key}: {got}')
    img('create', 'a.img', '3M')
    check(os.stat('a.img').st_size == 3 * MIB and blocks('a.img') == 0, 'raw')
    img('create', '-b', 'a.img', 'over.qcow2')
    data = json.loads(qemu('info', '--output=json', 'over.qcow2'))
    check(data['virtual-size'] == 3 * MIB and data['backing-filename-format'] == 'raw', data)
    os.mkdir('d')
    img('create', '-b', '../a.img', 'd/o.qcow2')
    qemu('info', '--backing-chain', 'd/o.qcow2')


def convert_case(source, target, *args, qargs=()):
    img('convert', *args, source, target)
    sound(target)
    same(source, target)
    fmt = 'qcow2' if target.endswith('.qcow2') else 'raw'
    src = 'qcow2' if source.endswith('.qcow2') else 'raw'
    qemu('convert', '-f', src, '-O', fmt, *qargs, source, 'theirs')
    mine, theirs = blocks(target), blocks('theirs')
    check(mine <= theirs * 1.05 + 512 * KIB, f'{target} takes {mine}, theirs {theirs}')


def create_raw():
    """Room that is asked for is there."""
    for how, want in ('off', 0), ('falloc', 4 * MIB), ('full', 4 * MIB):
        img('create', '-o', f'preallocation={how}', f'{how}.img', '4M')
        check(os.path.getsize(f'{how}.img') == 4 * MIB, how)
        check(os.stat(f'{how}.img').st_blocks * 512 >= want, f'{how}: no room')
    error(2, 'no metadata', 'create', '-o', 'preallocation=metadata', 'x.img', '4M')
    only(['off.img', 'falloc.img', 'full.img'])


def convert_raw():
    for seed in range(6):
        size = 20 * MIB + 512 * seed * 7
        pattern('a.img', size, seed)
        convert_case('a.img', f'{seed}.img')
        check(os.stat(f'{seed}.img').st_size == size, 'size')
    pattern('a.img', 2 * MIB + 512, 3)
    for threads in (1, 2, 16):
        convert_case('a.img', f't{threads}.img', '--threads', threads)
    with open('zeroes.img', 'wb') as f:
        f.write(bytes(4 * MIB))
    convert_case('zeroes.img', 'none.img')
    check(blocks('none.img') == 0, 'zeroes take space')
    with open('huge.img', 'wb') as f:
        f.truncate(4 << 40)
        f.seek(3 << 40)
        f.write(b'here')
    img('convert', 'huge.img', 'huge2.img')
    img('compare', 'huge.img', 'huge2.img')
    check(blocks('huge2.img') <= 64 * KIB, 'huge')


def convert_qcow2():
    pattern('a.img', 12 * MIB + 512 * 5, 5)
    for i, options in enumerate(OPTIONS):
        convert_case('a.img', f'{i}.qcow2', *joined(options), qargs=joined(options))
        convert_case(f'{i}.qcow2', f'{i}.img')
        os.unlink(f'{i}.img')
        qemu('convert', '-f', 'raw', '-O', 'qcow2', *joined(options), 'a.img', 'q.qcow2')
        convert_case('q.qcow2', f'q{i}.img')
        convert_case('q.qcow2', f'q{i}.qcow2')


def convert_compressed():
    pattern('a.img', 9 * MIB + 512, 6, part=0.8)
    for i, options in enumerate([{}, {'compression_type': 'zstd'}, {'cluster_size': 4096},
                                 {'cluster_size': 2 * MIB, 'compression_type': 'zstd'},
                                 {'cluster_size': 512}]):
        name = f'{i}.qcow2'
        convert_case('a.img', name, '-c', *joined(options), qargs=['-c', *joined(options)])
        report = json.loads(qemu('check', '--output=json', name))
        check(report.get('compressed-clusters', 0) > 0, 'nothing is compressed')
        convert_case(name, f'{i}.img')
        qemu('convert', '-c', '-f', 'raw', '-O', 'qcow2', *joined(options), 'a.img', 'q.qcow2')
        convert_case('q.qcow2', f'q{i}.img')
        convert_case('q.qcow2', f'q{i}.qcow2', '-c', qargs=['-c'])


def convert_onto():
    """What is the same in the backing image is not written; what is zero there has to be."""
    pattern('base.img', 6 * MIB, 7)
    shutil.copyfile('base.img', 'new.img')
    with open('new.img', 'r+b') as f:
        f.seek(MIB)
        f.write(b'x' * 100000)
        f.seek(3 * MIB)
        f.write(bytes(MIB))
        f.truncate(8 * MIB)
        f.seek(7 * MIB)
        f.write(b'y' * 5000)
    img('convert', '-B', 'base.img', '-F', 'raw', 'new.img', 'over.qcow2')
    sound('over.qcow2')
    same('new.img', 'over.qcow2')
    check(blocks('over.qcow2') < MIB, f'{blocks("over.qcow2")} bytes are written')
    os.mkdir('d')
    img('convert', '-B', '../base.img', '-F', 'raw', 'new.img', 'd/over.qcow2')
    qemu('compare', '-q', '-f', 'raw', '-F', 'qcow2', 'new.img', 'd/over.qcow2')
    error(2, 'leads out of the folder', 'compare', 'd/over.qcow2', 'new.img')
    img('compare', '--backing', 'base.img', 'd/over.qcow2', 'new.img')


def convert_replace():
    pattern('a.img', MIB, 8)
    pattern('b.img', MIB, 9)
    os.chmod('b.img', 0o640)
    os.symlink('b.img', 'link.img')
    error(1, 'exists; use --force', 'convert', 'a.img', 'b.img')
    error(2, 'what is to be read', 'convert', '--force', 'a.img', './a.img')
    img('convert', '--force', 'a.img', 'link.img')
    same('a.img', 'b.img')
    check(os.path.islink('link.img') and os.stat('b.img').st_mode & 0o777 == 0o640, 'replaced')
    only(['a.img', 'b.img', 'link.img'])


def convert_chain_target():
    pattern('base.img', MIB, 8)
    img('create', '-b', 'base.img', '-F', 'raw', 'over.qcow2')
    error(2, 'what is to be read', 'convert', '--force', 'over.qcow2', 'base.img')
    only(['base.img', 'over.qcow2'])


def maps(path, fmt):
    """As (start, length, depth, present, zero, data, compressed), pieces that are alike joined."""
    def simple(text):
        out = []
        for r in json.loads(text):
            kind = tuple(r[k] for k in ('depth', 'present', 'zero', 'data'))
            if out and out[-1][2] == kind:
                out[-1][1] += r['length']
            else:
                out.append([r['start'], r['length'], kind])
        return out

    def offsets(text):
        return {r['start']: r['offset'] for r in json.loads(text)
                if r['data'] and 'offset' in r}
    mine = img('map', '--json', '-f', fmt, path)
    theirs = qemu('map', '-f', fmt, '--output=json', path)
    check(simple(mine) == simple(theirs), f'{path}:\n{mine}\n{theirs}')
    mine, theirs = offsets(mine), offsets(theirs)
    for start in set(mine) & set(theirs):
        check(mine[start] == theirs[start], f'{path}: {start} at {mine[start]}')


def map_raw():
    for seed in range(4):
        pattern('a.img', 8 * MIB + 512, seed)
        maps('a.img', 'raw')
    open('empty.img', 'wb').close()
    check(json.loads(img('map', '--json', 'empty.img')) == [], 'an empty one')


def map_qcow2():
    pattern('base.img', 3 * MIB, 1)
    for i, options in enumerate(OPTIONS):
        qemu('create', '-q', '-f', 'qcow2', '-b', 'base.img', '-F', 'raw',
             *joined({k: v for k, v in options.items() if k != 'preallocation'}),
             f'{i}.qcow2', 8 * MIB)
        args = []
        rnd = random.Random(i)
        for _ in range(12):
            at = rnd.randrange(8 * MIB // 4096) * 4096
            size = min(8 * MIB - at, rnd.choice([4096, 65536, MIB]))
            args += ['-c', f'{rnd.choice(["write", "write -z", "write -P 3"])} {at} {size}']
        check(run(['qemu-io', '-f', 'qcow2', *args, f'{i}.qcow2']).returncode == 0, 'qemu-io')
        maps(f'{i}.qcow2', 'qcow2')
        img('create', '-b', f'{i}.qcow2', f'top{i}.qcow2')
        maps(f'top{i}.qcow2', 'qcow2')
    pattern('a.img', 3 * MIB, 4)
    qemu('convert', '-c', '-f', 'raw', '-O', 'qcow2', 'a.img', 'c.qcow2')
    maps('c.qcow2', 'qcow2')


def compare():
    pattern('a.img', 5 * MIB, 1)
    for at in (0, 511, 512, 2 * MIB, 5 * MIB - 1):
        shutil.copyfile('a.img', 'b.img')
        with open('b.img', 'r+b') as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 0x80]))
        got = json.loads(img('compare', '--json', 'a.img', 'b.img', status=1))
        check(got == {'identical': False, 'offset': at}, got)
        check(f'first at {at} ' in img('compare', 'a.img', 'b.img', status=1), 'text')
    shutil.copyfile('a.img', 'b.img')
    os.truncate('b.img', 6 * MIB)
    check('larger, by zeroes' in img('compare', 'a.img', 'b.img'), 'sizes')
    img('compare', '-s', 'a.img', 'b.img', status=1)
    with open('b.img', 'r+b') as f:
        f.seek(6 * MIB - 1)
        f.write(b'x')
    got = json.loads(img('compare', '--json', 'b.img', 'a.img', status=1))
    check(got['offset'] == 6 * MIB - 1, got)
    error(2, 'No such file', 'compare', 'a.img', 'none.img')


def resize_raw():
    pattern('a.img', 2 * MIB, 1)
    shutil.copyfile('a.img', 'b.img')
    img('resize', 'b.img', '+1M')
    check(os.stat('b.img').st_size == 3 * MIB, 'larger')
    same('a.img', 'b.img')
    error(2, '--shrink', 'resize', 'b.img', '-1M')
    img('resize', '--shrink', 'b.img', '-1M')
    check(run(['cmp', 'a.img', 'b.img']).returncode == 0, 'smaller')
    error(2, 'whole sectors', 'resize', 'b.img', '3000000')
    error(2, 'takes away all', 'resize', '--shrink', 'b.img', '-2M')
    error(2, 'no size', 'resize', 'b.img', 'large')


def resize_qcow2():
    pattern('a.img', 2 * MIB, 1)
    for i, options in enumerate(OPTIONS):
        name = f'{i}.qcow2'
        img('convert', *joined(options), 'a.img', name)
        img('resize', name, '+70M')
        sound(name)
        same('a.img', name)
        img('resize', '--shrink', name, '1M')
        sound(name)
        img('resize', name, '2M')
        sound(name)
        shutil.copyfile('a.img', 'cut.img')
        os.truncate('cut.img', MIB)
        os.truncate('cut.img', 2 * MIB)
        same('cut.img', name)


def poke(path, at, data):
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(data)


def peek(path, at, n):
    with open(path, 'rb') as f:
        f.seek(at)
        return int.from_bytes(f.read(n), 'big')


def check_case(path, status):
    theirs = json.loads(qemu('check', '--output=json', '-f', 'qcow2', path, status=status))
    mine = json.loads(img('check', '--json', path, status=status))
    # One wrong count may be told as two errors.
    check(bool(mine['corruptions']) == bool(theirs.get('corruptions')), f'{path}: {mine}')
    for key in ('leaks', 'total-clusters', 'allocated-clusters', 'compressed-clusters',
                *(['image-end-offset'] if status == 0 else [])):
        check(mine[key] == theirs.get(key, 0), f'{path}: {key}: {mine[key]} and {theirs.get(key)}')


def check_images():
    pattern('a.img', 4 * MIB, 1)
    for i, options in enumerate(OPTIONS):
        name = f'{i}.qcow2'
        qemu('convert', '-f', 'raw', '-O', 'qcow2', *joined(options), 'a.img', name)
        check_case(name, 0)
    qemu('convert', '-f', 'raw', '-O', 'qcow2', 'a.img', 'ok.qcow2')
    refcounts = peek('ok.qcow2', peek('ok.qcow2', 48, 8), 8)
    l2 = peek('ok.qcow2', peek('ok.qcow2', 40, 8), 8) & ~(1 << 63)
    last = peek('ok.qcow2', 0, 4)
    check(last == 0x514649fb, 'a qcow2')
    # A cluster that is counted and not used; then one that is used and not counted.
    size = os.stat('ok.qcow2').st_size
    first = next(n for n in range(64) if peek('ok.qcow2', l2 + 8 * n, 8))
    used = (peek('ok.qcow2', l2 + 8 * first, 8) & 0x00fffffffffffe00) // 65536
    for name, cluster, count, status in (('leak', (size + 65535) // 65536, 1, 3),
                                         ('error', used, 0, 2)):
        path = f'{name}.qcow2'
        shutil.copyfile('ok.qcow2', path)
        os.truncate(path, (size + 65535) // 65536 * 65536 + 65536)
        poke(path, refcounts + 2 * cluster, count.to_bytes(2, 'big'))
        check_case(path, status)
        img('check', '--repair', 'leaks' if name == 'leak' else 'all', path)
        sound(path)
        same('a.img', path)
    error(1, 'nothing to check', 'check', 'a.img')
    error(1, 'leaks or all', 'check', '--repair', 'some', 'ok.qcow2')
    error(1, 'No such file', 'check', 'none.qcow2')


def snapshots():
    pattern('a.img', 3 * MIB, 1)
    pattern('b.img', 3 * MIB, 2)
    img('convert', 'a.img', 'd.qcow2')
    img('snapshot', 'd.qcow2', '--create', 'first')
    check('first' in qemu('snapshot', '-l', 'd.qcow2'), 'listed by qemu-img')
    with open('b.img', 'rb') as f:
        data = f.read()
    shutil.copyfile('b.img', 'now.img')
    check(run(['qemu-io', '-f', 'qcow2', '-c', 'write -q -s b.img 0 3M', 'd.qcow2']).returncode == 0,
          f'{len(data)} bytes written')
    sound('d.qcow2')
    qemu('snapshot', '-c', 'second', 'd.qcow2')
    check([s['name'] for s in json.loads(img('snapshot', '--json', 'd.qcow2'))] ==
          ['first', 'second'], 'listed')
    img('convert', '--snapshot', 'first', 'd.qcow2', 'old.img')
    same('a.img', 'old.img')
    same('b.img', 'd.qcow2')
    img('snapshot', 'd.qcow2', '-a', 'first')
    sound('d.qcow2')
    same('a.img', 'd.qcow2')
    img('snapshot', 'd.qcow2', '-d', 'first')
    img('snapshot', 'd.qcow2', '-d', 'second')
    sound('d.qcow2')
    same('a.img', 'd.qcow2')
    check('no snapshots' in img('snapshot', 'd.qcow2', '-l'), 'none are left')
    error(2, 'one thing at a time', 'snapshot', '-l', '-d', 'x', 'd.qcow2')
    error(4, 'no snapshots', 'snapshot', '-c', 'x', 'a.img')


def commits():
    for i, options in enumerate(OPTIONS):
        for base in ('base.img', 'base.qcow2'):
            for name in os.listdir('.'):
                os.unlink(name)
            pattern('a.img', 4 * MIB, i)
            qemu('convert', '-f', 'raw', '-O', 'raw' if base == 'base.img' else 'qcow2',
                 'a.img', base)
            img('create', *joined({k: v for k, v in options.items() if k != 'preallocation'}),
                '-b', base, 'top.qcow2', '6M')
            check(run(['qemu-io', '-f', 'qcow2', '-c', 'write -q -P 7 1M 300k', '-c',
                       'write -q -z 2M 512k', '-c', 'write -q -P 9 5M 4k',
                       'top.qcow2']).returncode == 0, 'qemu-io')
            qemu('convert', '-f', 'qcow2', '-O', 'raw', 'top.qcow2', 'want.img')
            before = json.loads(qemu('info', '--output=json', 'top.qcow2'))
            img('commit', 'top.qcow2')
            same('want.img', base)
            same('want.img', 'top.qcow2')
            sound(base)
            sound('top.qcow2')
            after = json.loads(qemu('info', '--output=json', 'top.qcow2'))
            for key in ('virtual-size', 'cluster-size', 'format-specific', 'backing-filename'):
                check(before[key] == after[key], f'{key} is not as before')
            check(all(r['depth'] == 1 for r in json.loads(
                qemu('map', '--output=json', 'top.qcow2'))), 'the overlay is not empty')
    error(2, 'no backing image', 'commit', 'a.img')
    os.mkdir('moved')  # an empty overlay would be left on an image that is not there
    os.rename('base.qcow2', 'moved/base.qcow2')
    alone = 'open -o driver=qcow2,backing=,file.filename=top.qcow2'
    check(run(['qemu-io', '-f', 'qcow2', '-c', alone, '-c',
               'write -q -P 3 0 64k']).returncode == 0, 'qemu-io')
    shutil.copyfile('moved/base.qcow2', 'was.qcow2')
    error(2, 'rebase it', 'commit', '--backing', 'moved/base.qcow2', 'top.qcow2')
    same('moved/base.qcow2', 'was.qcow2')
    img('commit', '--keep', '--backing', 'moved/base.qcow2', 'top.qcow2')
    check(run(['qemu-io', '-r', '-f', 'qcow2', '-c', 'read -P 3 0 64k',
               'moved/base.qcow2']).returncode == 0, 'the bytes are not there')


def rebase():
    pattern('a.img', MIB, 1)
    shutil.copyfile('a.img', 'b.img')
    img('create', '-b', 'a.img', 'top.qcow2')
    error(2, '--unsafe', 'rebase', '-b', 'b.img', 'top.qcow2')
    img('rebase', '-u', '-b', 'b.img', '-F', 'raw', 'top.qcow2')
    check(json.loads(qemu('info', '--output=json', 'top.qcow2'))['backing-filename'] == 'b.img',
          'renamed')
    error(3, 'No such file', 'rebase', '-u', '-b', 'c.img', '-F', 'raw', 'top.qcow2')
    img('rebase', '-u', '-b', '', 'top.qcow2')
    check('backing-filename' not in json.loads(qemu('info', '--output=json', 'top.qcow2')), 'none')


def bad_arguments():
    error(2, 'did you mean img convert?', 'convret', 'a', 'b')
    error(2, 'sundog img --help', 'frobnicate')
    error(2, 'too little', 'convert', 'a')
    error(2, 'c is one too many', 'convert', 'a', 'b', 'c')
    error(2, 'did you mean --output-format?', 'convert', '--ouput-format', 'raw', 'a', 'b')
    error(2, 'which size?', 'create', 'a.img')
    error(2, 'no size', 'create', 'a.img', 'big')
    error(2, 'write 1024', 'create', 'a.img', '1000')
    error(2, 'no image format', 'create', '-f', 'vmdk', 'a.img', '1M')
    error(2, 'did you mean qcow2', 'create', '-f', 'qcow', 'a.img', '1M')
    error(2, 'cluster_size', 'create', '-o', 'cluster_size=4K', 'a.img', '1M')
    error(2, '--backing-format without', 'create', '-F', 'raw', 'a.img', '1M')
    error(4, 'no backing image', 'create', '-b', 'x', 'a.img')
    error(3, 'No such file', 'create', 'none/a.img', '1M')
    only([])
    for command in ('create', 'info', 'check', 'convert', 'resize', 'commit', 'snapshot', 'map',
                    'compare', 'rebase'):
        check('Examples:' in img(command, '--help'), command)
        check(command in img('--help'), command)


def bad_options():
    error(2, 'power of two', 'create', '-o', 'cluster_size=5000', 'a.qcow2', '1M')
    error(2, 'cluster_size', 'create', '-o', 'cluster_size=4M', 'a.qcow2', '1M')
    error(2, 'compat=9', 'create', '-o', 'compat=9', 'a.qcow2', '1M')
    error(2, 'did you mean', 'create', '-o', 'clustersize=4K', 'a.qcow2', '1M')
    error(2, '', 'create', '-o', 'refcount_bits=3', 'a.qcow2', '1M')
    error(3, 'No such file', 'create', '-b', 'none.img', 'a.qcow2')
    only([])


def bad_files():
    pattern('a.img', MIB, 1)
    os.mkdir('d')
    os.mkfifo('fifo')
    error(3, 'No such file', 'info', 'none.img')
    error(3, 'd', 'info', 'd')
    error(3, 'folder', 'convert', '--force', 'a.img', 'd')
    error(2, 'device or a pipe', 'convert', '--force', 'a.img', 'fifo')
    error(3, 'No such file', 'convert', 'a.img', 'none/b.img')
    error(3, 'No such file', 'convert', 'none.img', 'b.img')
    error(1, 'exists', 'create', 'a.img', '1M')
    error(2, 'cannot be compressed', 'convert', '-c', 'a.img', 'b.img')
    if os.geteuid() != 0:
        os.chmod('a.img', 0)
        error(3, 'Permission denied', 'info', 'a.img')
    only(['a.img', 'd', 'fifo'])


def bad_qcow2():
    pattern('a.img', MIB, 1)
    qemu('create', '-q', '-f', 'qcow2', 'self.qcow2', '1M')
    qemu('rebase', '-u', '-b', 'self.qcow2', '-F', 'qcow2', 'self.qcow2')
    error(3, 'behind itself', 'map', 'self.qcow2')
    error(3, 'behind itself', 'convert', 'self.qcow2', 'b.img')
    img('info', 'self.qcow2')
    qemu('convert', '-f', 'raw', '-O', 'qcow2', 'a.img', 'cut.qcow2')
    shutil.copyfile('cut.qcow2', 'plain')
    error(2, 'looks like a qcow2', 'info', 'plain')
    img('info', '-f', 'qcow2', 'plain')
    os.truncate('cut.qcow2', 70)
    for command in ('info', 'check', 'map'):
        error(1 if command == 'check' else 3, 'cut.qcow2', command, 'cut.qcow2')
    with open('vmdk', 'wb') as f:
        f.write(b'KDMV' + bytes(4092))
    error(3, 'VMDK', 'info', 'vmdk')
    only(['a.img', 'self.qcow2', 'cut.qcow2', 'plain', 'vmdk'])


def locked():
    pattern('a.img', MIB, 1)
    qemu('create', '-q', '-f', 'qcow2', 'd.qcow2', '1M')
    for path, fmt in (('a.img', 'raw'), ('d.qcow2', 'qcow2')):
        other = subprocess.Popen(['qemu-io', '-f', fmt, path], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        try:
            other.stdin.write('write 0 512\n')
            other.stdin.flush()
            other.stdout.readline()
            error(1, path, 'resize', '-f', fmt, path, '+1M')
            error(1, path, 'convert', '-f', fmt, path, 'b.img')
            pattern('c.img', MIB, 2)
            error(1, path, 'convert', '--force', 'c.img', path)
            img('info', '-U', '-f', fmt, path)
        finally:
            other.communicate('quit\n')
        img('info', '-f', fmt, path)
    only(['a.img', 'c.img', 'd.qcow2'])


def no_room():
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, 3 * MIB))
    with open('a.img', 'wb') as f:
        f.write(random.Random(1).randbytes(8 * MIB))
    error(3, 'b.img: File too large', 'convert', 'a.img', 'b.img',
          preexec_fn=limit)
    only(['a.img'])
    error(3, 'File too large', 'convert', 'a.img', 'b.qcow2', preexec_fn=limit)
    only(['a.img'])


def tmpfs():
    """A full file system; where a name space of mounts can be had."""
    script = (f'mount -t tmpfs -o size=4M none d && {SUNDOG} img convert a.img d/b.img; '
              'echo $?; ls -A d')
    os.mkdir('d')
    with open('a.img', 'wb') as f:
        f.write(random.Random(1).randbytes(8 * MIB))
    p = run(['unshare', '--map-root-user', '--mount', 'sh', '-c', script])
    if 'unshare' in p.stderr or 'mount' in p.stderr:
        return
    check(p.stdout == '1\n' and 'No space left' in p.stderr and p.stderr.count('\n') == 1,
          f'{p.stdout}{p.stderr}')


def interrupted():
    """Signals, at all times: the source is as it was, and the target there or not, whole."""
    with open('a.img', 'wb') as f:
        f.write(random.Random(1).randbytes(32 * MIB))
    for i in range(24):
        target = 'b.qcow2' if i % 2 else 'b.img'
        sig = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3]
        p = subprocess.Popen([SUNDOG, 'img', 'convert', 'a.img', target],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.004 * i)
        p.send_signal(sig)
        err = p.communicate(timeout=60)[1]
        check(p.returncode in (0, -sig) and not err, f'{p.returncode}, {err}')
        if os.path.exists(target):
            same('a.img', target)
            os.unlink(target)
        only(['a.img'])


CASES = [info_raw, info_qcow2, create, create_raw, convert_raw, convert_qcow2, convert_compressed,
         convert_onto, convert_replace, convert_chain_target, map_raw, map_qcow2, compare,
         resize_raw, resize_qcow2, check_images, snapshots, commits, rebase, bad_arguments,
         bad_options, bad_files, bad_qcow2, locked, no_room, tmpfs, interrupted]


def main():
    global SUNDOG
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('sundog')
    p.add_argument('names', nargs='*', help='of cases')
    opts = p.parse_args()
    SUNDOG = os.path.abspath(opts.sundog)
    if not shutil.which('qemu-img') or not shutil.which('qemu-io'):
        print('qemu-img and qemu-io are not here: install qemu-utils')
        return 77
    failed = []
    for case in CASES:
        if opts.names and case.__name__ not in opts.names:
            continue
        with tempfile.TemporaryDirectory(prefix='sundog-img-', dir='/var/tmp') as tmp:
            os.chdir(tmp)
            start = time.monotonic()
            try:
                case()
                print(f'ok   {case.__name__} ({time.monotonic() - start:.1f} s)', flush=True)
            except (Failure, subprocess.TimeoutExpired) as e:
                failed.append(case.__name__)
                print(f'FAIL {case.__name__}: {e}', flush=True)
            os.chdir('/')
    print(f'{len(failed)} failed' if failed else 'all passed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
