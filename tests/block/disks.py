#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""disks.py - images beside QEMU's tools: locks, bytes, errors, faults, crashes.

    disks.py BLKIO SUNDOG FAULTS.so [TEST]...
"""
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import replay  # noqa: E402

BLKIO, SUNDOG, FAULTS = (os.path.abspath(p) for p in sys.argv[1:4])
MIB = 1 << 20


def run(*args, **env):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=100,
                          check=False, env={**os.environ, **env})


def ok(*args, **env):
    p = run(*args, **env)
    assert p.returncode == 0, f'{args}: {p.returncode}\n{p.stdout}{p.stderr}'
    return p.stdout


def fails(want, *args, status=1, **env):
    p = run(*args, **env)
    assert p.returncode == status, f'{args}: status {p.returncode}\n{p.stdout}{p.stderr}'
    assert want in p.stderr, f'{args}: {p.stderr!r} lacks {want!r}'
    assert p.stderr.count('\n') == 1, f'{args}: more than a line: {p.stderr!r}'


def faulty():
    """The environment that brings the faults; the address sanitizer wants to be loaded first."""
    options = os.environ.get('ASAN_OPTIONS', '')
    return {'LD_PRELOAD': FAULTS, 'ASAN_OPTIONS': options + ':verify_asan_link_order=0'}


def blkio(*args, **env):
    return ok(BLKIO, *args, **env)


@contextlib.contextmanager
def held(*args):
    """A process that has opened an image and says a line about it."""
    with subprocess.Popen([str(a) for a in args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as p:
        line = p.stdout.readline()
        assert line, f'{args} said nothing'
        try:
            yield p
        finally:
            p.terminate()
            p.wait(30)


def raw(name='a.raw', size=MIB):
    with open(name, 'wb') as f:
        f.truncate(size)
    return name


# --- tests ---------------------------------------------------------------------------------------

def test_bytes():
    """What we write, qemu-io reads, and the other way round; also odd sizes and O_DIRECT."""
    for extra in ('', ',cache=none', ',cache=unsafe', ',aio=threads'):
        a = raw('bytes.raw', MIB + 100)
        blkio(a + extra, 'write', '1K', '8K', 7, 'write', '513', '700', 9, 'zero', '4K', '1K',
              'unmap', '64K', '64K', 'flush', 'read', '4K', '1K', 0, 'read', 513, 511, 9)
        ok('qemu-io', '-f', 'raw', '-c', 'read -P 9 513 700', '-c', 'read -P 0 4k 1k', '-c',
           'read -P 7 6k 3k', '-c', 'write -P 5 128k 4k', a)
        assert blkio(a + extra, 'read', '128K', '4K', 5, 'size') == f'{MIB + 512}\n'
        # The last sector, which is not whole in the file.
        blkio(a + extra, 'read', MIB, 512, 0, 'write', MIB, 512, 3, 'read', MIB, 512, 3)


def test_zero_fallbacks():
    """Where the host can make no holes, zeroes are written."""
    for code in (95, 22):
        a = raw('z.raw')
        blkio(a, 'write', 0, '64K', 1)
        blkio(a, 'unmap', 512, '32K', 'zero', '40K', '4K', 'read', 512, '32K', 0, 'read', '40K', '4K',
              0, 'discard', 0, '8K', **faulty(), FAULTS=f'fallocate:1:{code}')
        ok('qemu-io', '-f', 'raw', '-r', '-c', 'read -P 0 512 32k', '-c', 'read -P 1 50k 4k', a)


def test_locks_ours():
    """Who has a disk with us keeps QEMU's tools from it, and ourselves."""
    a = raw('l.raw')
    with held(BLKIO, a, 'wait'):
        fails('is in use by blkio (process ', BLKIO, a)
        fails('is being written by blkio', BLKIO, a + ',ro')
        blkio(a + ',lock=off')
        fails('l.raw is in use by blkio', SUNDOG, 'run', '/bin/true', '--disk', a)
        p = run('qemu-io', '-f', 'raw', '-c', 'read 0 512', a)
        assert p.returncode and 'lock' in p.stderr, p
        ok('qemu-io', '-U', '-r', '-f', 'raw', '-c', 'read 0 512', a)
    with held(BLKIO, a + ',ro', 'wait'):
        blkio(a + ',ro', 'read', 0, 512, 0)
        ok('qemu-io', '-f', 'raw', '-r', '-c', 'read 0 512', a)
        ok('qemu-img', 'convert', '-f', 'raw', a, 'copy.raw')
        fails('is in use by blkio', BLKIO, a)
        assert run('qemu-io', '-f', 'raw', '-c', 'write 0 512', a).returncode
    blkio(a)
    ok('qemu-io', '-f', 'raw', '-c', 'write 0 512', a)
    # Whoever reads metadata minds a writer.
    ok('qemu-img', 'create', '-q', '-f', 'qcow2', 'q.img', '1M')
    with held(BLKIO, 'q.img,format=raw', 'wait'):
        for args in (['qemu-img', 'info', 'q.img'], ['qemu-img', 'check', 'q.img'],
                     ['qemu-io', '-r', '-c', 'read 0 512', 'q.img']):
            p = run(*args)
            assert p.returncode and 'lock' in p.stderr, p
    with held(BLKIO, 'q.img,format=raw,ro', 'wait'):
        ok('qemu-img', 'info', 'q.img')
        ok('qemu-io', '-r', '-c', 'read 0 512', 'q.img')


