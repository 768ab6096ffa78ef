# SPDX-License-Identifier: MIT
"""A machine that dies while it writes: what its file system has synced is there.

The machine records what it does to the image.  A kill loses nothing that the host's page cache
has, so images are made from the record as a power cut could leave them: some of the writes after
the last flush are dropped, or torn.  Each has to be sound to qemu-img and e2fsck, and to have all
that was synced up to there.
"""
import os
import random
import shutil
import subprocess
import sys

from guest import GuestError
from harness import TOP, boot_test, check

sys.path.insert(0, os.path.join(TOP, 'tests', 'block'))
from replay import Log, replay  # pylint: disable=wrong-import-position

SIZE = '48M'
WRITER = r'''
mkdir /mnt; mount -t ext4 /dev/vda /mnt; i=0
while [ $i -lt 400 ]; do
    i=$((i + 1))
    head -c $((i * 7919 % 60000 + 1)) /dev/urandom >/mnt/file$i
    head -c $((i * 104729 % 900000)) /dev/urandom >/mnt/again
    mkdir /mnt/dir$i; mv /mnt/file$i /mnt/dir$i/file; rm -rf /mnt/dir$((i - 30))
    [ $((i % 5)) != 0 ] || fstrim /mnt
    sync; echo "@@ synced $i $(sha256sum </mnt/dir$i/file)"
done'''


def new_image(env, fmt):
    """An ext4 file system in an image; how it begins."""
    raw, path = (os.path.join(env.tmp, name) for name in ('raw', 'image'))
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', raw, SIZE], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(['qemu-img', 'convert', '-O', fmt, raw, path], check=True)
    shutil.copyfile(path, path + '.initial')
    return path


def write_until_killed(env, disk, log, files):
    """Returns [(how long the log was when that was heard, number of the file, its hash)]."""
    initrd = env.initrd(script=WRITER, modules=('virtio_pci', 'virtio_blk'))
    synced = []
    with env.run('--initrd', initrd, '--append', 'quiet', '--disk', disk) as g:
        while len(synced) < files:
            m = g.expect(r'^@@ synced (\d+) (\w{64})', 240)
            synced.append((os.path.getsize(log), int(m.group(1)), m.group(2)))
        g.proc.kill()
        g.proc.wait()
    return synced


def is_sound(path, fmt):
    """qemu-img may find leaks, as after any crash, but no error; then the file system's turn."""
    raw = path
    if fmt == 'qcow2':
        p = subprocess.run(['qemu-img', 'check', '-f', fmt, path], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        check(f'qemu-img check: {p.stdout[-1000:]}', p.returncode in (0, 3), True)
        raw = path + '.raw'
        subprocess.run(['qemu-img', 'convert', '-f', fmt, '-O', 'raw', path, raw], check=True)
    # The first run plays the journal, as a mount does; nothing else is to be mended.
    subprocess.run(['e2fsck', '-fy', '-E', 'journal_only', raw], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    p = subprocess.run(['e2fsck', '-fn', raw], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    check(f'e2fsck: {p.stdout[-2000:]}', p.returncode, 0)
    return raw


def hashes(raw, numbers):
    commands = ''.join(f'cat /dir{n}/file\n' for n in numbers)
    out = {}
    for n, command in zip(numbers, commands.splitlines()):
        data = subprocess.run(['debugfs', '-R', command, raw], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True).stdout
        out[n] = subprocess.run(['sha256sum'], input=data, stdout=subprocess.PIPE,
                                check=True).stdout.split()[0].decode()
    return out


def crash(env, fmt, files, states):
    path = new_image(env, fmt)
    log_path = os.path.join(env.tmp, 'log')
    synced = write_until_killed(env, f'{path},format={fmt},log={log_path}', log_path, files)
    is_sound(path, fmt)  # what the kill itself has left
    log = Log(log_path)
    rng = random.Random(env.seed)
    out = os.path.join(env.tmp, 'replayed')
    for state in range(states):
        cut = rng.randrange(len(log.records) + 1)
        end = log.records[cut - 1].at if cut else 0
        shutil.copyfile(path + '.initial', out)
        with open(out, 'r+b') as f:
            replay(log, f, cut, seed=rng.randrange(1 << 30), torn=state % 2 == 0)
        try:
            raw = is_sound(out, fmt)
            known = [(n, sha) for at, n, sha in synced if at <= end]
            want = dict(known[-5:])
            got = hashes(raw, want)
            check('synced files', got, want)
        except (GuestError, subprocess.CalledProcessError):
            print(f'seed {env.seed}, state {state}: cut after {cut} of {len(log.records)}')
            raise
    print(f'{len(log.records)} records, {len(synced)} syncs, {states} states')


@boot_test(600, engines=('jit',))
def crash_raw(env):
    crash(env, 'raw', 25, 40)


@boot_test(600, engines=('jit',))
def crash_qcow2(env):
    crash(env, 'qcow2', 25, 40)


@boot_test(7200, ('soak',), ('jit',))
def crash_many(env):
    crash(env, 'qcow2', 300, 2000)
