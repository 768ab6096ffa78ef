#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boot Debian's kernel to BusyBox and power off, under sundog and QEMU in turn.

Hosts are shared and noisy, so only the ratio between runs made side by side says something;
medians of N.  Both get the same kernel, initrd, memory and command line.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MEMORY = 512

# The marks let us tell the boot from what runs after it.
SCRIPT = '''echo "@@ userland"
i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done
echo "@@ loop"
head -c 20000000 /dev/zero | sha256sum >/dev/null
echo "@@ sha256"
i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i + 1)); done
echo "@@ fork"
'''
PARTS = [('boot to userland', 'start', 'userland'), ('shell loop', 'userland', 'loop'),
         ('sha256 of 20 MB', 'loop', 'sha256'), ('200 fork + exec', 'sha256', 'fork'),
         ('power off', 'fork', 'end'), ('all, start to end', 'start', 'end')]


def overhead(pid, best):
    """Resident memory of a process without the guest's, in KiB; keeps the largest."""
    guest = total = 0
    try:
        with open(f'/proc/{pid}/smaps', encoding='utf-8') as f:
            is_guest = False
            for line in f:
                words = line.split()
                if '-' in words[0] and not words[0].endswith(':'):
                    start, end = (int(x, 16) for x in words[0].split('-'))
                    # The guest's RAM is the one large mapping (or its pieces, from a memfd).
                    is_guest = 'memfd:' in line or end - start >= MEMORY << 20
                elif words[0] == 'Rss:':
                    total += int(words[1])
                    guest += int(words[1]) if is_guest else 0
    except OSError:
        return
    best[0] = max(best[0], total - guest)


def run(argv):
    """One run: when each mark came, and memory beyond the guest's."""
    times = {'start': time.monotonic()}
    best = [0]
    proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors='replace')
    done = threading.Event()

    def sample():
        while not done.wait(0.25):
            overhead(proc.pid, best)

    thread = threading.Thread(target=sample)
    thread.start()
    output = []
    for line in proc.stdout:
        output.append(line)
        if '@@ ' in line:
            times[line.split('@@ ')[1].strip()] = time.monotonic()
    proc.wait()
    times['end'] = time.monotonic()
    done.set()
    thread.join()
    if 'fork' not in times:
        print(''.join(output[-30:]))
        sys.exit(f'{argv[0]} did not get through (status {proc.returncode})')
    return times, best[0]


def machines(opts, kernel, initrd):
    cmdline = 'console=ttyS0 tsc=reliable quiet'
    yield 'sundog', [os.path.join(opts.build, 'sundog'), 'run', kernel, '--initrd', initrd,
                     '--memory', f'{MEMORY}M', '--cpus', str(opts.cpus), '--cmdline', cmdline]
    qemu = shutil.which('qemu-system-x86_64')
    if not qemu:
        print('qemu-system-x86_64 is not installed: no ratios')
        return
    for name, cpu in (('qemu', 'max'), ('qemu tuned', 'max,erms=off,fsrm=off')):
        yield name, [qemu, '-accel', 'tcg', '-cpu', cpu, '-M', 'q35', '-m', str(MEMORY), '-smp',
                     str(opts.cpus), '-nodefaults', '-display', 'none', '-serial', 'stdio',
                     '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', cmdline]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(TOP, 'build'))
    p.add_argument('-n', type=int, default=5, help='runs of each')
    p.add_argument('--cpus', type=int, default=1)
    opts = p.parse_args()
    guest = os.path.join(opts.build, 'guest')
    results = {}
    with tempfile.TemporaryDirectory() as tmp:
        script, initrd = os.path.join(tmp, 'script'), os.path.join(tmp, 'initrd.img')
        with open(script, 'w', encoding='utf-8') as f:
            f.write(SCRIPT)
        subprocess.run([os.path.join(TOP, 'tools', 'mkinitrd.sh'), initrd,
                        os.path.join(guest, 'busybox', 'busybox'), f'{script}:script'], check=True)
        todo = list(machines(opts, os.path.join(guest, 'cloud', 'vmlinuz'), initrd))
        for i in range(opts.n):
            for name, argv in todo:
                results.setdefault(name, []).append(run(argv))
                took = results[name][-1][0]
                print(f'run {i + 1} of {opts.n}: {name} {took["end"] - took["start"]:.2f} s',
                      flush=True)

    names = list(results)
    print(f'\n{"median of " + str(opts.n):22}' + ''.join(f'{n:>14}' for n in names) +
          ''.join(f'{n + "/sundog":>20}' for n in names[1:]))
    for label, a, b in PARTS:
        medians = [statistics.median(t[b] - t[a] for t, _ in results[n]) for n in names]
        print(f'{label:22}' + ''.join(f'{m:12.2f} s' for m in medians) +
              ''.join(f'{m / medians[0]:19.2f}x' for m in medians[1:]))
    memory = [statistics.median(m for _, m in results[n]) / 1024 for n in names]
    print(f'{"memory beyond guest":22}' + ''.join(f'{m:10.1f} MiB' for m in memory))
    return 0


if __name__ == '__main__':
    sys.exit(main())
