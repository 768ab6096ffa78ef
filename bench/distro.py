# SPDX-License-Identifier: MIT
"""Measure how long a whole Debian takes to its login prompt, beside QEMU's TCG: the same image,
kernel and initrd, in turn, medians.  Both write to a throw-away overlay on a virtio disk."""
import os
import re
import shutil
import statistics
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARTITION = 1 << 20  # where the image's one partition begins
MEMORY = 1024


def make_image(build):
    image = os.path.join(build, 'guest', 'debian.qcow2')
    subprocess.run([os.path.join(TOP, 'tools', 'mkdistro.sh'), image], check=True,
                   stdout=subprocess.DEVNULL,
                   env={**os.environ, 'SUNDOG': os.path.join(build, 'sundog')})
    return image


def take_kernel(build, image, tmp):
    """QEMU boots no disk without firmware: what is in /boot, as files."""
    raw = os.path.join(tmp, 'distro.raw')
    subprocess.run([os.path.join(build, 'sundog'), 'img', 'convert', '-q', image, raw], check=True)
    at = f'{raw}?offset={PARTITION}'
    names = subprocess.run(['debugfs', '-R', 'ls -p /boot', at], check=True, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    for name in ('vmlinuz', 'initrd.img'):
        full = re.search(rf'/({re.escape(name)}-[^/]+)/', names).group(1)
        subprocess.run(['debugfs', '-R', f'dump /boot/{full} {os.path.join(tmp, name)}', at],
                       check=True, stderr=subprocess.DEVNULL)
    uuid = subprocess.run(['blkid', '-p', '-O', str(PARTITION), '-o', 'value', '-s', 'UUID', raw],
                          check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    os.unlink(raw)
    return uuid


def machines(build, image, uuid, tmp):
    yield 'sundog', [os.path.join(build, 'sundog'), 'run', '--memory', f'{MEMORY}M',
                     '--disk', f'{image},overlay,device=virtio']
    if shutil.which('qemu-system-x86_64'):
        yield 'qemu', ['qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max', '-M', 'q35',
                       '-m', str(MEMORY), '-nodefaults', '-display', 'none', '-serial', 'stdio',
                       '-drive', f'file={image},if=virtio,snapshot=on',
                       '-kernel', os.path.join(tmp, 'vmlinuz'),
                       '-initrd', os.path.join(tmp, 'initrd.img'),
                       '-append', f'root=UUID={uuid} ro console=ttyS0 tsc=reliable '
                                  'cryptomgr.notests']


def to_login(argv):
    """Seconds until the prompt is there."""
    start = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as proc:
        text = b''
        while b' login: ' not in text:
            more = os.read(proc.stdout.fileno(), 65536)
            if not more:
                raise SystemExit(f'{argv[0]} ended before the login:\n' +
                                 text[-2000:].decode(errors='replace'))
            text += more
        took = time.monotonic() - start
        proc.kill()
    return took


def measure(build, rounds, tmp, say):
    """Seconds by machine."""
    image = make_image(build)
    uuid = take_kernel(build, image, tmp)
    found = {}
    for i in range(rounds):
        for name, argv in machines(build, image, uuid, tmp):
            found.setdefault(name, []).append(to_login(argv))
        say(f'round {i + 1} of {rounds}: Debian to its login')
    return {name: statistics.median(times) for name, times in found.items()}


def table(medians, out):
    print('\nDebian to its login: ' + ', '.join(f'{n} {s:.2f} s' for n, s in medians.items()),
          file=out)
    if 'qemu' in medians:
        print(f'sundog:qemu {medians["qemu"] / medians["sundog"]:.3g}x', file=out)