def qemu(path, read_only):
    """A QEMU that has the image open, and waits."""
    return held('qemu-system-x86_64', '-M', 'microvm', '-display', 'none', '-qmp', 'stdio', '-S',
                '-blockdev', f'driver=raw,node-name=d,read-only={read_only},file.driver=file,'
                f'file.filename={path}', '-device', 'virtio-blk-device,drive=d')


def settle(q):
    """It answers when it has opened everything."""
    q.stdin.write('{"execute": "qmp_capabilities"}\n')
    q.stdin.flush()
    assert 'return' in q.stdout.readline()


def test_locks_qemus():
    """And who has it with QEMU keeps us from it."""
    a = raw('q.raw')
    if not shutil.which('qemu-system-x86_64'):
        print('  no qemu-system-x86_64: left out')
        return
    with qemu(a, 'off') as q:
        settle(q)
        fails('is in use by qemu-system-x86 (process ', BLKIO, a)
        fails('is being written by qemu-system-x86', BLKIO, a + ',ro')
        blkio(a + ',lock=off,ro')
    with qemu(a, 'on') as q:
        settle(q)
        blkio(a + ',ro', 'read', 0, 512, 0)
        fails('is in use by', BLKIO, a)
    blkio(a)


def test_errors():
    """One line: what is wrong with which file, and what helps."""
    os.mkdir('folder')
    os.mkfifo('fifo')
    raw('empty.raw', 0)
    raw('plain.img')
    ok('qemu-img', 'create', '-q', '-f', 'qcow2', 'guess.img', '1M')
    ok('qemu-img', 'create', '-q', '-f', 'vmdk', 'other.img', '1M')
    for spec, want, status in (
            ('none.raw', 'cannot open none.raw: No such file', 3),
            ('folder', 'folder is a folder; name an image', 3),
            ('folder,ro', 'folder is a folder; name an image', 3),
            ('fifo', 'neither a file nor a block device', 3),
            ('/dev/zero', 'neither a file nor a block device', 3),
            ('empty.raw', 'empty.raw is empty', 3),
            ('other.img', 'looks like a VMDK image', 3),
            ('plain.img,format=rwa', 'did you mean raw', 2),
            ('plain.img,fromat=raw', "did you mean 'format'", 2),
            ('plain.img,on-error=die', 'on-error=die is unknown', 2),
            ('empty.raw,iops=many', 'is not a size', 2),
            (',ro', 'a file must come first', 2),
            ('y' * 100 + '/' + 'x' * 300, 'cannot open yyy', 3)):
        fails(want, SUNDOG, 'run', '/bin/true', '--disk', spec, status=status)
    p = run(SUNDOG, 'run', '/bin/true', '--disk', 'guess.img')
    assert 'looks like a qcow2 image' in p.stderr and p.stderr.count('\n') == 1, p.stderr
    p = run(SUNDOG, 'run', '/bin/true', '--disk', 'plain.img,device=none')
    assert 'plain.img: taken as raw' in p.stderr, p.stderr
    p = run(SUNDOG, 'run', '/bin/true', '--disk', raw('b.raw') + ',device=none', '--disk',
            'b.raw,device=none')
    assert 'b.raw is in use by this very process' in p.stderr, p.stderr


