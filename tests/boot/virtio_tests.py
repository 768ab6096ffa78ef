# SPDX-License-Identifier: MIT
"""Linux on virtio devices: rings of every form, disks that the host reads too, entropy."""
import hashlib
import os
import re
import subprocess
import time

from guest import GuestError
from harness import Control, boot_test, check, run_script


def program(path):
    """A host's program with its libraries, as pairs for an initrd."""
    out = subprocess.run(['ldd', path], check=True, stdout=subprocess.PIPE, text=True).stdout
    files = [path] + re.findall(r'(/\S+) \(0x', out)
    return [f'{os.path.realpath(f)}:{f.lstrip("/")}' for f in files]


# How Linux can be made to use a virtio disk: its rings in each form, and without MSI-X.
VIRTIO_WAYS = ('packed=off', 'packed=on', 'event_idx=off', 'packed=on,event_idx=off',
               'indirect_desc=off', 'packed=on,indirect_desc=off,queue-size=8')


def virtio_disks(env, ways):
    """The arguments for a disk each, and its image."""
    args, images = [], []
    for i, way in enumerate(ways):
        image = os.path.join(env.tmp, f'disk{i}.img')
        if not os.path.exists(image):
            with open(image, 'wb') as f:
                f.truncate(64 << 20)
        args += ['--disk', f'{image},format=raw,device=none', '--device',
                 f'virtio-blk-pci,drive=disk{i},serial=number{i},{way}']
        images.append(image)
    return args, images


