# SPDX-License-Identifier: MIT
"""A whole Debian on a disk image: tools/mkdistro.sh makes it, and it lives on it."""
import os
import subprocess

from guest import Guest, GuestError
from harness import TOP, boot_test, check

ROOT_AT = 1 << 20  # bytes: where the image's one partition begins
PROMPT = r'root@[-\w]+:\S*# $'
MARK = '@@'


def distro(env):
    """The image; making it takes a minute, so all tests share one and write to overlays."""
    path = os.path.join(env.guest, 'small.qcow2')
    subprocess.run([os.path.join(TOP, 'tools', 'mkdistro.sh'), '--small', '--include',
                    'btrfs-progs,apt-utils', path], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, 'SUNDOG': env.sundog})
    return path


def overlay(env, name='disk.qcow2'):
    base = distro(env)
    path = os.path.join(env.tmp, name)
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path],
                   check=True)
    return f'{path},backing={base}'


class Debian(Guest):
    """A machine with Debian on its first disk, and root logged in."""

    def __init__(self, env, disk, *args, wait_login=True):
        args = ['--disk', disk, '--memory', '1G', *args] if disk else args
        super().__init__([env.sundog, 'run', '--engine', env.engine, *args], env.patience)
        self.wait_login = wait_login

    def __enter__(self):
        try:
            if self.wait_login:
                self.login()
        except GuestError as e:
            self.__exit__(GuestError, e, None)
            raise
        return self

    def login(self):
        self.expect(r'login: $', 300)
        self.send('root\n')
        self.expect(PROMPT, 120)
        # The kernel's remarks stay out of what commands print.
        self.send("PS1=; stty -echo; dmesg -n 1; bind 'set enable-bracketed-paste off'\n")
        self.sh('true')

    def sh(self, command, seconds=300, status=0):
        """What a command prints; it has to end with status."""
        self.send(f'({command}) 2>&1; echo {MARK} end $?\n')
        start = self.seen
        m = self.expect(rf'{MARK} end (\d+)\r*\n', seconds)
        out = self.text[start:m.start()].replace('\r', '')
        if int(m.group(1)) != status:
            raise GuestError(f'{command}: status {m.group(1)}:\n{out}')
        return out

    def state(self):
        """What systemd makes of the system, once it has started; cloud-init talks until then."""
        return self.sh('systemctl is-system-running --wait').split()[-1]

    def power_off(self):
        self.send('systemctl poweroff\n')
        check('exit status', self.wait(180), 0)


def check_image(path):
    """qemu-img finds no fault in the image, e2fsck none in the file system."""
    subprocess.run(['qemu-img', 'check', '-q', path], check=True)
    raw = path + '.raw'
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', path, raw], check=True)
    try:
        p = subprocess.run(['e2fsck', '-fn', f'{raw}?offset={ROOT_AT}'], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        check(f'e2fsck: {p.stdout}', p.returncode, 0)
    finally:
        os.unlink(raw)


def repository(env):
    """An ext4 disk with a package and its index."""
    top = os.path.join(env.tmp, 'repository')
    tree = os.path.join(env.tmp, 'package')
    os.makedirs(os.path.join(tree, 'DEBIAN'))
    os.makedirs(os.path.join(tree, 'usr', 'bin'))
    os.makedirs(top)
    with open(os.path.join(tree, 'DEBIAN', 'control'), 'w', encoding='utf-8') as f:
        f.write('Package: parhelion\nVersion: 1.0\nArchitecture: all\n'
                'Maintainer: Nobody <nobody@localhost>\nDescription: a sun beside the sun\n')
    program = os.path.join(tree, 'usr', 'bin', 'parhelion')
    with open(program, 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\necho "a sun beside the sun"\n')
    os.chmod(program, 0o755)
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', tree,
                    os.path.join(top, 'parhelion_1.0_all.deb')], check=True,
                   stdout=subprocess.DEVNULL)
    disk = os.path.join(env.tmp, 'repository.raw')
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-d', top, disk, '64M'], check=True)
    return f'{disk},format=raw'


