# SPDX-License-Identifier: MIT
"""Linux on NVMe disks: a root without initrd, errors, resets under load, hotplug."""
import hashlib
import os
import subprocess
import time

from guest import GuestError
from harness import Control, boot_test, check


def root_image(env, script, mib=64):
    """An ext4 file system that a kernel boots from: what else would be the initrd."""
    tree, path = os.path.join(env.tmp, 'tree'), os.path.join(env.tmp, 'root.img')
    with open(env.initrd(script=script), 'rb') as f:
        os.mkdir(tree)
        unzip = subprocess.Popen(['gzip', '-dc'], stdin=f, stdout=subprocess.PIPE)
        subprocess.run(['cpio', '--quiet', '-id'], cwd=tree, stdin=unzip.stdout, check=True)
        check('gzip', unzip.wait(), 0)
    subprocess.run(['/usr/sbin/mke2fs', '-q', '-t', 'ext4', '-d', tree, path, f'{mib}M'], check=True)
    return path


def boot_root(env, path, *args):
    return env.run('--disk', f'{path},format=raw,device=nvme', '--append',
                   'quiet root=/dev/nvme0n1 rw init=/init', *args)


def fsck(path):
    subprocess.run(['/usr/sbin/e2fsck', '-fn', path], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def cat(path, name):
    return subprocess.run(['/usr/sbin/debugfs', '-R', f'cat {name}', path], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


@boot_test(300, ('plain', 'asan'))
def nvme_root(env):
    """No initrd: what one boot has written, the host and the next boot read."""
    path = root_image(env, """echo "@@ begin"; if [ -e /kept ]; then sha256sum </kept; else
        head -c 3000k /dev/urandom >/kept; sync; echo 3 >/proc/sys/vm/drop_caches
        sha256sum </kept; fi; cat /sys/block/nvme0n1/queue/write_cache
        dmesg -r | grep -E "^<[0-3]>"; mount -o remount,ro /; echo "@@ end" """)
    sums = []
    for _ in range(2):
        with boot_root(env, path, '--cpus', '2') as g:
            g.expect('@@ begin\r*\n')
            sums.append(g.expect('^([0-9a-f]{64}) ').group(1))
            g.expect('^write back\r*\n@@ end')
            check('exit status', g.wait(), 0)
        fsck(path)
        check('what the host reads', hashlib.sha256(cat(path, 'kept')).hexdigest(), sums[0])
    check('what the next boot reads', sums[1], sums[0])


@boot_test(300, ('plain',), ('jit',))
def nvme_reboot(env):
    """Reboots and power-off in the middle of writes: nothing that was synced is lost."""
    path = root_image(env, """n=$(cat /n 2>/dev/null || echo 0); echo "@@ boot $n"
        for i in $(seq 1 $n); do [ "$(cat /f$i)" = "text $i" ] || echo "@@ lost $i"; done
        n=$((n + 1)); echo "text $n" >/f$n; echo $n >/n; sync
        for i in 1 2 3; do dd if=/dev/zero of=/big$i bs=4k count=2000 2>/dev/null & done
        [ $n -ge 5 ] || reboot -f""")
    with boot_root(env, path) as g:
        for n in range(5):
            g.expect(f'@@ boot {n}')
        check('exit status', g.wait(), 0)
        check('lost', '@@ lost' in g.text, False)
    # The journal is the guest's to replay; the host's tool does the same.
    subprocess.run(['/usr/sbin/e2fsck', '-fy', path], check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    fsck(path)
    check('the last file', cat(path, 'f5'), b'text 5\n')


@boot_test(300, ('plain',), ('jit',))
def nvme_resets(env):
    """The controller is reset again and again while it is busy, and what was written is there."""
    path = root_image(env, """dd if=/dev/urandom of=/data bs=64k count=200 2>/dev/null; sync
        want=$(sha256sum </data); echo "@@ begin"
        while [ ! -e /stop ]; do dd if=/dev/zero of=/other bs=16k count=200 conv=fsync 2>/dev/null
        done & for i in $(seq 1 15); do echo 1 >/sys/class/nvme/nvme0/reset_controller
        echo 3 >/proc/sys/vm/drop_caches; [ "$want" = "$(sha256sum </data)" ] || echo "@@ bad $i"
        done; echo >/stop; wait; dmesg | grep -c "I/O error"; mount -o remount,ro /; echo "@@ end" """)
    with boot_root(env, path, '--cpus', '2') as g:
        g.expect('@@ begin')
        g.expect('^0\r*\n@@ end', 200)
        check('exit status', g.wait(), 0)
        check('differences', '@@ bad' in g.text, False)
    fsck(path)


def plug_and_unplug(env, rounds, *args, how=()):
    """A disk that comes, is read and written, and goes in the middle of that."""
    ctl = Control(env, 'hotplug')
    initrd = env.initrd(script=f"""disk=/dev/nvme0n1; echo "@@ ready"
        for i in $(seq 1 {rounds}); do
        until line=$(dd if=$disk bs=512 count=1 2>/dev/null | head -n 1); [ -n "$line" ]; do
        sleep 0.1; done; echo "@@ read $line"; dd if=/dev/zero of=$disk bs=4k seek=16 2>/dev/null &
        while [ -b $disk ]; do sleep 0.05; done; wait; echo "@@ gone $i"; done; read line
        dmesg -r | grep -E "^<[0-2]>|BUG|WARN" """)
    with env.run('--name', 'hotplug', '--initrd', initrd, '--append', 'quiet', *args) as g:
        g.expect('@@ ready')
        for i in range(1, rounds + 1):
            path = os.path.join(env.tmp, f'hot{i}.img')
            with open(path, 'wb') as f:
                f.write(b'number %d.\n' % i)
                f.truncate(16 << 20)
            device = ctl('hotplug', f'disk={path},format=raw,device=nvme')['id']
            g.expect(f'@@ read number {i}\\.')
            time.sleep(0.01 * (i % 20))
            ctl('unplug', *how, device)
            g.expect(f'@@ gone {i}')
            ctl.gone(device)
            os.unlink(path)
        g.send('\n')
        check('exit status', g.wait(), 0)
        check('complaints', [l for l in g.text.split('\n') if 'BUG' in l or 'WARN' in l], [])


@boot_test(300, ('plain',))
def nvme_hotplug(env):
    """A disk is plugged into a machine that runs, and unplugged."""
    plug_and_unplug(env, 3)


@boot_test(300, ('plain',), ('jit',))
def nvme_hotplug_forced(env):
    """It is taken away without a word, and the guest lives on."""
    plug_and_unplug(env, 3, how=('--force',))


@boot_test(600, ('plain',), ('jit',))
def nvme_hotplug_often(env):
    """Fifty times, with two CPUs."""
    plug_and_unplug(env, 50, '--cpus', '2')