def write_disks(env, ways, kib, *args, append='quiet'):
    """Make file systems, fill them, read them back: in this boot, by the host, in another one."""
    disks, images = virtio_disks(env, ways)
    out = run_script(env, f"""mkdir /mnt; for disk in /sys/block/vd*; do
        name=${{disk##*/}}; echo "serial $(cat $disk/serial)"
        /usr/sbin/mke2fs -q -t ext4 -F /dev/$name && mount -t ext4 /dev/$name /mnt || exit
        head -c {kib}k /dev/urandom >/mnt/random; tar c -C / bin >/mnt/tar; sync
        echo 3 >/proc/sys/vm/drop_caches; sha256sum /mnt/random; rm /mnt/tar; fstrim /mnt
        umount /mnt; done; dmesg -r | grep -E "^<[0-3]>" """, *disks, *args, append=append,
                     pairs=program('/usr/sbin/mke2fs'), modules=('virtio_pci', 'virtio_blk'))
    lines = out.strip().split('\n')
    check('serial numbers', lines[::2], [f'serial number{i}' for i in range(len(ways))])
    sums = [line.split()[0] for line in lines[1::2]]
    for image, want in zip(images, sums):
        subprocess.run(['/usr/sbin/e2fsck', '-fn', image], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        data = subprocess.run(['/usr/sbin/debugfs', '-R', 'cat random', image], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        check('what the host reads', hashlib.sha256(data).hexdigest(), want)
    out = run_script(env, 'mkdir /mnt; for disk in /sys/block/vd*; do\n'
                          'mount -t ext4 -o ro /dev/${disk##*/} /mnt && sha256sum </mnt/random\n'
                          'umount /mnt; done', *virtio_disks(env, ways)[0], *args,
                     append=append, modules=('virtio_pci', 'virtio_blk'))
    check('what another boot reads', [line.split()[0] for line in out.strip().split('\n')], sums)


@boot_test(300, ('plain',), ('interp',))
def virtio_disk(env):
    """Linux makes a file system on a virtio disk, and everybody reads the same from it."""
    write_disks(env, VIRTIO_WAYS[:1], 300)


@boot_test(300, ('plain', 'asan'), ('jit',))
def virtio_disk_ways(env):
    """The same with rings of every form, and several queues."""
    write_disks(env, VIRTIO_WAYS, 8000, '--cpus', '2')


@boot_test(300, ('plain',), ('jit',))
def virtio_disk_intx(env):
    """The same without message interrupts."""
    write_disks(env, VIRTIO_WAYS[:2], 3000, append='quiet pci=nomsi')


@boot_test(240)
def virtio_rng(env):
    """Linux gets random bytes from us, and they are not the same twice."""
    out = run_script(env, 'cat /sys/class/misc/hw_random/rng_current\n'
                          'for i in 1 2 3 4; do head -c 20000 /dev/hwrng | sha256sum; done',
                     '--device', 'virtio-rng-pci', modules=('virtio_pci', 'virtio-rng'))
    lines = out.strip().split('\n')
    check('the source', lines[0], 'virtio_rng.0')
    check('different ones', len(set(lines[1:])), 4)


@boot_test(240, engines=('jit',))
def disk_resize(env):
    """A disk grows and shrinks while the guest looks, on virtio and on NVMe."""
    ctl = Control(env, 'resize')
    args = []
    for device in ('virtio', 'nvme'):
        path = os.path.join(env.tmp, device)
        subprocess.run([env.sundog, 'img', 'create', '-q', '-f', 'qcow2', path, '32M'], check=True)
        args += ['--disk', f'{path},format=qcow2,device={device}']
    initrd = env.initrd(modules=('virtio_pci', 'virtio_blk'), script="""echo "@@ ready"
        while read mib; do for disk in vda nvme0n1; do
        until [ $(cat /sys/block/$disk/size) = $((mib * 2048)) ]; do sleep 0.05; done
        dd if=/dev/urandom of=/data bs=64k count=1 2>/dev/null
        dd if=/data of=/dev/$disk bs=64k seek=$((mib * 16 - 1)) conv=fsync 2>/dev/null
        echo 3 >/proc/sys/vm/drop_caches
        dd if=/dev/$disk bs=64k skip=$((mib * 16 - 1)) 2>/dev/null | cmp - /data && echo "@@ $disk"
        done; done""")
    with env.run('--name', 'resize', '--initrd', initrd, '--append', 'quiet', *args) as g:
        g.expect('@@ ready')
        for mib in (100, 48):
            ctl('resize', 'disk0', f'{mib}M')
            ctl('resize', 'disk1', f'{mib}M')
            g.send(f'{mib}\n')
            g.expect('@@ vda\r*\n@@ nvme0n1')
        p = subprocess.run([env.sundog, 'resize', 'resize', 'disk7', '1G'], text=True,
                           stderr=subprocess.PIPE, env=ctl.env)
        check('a disk that is not there', 'no disk "disk7"' in p.stderr, True)
    for device in ('virtio', 'nvme'):
        subprocess.run(['qemu-img', 'check', '-q', os.path.join(env.tmp, device)], check=True)


@boot_test(240, engines=('jit',))
def disk_full(env):
    """The host's disk is full: the machine pauses, and goes on when there is room, losing nothing."""
    ctl = Control(env, 'full')
    small = os.path.join(env.tmp, 'small')
    os.mkdir(small)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16M', 'none', small], check=True)
    try:
        path = os.path.join(small, 'disk.qcow2')
        subprocess.run([env.sundog, 'img', 'create', '-q', '-f', 'qcow2', path, '64M'], check=True)
        initrd = env.initrd(modules=('virtio_pci', 'virtio_blk'), script="""
            head -c 24m /dev/urandom >/data; echo "@@ ready"
            dd if=/data of=/dev/vda bs=1M conv=fsync 2>/dev/null && echo "@@ written"
            echo 3 >/proc/sys/vm/drop_caches; head -c 24m /dev/vda | cmp - /data && echo "@@ same" """)
        with env.run('--name', 'full', '--initrd', initrd, '--append', 'quiet', '--disk',
                     path) as g:
            g.expect('@@ ready')
            g.expect('No space left on device; the machine pauses')
            for _ in range(100):
                if ctl('status')['state'] == 'paused':
                    break
                time.sleep(0.1)
            else:
                raise GuestError('the machine does not pause')
            ctl('resume')  # too early: it pauses again
            g.expect('No space left on device; the machine pauses')
            subprocess.run(['mount', '-o', 'remount,size=64M', small], check=True)
            ctl('resume')
            g.expect('@@ written')
            g.expect('@@ same')
            check('exit status', g.wait(), 0)
        subprocess.run(['qemu-img', 'check', '-q', path], check=True)
    finally:
        subprocess.run(['umount', small], check=True)


@boot_test(240, engines=('jit',))
def disk_reset_waiting(env):
    """Writes that wait for their turn when the machine is reset are never done."""
    ctl = Control(env, 'slow')
    path = os.path.join(env.tmp, 'slow.img')
    with open(path, 'wb') as f:
        f.truncate(16 << 20)

    def written():
        with open(path, 'rb') as f:
            return f.read().count(b'y\n' * 2048)

    initrd = env.initrd(modules=('virtio_pci', 'virtio_blk'), script="""
        if [ "$(head -c 1 /dev/vda)" = y ]; then echo "@@ again"; read line; exit; fi
        yes | head -c 4096 >/y; dd if=/y of=/dev/vda bs=4k oflag=direct 2>/dev/null
        for i in $(seq 1 63); do
        dd if=/y of=/dev/vda bs=4k seek=$((i * 2)) oflag=direct 2>/dev/null & done
        sleep 2; echo "@@ waiting"; wait""")
    with env.run('--name', 'slow', '--initrd', initrd, '--append', 'quiet', '--disk',
                 f'{path},format=raw,iops_wr=2') as g:
        g.expect('@@ waiting')
        ctl('reset')
        g.expect('@@ again')
        before = written()
        check('some are left', before < 50, True)
        time.sleep(3)
        check('written since', written() - before, 0)
        g.send('\n')
        check('exit status', g.wait(), 0)