@boot_test(600, engines=('jit',))
def distro_life(env):
    """Debian boots, installs a package from an attached disk, and its second boot has it all."""
    disk = overlay(env)
    with Debian(env, disk, '--disk', repository(env)) as g:
        check('state', g.state(), 'running')
        g.sh('mkdir -p /mnt/repo && mount /dev/vdb /mnt/repo && cd /mnt/repo && '
             'apt-ftparchive packages . >Packages')
        g.sh('echo "deb [trusted=yes] file:/mnt/repo ./" >/etc/apt/sources.list.d/repo.list; '
             'apt-get -o Dir::Etc::sourcelist=sources.list.d/repo.list '
             '-o Dir::Etc::sourceparts=- update && apt-get -y install parhelion')
        check('the program', g.sh('parhelion').strip(), 'a sun beside the sun')
        g.sh('head -c 50M /dev/urandom >/root/random && sync')
        sums = g.sh('sha256sum /root/random')
        g.power_off()
    path = disk.partition(',')[0]
    check_image(path)
    with Debian(env, disk) as g:
        check('what was synced', g.sh('sha256sum /root/random'), sums)
        check('the program', g.sh('parhelion').strip(), 'a sun beside the sun')
        g.sh('dpkg --verify parhelion && rm /root/random && fstrim -v /')
        g.send('systemctl reboot\n')
        g.login()
        check('the program', g.sh('parhelion').strip(), 'a sun beside the sun')
        check('complaints', g.sh('dmesg -l err,crit,alert,emerg').strip(), '')
        g.power_off()
    check_image(path)


FIO = {
    'random': '--rw=randwrite --bs=4k-64k --iodepth=16 --ioengine=libaio --direct=1',
    'sequential': '--rw=write --bs=1M --ioengine=psync --end_fsync=1',
    'mixed': '--rw=randrw --bs=512-32k --iodepth=8 --ioengine=libaio --direct=1',
    'many': '--rw=randwrite --bs=4k --iodepth=4 --ioengine=libaio --direct=1 --numjobs=8 '
            '--fdatasync=32 --offset_increment=16M',
    'trim': '--rw=randtrimwrite --bs=64k --ioengine=psync --direct=1',
}


@boot_test(900, engines=('jit',))
def distro_fio(env):
    """fio reads back what it wrote, in every manner, from raw and qcow2, virtio and NVMe."""
    args, disks = [], []
    for device, name in (('virtio', '/dev/vdb'), ('nvme', '/dev/nvme0n1')):
        path = os.path.join(env.tmp, device)
        fmt = 'raw' if device == 'nvme' else 'qcow2'
        subprocess.run(['qemu-img', 'create', '-q', '-f', fmt, path, '160M'], check=True)
        args += ['--disk', f'{path},format={fmt},device={device}']
        disks.append((name, fmt, path))
    with Debian(env, overlay(env), '--cpus', '2', *args) as g:
        for name, _, _ in disks:
            for job, how in FIO.items():
                size = '16M' if job == 'many' else '32M'
                out = g.sh(f'fio --name={job} --filename={name} --size={size} --verify=crc32c '
                           f'--verify_fatal=1 --do_verify=1 --minimal {how} || fio --version', 600)
                check(f'{job} on {name}', 'verify' in out.lower(), False)
        g.power_off()
    for _, fmt, path in disks:
        if fmt == 'qcow2':
            subprocess.run(['qemu-img', 'check', '-q', path], check=True)


FILESYSTEMS = {
    'ext4': ('mkfs.ext4 -q', 'e2fsck -fn'),
    'xfs': ('mkfs.xfs -q -f', 'xfs_repair -n'),
    'btrfs': ('mkfs.btrfs -q -f', 'btrfs check'),
}


@boot_test(600, engines=('jit',))
def distro_filesystems(env):
    """ext4, xfs and btrfs: made, filled to the brim, checked; in the guest and by the host."""
    path = os.path.join(env.tmp, 'scratch.qcow2')
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '400M'], check=True)
    with Debian(env, overlay(env), '--disk', path) as g:
        for kind, (make, fsck) in FILESYSTEMS.items():
            g.sh(f'{make} /dev/vdb && mount -t {kind} /dev/vdb /mnt && cp -a /usr/lib/python3* /mnt')
            g.sh('dd if=/dev/urandom of=/mnt/fill bs=1M; cd /mnt; rm -rf python3*/[a-m]*; '
                 'find . -type f | sort | xargs md5sum >/root/sums', 600)
            g.sh(f'umount /mnt && {fsck} /dev/vdb', 600)
            g.sh(f'echo 3 >/proc/sys/vm/drop_caches; mount -t {kind} -o ro /dev/vdb /mnt && '
                 'cd /mnt && md5sum --quiet -c /root/sums && cd / && umount /mnt', 600)
        g.power_off()
    subprocess.run(['qemu-img', 'check', '-q', path], check=True)


@boot_test(600, engines=('jit',))
def distro_nvme(env):
    """The same image from NVMe with no initrd: the kernel has all that it needs built in."""
    with Debian(env, overlay(env) + ',device=nvme', '--initrd', 'none') as g:
        check('root', g.sh('findmnt -no SOURCE /').strip(), '/dev/nvme0n1p1')
        g.sh('test ! -e /dev/vda')
        g.power_off()
