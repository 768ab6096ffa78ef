# SPDX-License-Identifier: MIT
"""Disks that boot by the kernel in their /boot: with and without partitions and initrd."""
import os
import shutil
import subprocess

from guest import Guest, GuestError
from harness import boot_test, check

VERSION = '6.1.0-9-cloud-amd64'
UUID = '01234567-89ab-cdef-0123-456789abcdef'
SBIN = {**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
# /boot is 1 MiB to 25 MiB, the root is behind it.
GPT = 'label: gpt\nsize=24M\nuuid=11111111-2222-3333-4444-555555555555, type=L\n'
MBR = 'label: dos\nlabel-id: 0xcafe0042\nsize=24M\ntype=5\ntype=L\n'

INIT = '''#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "@@ $(/bin/busybox cat /proc/cmdline)"
/bin/busybox sh /script
/bin/busybox poweroff -f
'''


def tree(env, name, script, kernel=True, root=True):
    """A directory with what a root file system needs, and perhaps a kernel in its /boot."""
    top = os.path.join(env.tmp, name)
    for d in ('boot', 'bin', 'sbin', 'proc', 'dev', 'etc'):
        os.makedirs(os.path.join(top, d))
    if kernel:
        shutil.copy(env.kernel(), os.path.join(top, 'boot', 'vmlinuz-' + VERSION))
    if root:
        shutil.copy(env.busybox(), os.path.join(top, 'bin', 'busybox'))
        for path, text in (('sbin/init', INIT), ('script', script), ('etc/fstab', '')):
            with open(os.path.join(top, path), 'w', encoding='ascii') as f:
                f.write(text)
            os.chmod(os.path.join(top, path), 0o755)
    return top


def file_system(image, top, offset=0, size=63, options=()):
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-U', UUID, '-E', f'offset={offset << 20}',
                    *options, '-d', top, image, f'{size}M'], check=True, env=SBIN,
                   stdout=subprocess.DEVNULL)


def partitioned(env, table, script):
    """A separate /boot in the first partition, and the root in another."""
    image = os.path.join(env.tmp, 'disk.raw')
    with open(image, 'wb') as f:
        f.truncate(96 << 20)
    subprocess.run(['sfdisk', '-q', image], input=table, text=True, check=True, env=SBIN)
    found = subprocess.run(['sfdisk', '-l', '-q', '-o', 'start', image], text=True, check=True,
                           env=SBIN, stdout=subprocess.PIPE).stdout.split()[1:]
    boot = os.path.join(env.tmp, 'boot')
    os.makedirs(boot)
    shutil.copy(env.kernel(), os.path.join(boot, 'vmlinuz-' + VERSION))
    file_system(image, boot, int(found[0]) >> 11, 24)
    file_system(image, tree(env, 'root', script, kernel=False), int(found[-1]) >> 11, 64)
    return image


def run(env, image, *args):
    return Guest([env.sundog, 'run', image, '--engine', env.engine, '--control', 'none',
                  '--append', 'quiet', *args], env.patience)


def boots(env, image, said, root, *args):
    """It says what it boots, the kernel is told of that root and finds init there."""
    with run(env, image, *args) as g:
        g.expect(f'^sundog: .*kernel .*vmlinuz-{VERSION}, {said}')
        g.expect(f'^@@ console=ttyS0 .* {root} ro quiet\r*\n')
        check('exit status', g.wait(), 0)
        return g.text


@boot_test(240)
def disk_plain(env):
    """No partitions, no initrd: the whole disk, as NVMe."""
    image = os.path.join(env.tmp, 'disk.raw')
    file_system(image, tree(env, 'root', 'echo here'))
    if 'here' not in boots(env, image, 'no initrd, .*as nvme', 'root=/dev/nvme0n1'):
        raise GuestError('init did not run the script')
    boots(env, os.path.join(env.tmp, 'disk.raw,ro'), 'no initrd', 'root=/dev/nvme0n1')


@boot_test(240)
def disk_partitions(env):
    """A separate /boot on a GPT and on an MBR disk with a logical root."""
    boots(env, partitioned(env, GPT, ''), 'no initrd, .*as nvme',
          'root=PARTUUID=11111111-2222-3333-4444-555555555555')
    shutil.rmtree(os.path.join(env.tmp, 'boot'))
    shutil.rmtree(os.path.join(env.tmp, 'root'))
    boots(env, partitioned(env, MBR, ''), 'no initrd', 'root=PARTUUID=cafe0042-05')


@boot_test(300, engines=('jit',))
def disk_initrd(env):
    """With an initrd the disk is virtio, and the root is named by its file system."""
    top = tree(env, 'root', '')
    initrd = os.path.join(top, 'boot', 'initrd.img-' + VERSION)
    shutil.move(env.initrd(script='echo "@@ $(cat /proc/cmdline)"; cat /sys/block/vda/size',
                           modules=('virtio_pci', 'virtio_blk')), initrd)
    image = os.path.join(env.tmp, 'disk.raw')
    file_system(image, top)
    text = boots(env, image, 'initrd .*as virtio', f'root=UUID={UUID}')
    check('the disk is there', str(63 << 11) in text, True)


@boot_test(300)
def disk_new_kernel(env):
    """A reset boots the kernel that the guest has installed meanwhile."""
    image = os.path.join(env.tmp, 'disk.raw')
    file_system(image, tree(env, 'root', '''
        mount() { /bin/busybox mount "$@"; }
        mount -o remount,rw /
        if [ -e /boot/vmlinuz-6.2.0 ]; then echo second; exit; fi
        /bin/busybox cp /boot/vmlinuz-6.1* /boot/vmlinuz-6.2.0
        /bin/busybox sync
        mount -o remount,ro /
        /bin/busybox reboot -f'''))
    with run(env, image) as g:
        g.expect(f'^sundog: .*kernel /boot/vmlinuz-{VERSION},')
        g.expect(r'sundog: .*kernel /boot/vmlinuz-6\.2\.0,')
        g.expect('^second')
        check('exit status', g.wait(), 0)


@boot_test(120, ('plain', 'asan'), engines=('jit',))
def disk_refused(env):
    """What is no disk to boot from is refused with one line."""
    top = tree(env, 'root', '', kernel=False)
    image = os.path.join(env.tmp, 'disk.raw')

    def refused(status, why):
        p = subprocess.run([env.sundog, 'run', image, '--control', 'none'], text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                           stderr=subprocess.STDOUT, timeout=60 * env.patience)
        lines = p.stdout.strip().split('\n')
        if p.returncode != status or len(lines) != 1 or why not in lines[0]:
            raise GuestError(f'{p.returncode}, {p.stdout!r} instead of {status}, {why!r}')

    file_system(image, top)
    refused(3, 'no kernel in the /boot')
    with open(os.path.join(top, 'boot', 'vmlinuz-1'), 'wb') as f:
        f.write(b'\x1f\x8b\x08' + bytes(10000))
    file_system(image, top, options=('-F',))
    refused(3, 'gzip-compressed')
    os.truncate(image, 5 << 20)
    refused(3, 'truncated')
    with open(image, 'wb') as f:
        f.truncate(64 << 20)
    refused(3, 'neither partitions nor a file system')
    os.truncate(image, 512)
    refused(3, 'too small')
    with open(image, 'wb') as f:
        f.write(b'XFSB' + bytes(1 << 20))
    refused(3, 'an XFS file system')