def test_own_data():
    """Data files: none that is the image, or the guest would write its tables; none with a log."""
    ok('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'data_file=x.data', 'q.data', '1M')
    fails('leave log= out', BLKIO, 'q.data,format=qcow2,log=q.log', 'write', 0, '4K', 1)
    with open('q.data', 'r+b') as f:
        head = f.read(4096)
        f.seek(head.index(b'x.data'))
        f.write(b'q.data')
    fails('names itself', BLKIO, 'q.data,format=qcow2,lock=off', 'write', 0, '4K', 1)


def test_faults():
    """Errors of the host reach who asked, and nothing else happens."""
    a = raw('f.raw')
    env = faulty()
    fails('write: Input/output error', BLKIO, a, 'write', 0, '4K', 1, **env, FAULTS='pwritev2:1:5')
    fails('write: No space left', BLKIO, a, 'write', 0, '4K', 1, **env, FAULTS='pwritev2:1:28')
    fails('read: Input/output error', BLKIO, a, 'read', 0, '4K', 0, **env, FAULTS='preadv:1:5')
    fails('flush: Input/output error', BLKIO, a, 'flush', **env, FAULTS='fdatasync:1:5')
    blkio(a + ',cache=unsafe', 'flush', **env, FAULTS='fdatasync:1:5')
    for code in 5, 28:  # the host forgets what it could not write: trying again helps nobody
        fails('flush: Input/output error', BLKIO, a, 'write', 0, '4K', 1, 'lose', 'flush', **env,
              FAULTS=f'fdatasync:1:{code}:1')
    if run(BLKIO, a + ',cache=none').returncode == 0:
        blkio(a + ',cache=none', 'write', 0, '4K', 1, 'lose', 'flush', **env,
              FAULTS='fdatasync:1:5:1')


def test_full():
    """A host disk without room, if we may mount one."""
    os.mkdir('small')
    if run('mount', '-t', 'tmpfs', '-o', 'size=256K', 'tmpfs', 'small').returncode:
        print('  cannot mount a tmpfs: left out')
        return
    try:
        a = raw('small/a.raw')
        blkio(a, 'write', 0, '64K', 1)
        fails('write: No space left', BLKIO, a, 'write', '64K', '512K', 2)
        blkio(a, 'read', 0, '64K', 1)
    finally:
        ok('umount', 'small')


def same(a, b):
    with open(a, 'rb') as f, open(b, 'rb') as g:
        return f.read() == g.read()


def test_log():
    """A whole replay is the image; of a cut one, all that was flushed is there."""
    for seed in range(5):
        a = raw('log.raw')
        shutil.copy(a, 'before.raw')
        blkio(f'{a},log=log,aio=threads', 'random', seed, 200)
        log = replay.Log('log')
        assert len(log.records) > 150
        shutil.copy('before.raw', 'after.raw')
        with open('after.raw', 'r+b') as out:
            replay.replay(log, out, keep='all')
        assert same(a, 'after.raw'), f'seed {seed}'
    syncs = [i for i, r in enumerate(log.records) if r.kind == replay.SYNC]
    rng = random.Random(1)
    for seed in range(10):
        cut = rng.choice(syncs) + 1
        images = []
        for keep, torn in (('none', False), ('some', True)):
            shutil.copy('before.raw', 'cut.raw')
            with open('cut.raw', 'r+b') as out:
                replay.replay(log, out, cut=cut, seed=seed, keep=keep, torn=torn)
            with open('cut.raw', 'rb') as f:
                images.append(f.read())
        assert images[0] == images[1], 'something that was flushed is not there'
    shutil.copy('before.raw', 'cut.raw')
    with open('cut.raw', 'r+b') as out:
        assert replay.replay(log, out, seed=3)[1] > 0, 'nothing was dropped'


def main():
    tests = {n[5:]: f for n, f in globals().items() if n.startswith('test_')}
    bad = 0
    for name in sys.argv[4:] or tests:
        with tempfile.TemporaryDirectory(dir='/var/tmp') as tmp:
            os.chdir(tmp)
            try:
                tests[name]()
                print(f'{name}: passed')
            except AssertionError as e:
                bad += 1
                print(f'{name}: FAILED: {e}')
            os.chdir('/')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
