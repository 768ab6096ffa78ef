#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure the engines: the same programs natively, on each engine, and on QEMU's TCG.

The machines run in turn, some rounds; the table shows medians.  Hosts are shared and noisy, and
guests may misjudge how fast their clock runs: so what a guest says it took is scaled by the CPU
time that its vCPU's thread used meanwhile.  What counts are the ratios within one table.
"""
import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

import distro
import img

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MEMORY = 512
CMDLINE = 'console=ttyS0 tsc=reliable quiet rdinit=/bench'
KINDS = {
    'kernel': ['syscall', 'fork', 'fault', 'pipe'],
    'integer': ['sieve', 'fib', 'qsort', 'crc', 'tree', 'hash', 'indirect'],
    'fp': ['matmul', 'nbody'],
    'memory': ['memcpy', 'movs'],
}
# Programs as Debian builds them, which nobody tunes for: in an image of their own.
PROGRAMS = ['compile', 'gzip', 'hashmap', 'python', 'javascript', 'flac', 'lame']
CLASSES = [name for names in KINDS.values() for name in names]
# Reads of a virtio disk: cached on the host at depths 1 and 32, with O_DIRECT there, 1 MiB each.
DISK = ['disk4k', 'disk4kdeep', 'disk4kdirect', 'disk1m']
DISK_BLOCKS = 32768  # of 4 KiB; bench/guest/disk.c knows what is in them
DISK_MODULES = 'virtio_pci,virtio_blk'
# What has a table of its own.
WHOLE = {'login': distro, 'convert': img}
ALL = CLASSES + PROGRAMS + DISK + list(WHOLE)
OUTPUT = re.compile(r'^bench: output of (\w+): (\w+)$')
RESULT = re.compile(r'^(\w+): ([0-9.]+) ns per [\w ]+$')
CLOCK = re.compile(r'^bench: clock (\d+)$')


def progress(text):
    print(text, file=sys.stderr, flush=True)


# --- watching a process ---------------------------------------------------------------------

def threads(pid):
    """The threads of a process: id, name, nanoseconds of CPU time."""
    for tid in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{tid}/comm', encoding='utf-8') as f:
                name = f.read().strip()
            with open(f'/proc/{pid}/task/{tid}/schedstat', encoding='utf-8') as f:
                yield int(tid), name, int(f.read().split()[0])
        except OSError:  # it has ended
            continue


def is_vcpu(name):
    return bool(re.match(r'vcpu|CPU \d', name))


def vcpu_time(pid):
    return sum(ns for _, name, ns in threads(pid) if is_vcpu(name))


def overhead(pid):
    """Resident memory of a process without the guest's, in MiB."""
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
        return 0
    return (total - guest) / 1024


class Watcher(threading.Thread):
    """Pins the vCPU thread once it is there, and looks at the memory now and then."""

    def __init__(self, pid, cpu):
        super().__init__()
        self.pid, self.cpu = pid, cpu
        self.memory = 0
        self.ended = threading.Event()

    def run(self):
        pinned = self.cpu is None
        while not self.ended.wait(0.1 if pinned else 0.01):
            if pinned:
                self.memory = max(self.memory, overhead(self.pid))
                continue
            try:
                found = list(threads(self.pid))
            except OSError:
                return
            for tid, name, _ in found:
                if is_vcpu(name):
                    pinned = True
                    try:
                        os.sched_setaffinity(tid, [self.cpu])
                    except OSError:
                        self.cpu = None


# --- machines ---------------------------------------------------------------------------------

class Native:
    name = 'native'

    def __init__(self, opts, images):
        n = ['-c', '-n', str(opts.repeats)]
        self.argvs = []
        if opts.classes:
            self.argvs.append([images.bench, *n, *opts.classes])
        if opts.programs:
            self.argvs.append([os.path.join(TOP, 'tests', 'judge', 'chroot.sh'), images.tree,
                               os.path.dirname(images.bench), '/run/bench', '-p', *n,
                               *opts.programs])

        if opts.disk:
            # Not the CPU time, which a read spends waiting.
            self.argvs.append([images.bench, f'-d{images.disk}', *n[1:], *opts.disk])

    def run(self, cpu):
        found = {}
        for argv in self.argvs:
            argv = argv if cpu is None else ['taskset', '-c', str(cpu), *argv]
            out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
            lines = [line.strip() for line in out.split('\n')]
            found.update({m.group(1): float(m.group(2)) for m in map(RESULT.match, lines) if m})
            found.update(outputs(lines))
        return found


def outputs(lines):
    return {f'output of {m.group(1)}': int(m.group(2), 16) for m in map(OUTPUT.match, lines) if m}


def scaled(results, looks):
    """CPU time of the results, from looks (guest's clock, host's, CPU time) around each.

    How fast the guest's clock runs is known best from the first and the last.  What share of
    the time the thread got is taken from those around the class, unless we were late for them.
    """
    def between(a, b):
        return [y - x for x, y in zip(a, b)]

    guest, wall, used = between(looks[0], looks[-1])
    rate, found = wall / guest, {}
    for i, (name, ns) in enumerate(results):
        own_guest, own_wall, own_used = between(looks[2 * i], looks[2 * i + 1])
        in_time = own_wall > own_guest * rate / 2
        share = own_used / own_wall if in_time else 0
        if name in DISK:
            share = 1  # who waits for a disk uses no CPU
        # The host's own counting may lag behind a class that is over in a moment.
        found[name] = ns * rate * (share or used / wall or 1)
    return found


class Guest:
    """A machine that boots the kernel, with the program as init."""

    def __init__(self, name, opts, argv, append, images, disk_args=()):
        self.name, self.argv, self.append = name, argv, append
        self.disk, self.disk_args = opts.disk, disk_args
        self.images = images
        self.classes, self.programs = opts.classes, opts.programs
        self.repeats = f'-n {opts.repeats}'

    def boot(self, cpu, initrd, args, on_line=lambda pid, line: None, more=()):
        """Seconds from start to end, CPU seconds, MiB beyond the guest's, and stderr."""
        with tempfile.TemporaryFile('w+') as err:
            start = time.monotonic()
            argv = [*self.argv, initrd, self.append, f'{CMDLINE} -- {args}', *more]
            proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=err, text=True, errors='replace')
            watcher = Watcher(proc.pid, cpu)
            watcher.start()
            lines = []
            for line in proc.stdout:
                lines.append(line)
                on_line(proc.pid, line.strip())
            _, status, usage = os.wait4(proc.pid, 0)
            wall = time.monotonic() - start
            proc.returncode = os.waitstatus_to_exitcode(status)
            watcher.ended.set()
            watcher.join()
            err.seek(0)
            err = err.read()
        if proc.returncode != 0 or any('FAIL' in line for line in lines):
            sys.exit(f'{self.name} failed (status {proc.returncode}):\n' +
                     ''.join(lines[-20:]) + err)
        return wall, usage.ru_utime + usage.ru_stime, watcher.memory, err

    def measure(self, cpu, initrd, args, more=()):
        """What the classes took, the MiB beyond the guest's, and stderr."""
        results, looks, lines = [], [], []

        def on_line(pid, line):
            lines.append(line)
            result, clock = RESULT.match(line), CLOCK.match(line)
            if result:
                results.append((result.group(1), float(result.group(2))))
            elif clock:
                looks.append((int(clock.group(1)), time.monotonic_ns(), vcpu_time(pid)))

        _, _, memory, err = self.boot(cpu, initrd, args, on_line, more)
        return {**scaled(results, looks), **outputs(lines)}, memory, err

    def run(self, cpu):
        found = {}
        if self.programs:
            args = ' '.join(['-p', self.repeats, *self.programs])
            found, _, err = self.measure(cpu, self.images.programs, args)
            m = re.search(r'([\d.]+)\s+expansion: ', err)
            if m:
                found['expansion'] = float(m.group(1))
        if self.classes:
            args = ' '.join([self.repeats, *self.classes])
            results, found['memory'], _ = self.measure(cpu, self.images.initrd, args)
            found.update(results)
        if self.disk:
            args = ' '.join(['-d', self.repeats, *self.disk])
            found.update(self.measure(cpu, self.images.disk_initrd, args, self.disk_args)[0])
        wall, used, _, err = self.boot(cpu, self.images.initrd, 'off')
        found['boot'], found['boot cpu'] = wall * 1e9, used * 1e9
        # A translator does not count what its code runs.
        m = re.search(r'(\d+)\s+instructions: run$', err, re.M)
        if m:
            found['mips'] = int(m.group(1)) / used / 1e6
        missing = [n for n in self.classes + self.programs + self.disk if n not in found]
        if missing:
            sys.exit(f'{self.name} did not measure {", ".join(missing)}')
        return found


def engines(sundog):
    out = subprocess.run([sundog, 'run', '--engine', 'help'], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return [line.split()[0] for line in out.split('\n') if line and line.split()[0] != 'auto']


def usable(sundog, engine, kernel):
    """Does the engine work here?  Status 4 says that it or the host cannot do it."""
    try:
        p = subprocess.run([sundog, 'run', kernel, '--engine', engine, '--memory', '64M',
                            '--console', 'null'], stdin=subprocess.DEVNULL, timeout=0.5,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except subprocess.TimeoutExpired:
        return True
    if p.returncode == 4:
        progress(f'engine {engine} is left out: {p.stderr.strip()}')
    return p.returncode != 4


@dataclass
class Images:
    """What the machines run: the program, the initrd around it, and that with Debian's."""
    bench: str
    initrd: str
    tree: str = ''
    programs: str = ''
    disk: str = ''
    disk_initrd: str = ''


def make_disk(images, guest, tmp):
    """A file of numbered blocks, and an initrd with the drivers as modules."""
    images.disk = os.path.join(tmp, 'disk.raw')
    with open(images.disk, 'wb') as f:
        for i in range(DISK_BLOCKS):
            word = (i ^ 1) * 0x9e3779b97f4a7c15 & (1 << 64) - 1
            f.write(word.to_bytes(8, 'little') * 512)
        os.fsync(f.fileno())
    images.disk_initrd = os.path.join(tmp, 'disk.img')
    subprocess.run([os.path.join(TOP, 'tools', 'mkinitrd.sh'), '-m',
                    os.path.join(guest, 'cloud', 'modules') + ':' + DISK_MODULES,
                    images.disk_initrd, os.path.join(guest, 'busybox', 'busybox'),
                    images.bench + ':bench'], check=True)


def make_images(opts, tmp):
    guest = os.path.join(opts.build, 'guest')
    images = Images(os.path.abspath(os.path.join(opts.build, 'bench', 'guest', 'bench')),
                    os.path.join(tmp, 'initrd.img'))
    subprocess.run([os.path.join(TOP, 'tools', 'mkinitrd.sh'), images.initrd,
                    os.path.join(guest, 'busybox', 'busybox'), images.bench + ':bench'],
                   check=True)
    if opts.programs:
        images.tree = os.path.abspath(os.path.join(guest, 'judges', 'rootfs'))
        images.programs = os.path.join(tmp, 'programs.img')
        subprocess.run([os.path.join(TOP, 'bench', 'image.sh'), images.tree, images.bench,
                        images.programs], check=True)
    if opts.disk:
        make_disk(images, guest, tmp)
    return images


def machines(opts, images):
    sundog = os.path.join(opts.build, 'sundog')
    kernel = os.path.join(opts.build, 'guest', 'cloud', 'vmlinuz')
    yield Native(opts, images)
    qemu = shutil.which('qemu-system-x86_64')
    if not qemu:
        progress('QEMU is not here, so there are no ratios to it: '
                 'install qemu-system-x86 (tools/deps.sh bench)')
    for name, cpu in (('qemu', 'max'), ('qemu tuned', 'max,erms=off,fsrm=off')):
        if qemu:
            yield Guest(name, opts, [
                qemu, '-accel', 'tcg', '-cpu', cpu, '-M', 'q35', '-m', str(MEMORY), '-smp', '1',
                '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot',
                '-name', 'bench,debug-threads=on', '-kernel', kernel, '-initrd'],
                '-append', images, [arg for i, cache in enumerate(('writeback', 'none'))
                                    for arg in ('-drive', f'file={images.disk},format=raw,'
                                                f'if=none,id=d{i},readonly=on,cache={cache}',
                                                '-device', f'virtio-blk-pci,drive=d{i}')])
    for engine in opts.engine or engines(sundog):
        if usable(sundog, engine, kernel):
            yield Guest(engine, opts, [
                sundog, 'run', kernel, '--engine', engine, '--stats', '--memory', f'{MEMORY}M',
                '--no-reboot', '--initrd'], '--cmdline', images,
                [arg for cache in ('writeback', 'none')
                 for arg in ('--disk', f'{images.disk},format=raw,ro,cache={cache}')])


# --- the table ----------------------------------------------------------------------------------

def show_time(ns):
    for limit, unit in ((1e3, 'ns'), (1e6, 'us'), (1e9, 'ms')):
        if ns < limit:
            return f'{ns / limit * 1000:.3g} {unit}' if ns < limit / 1000 * 999.5 else \
                   f'{ns / limit * 1000:.0f} {unit}'
    return f'{ns / 1e9:.2f} s'


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratio(medians, name, base, rows):
    """How many times as fast as base, on the geometric mean over the rows."""
    if base not in medians:
        return None
    # A class that is over in a moment may seem to have taken no CPU time on a busy host.
    pairs = [medians[base][r] / medians[name][r] for r in rows
             if medians[base].get(r, 0) > 0 and medians[name].get(r, 0) > 0]
    return geomean(pairs)


def table(medians, out):
    """One line per class: the times, then how much faster than each QEMU, and than native."""
    names = list(medians)
    bases = [b for b in ('qemu', 'qemu tuned', 'native') if b in names]
    against = [(n, b) for n in names if n not in ('native', 'qemu', 'qemu tuned') for b in bases]
    if 'qemu' in names and 'native' in names:
        against.append(('qemu', 'native'))

    def line(label, cells, ratios):
        print(f'{label:18}' + ''.join(f'{c:>12}' for c in cells) +
              ''.join(f'{r:>20}' for r in ratios), file=out)

    def row(label, rows):
        one = rows[0] if len(rows) == 1 else None
        cells = [show_time(medians[n][one]) if one in medians[n] else '' for n in names]
        values = [ratio(medians, n, b, rows) for n, b in against]
        if any(cells) or any(values):
            line(label, cells, ['' if v is None else f'{v:.3g}x' for v in values])

    line('', names, [f'{n}:{b}' for n, b in against])
    for kind, rows in (*KINDS.items(), ('program', PROGRAMS), ('disk', DISK)):
        for r in rows:
            row(r, [r])
        if kind in ('integer', 'fp', 'program', 'disk'):
            row(f'= {kind} geomean', rows)
    row('boot', ['boot'])
    row('boot, CPU time', ['boot cpu'])
    for key, label, unit in (('memory', 'beyond guest RAM', 'MiB'),
                             ('expansion', 'code, per guest\'s', 'x'),
                             ('mips', 'speed of the boot', 'MIPS')):
        if any(key in medians[n] for n in names):
            line(label, [f'{medians[n][key]:.1f} {unit}' if key in medians[n] else ''
                         for n in names], [])


def compare_outputs(results):
    """A program's output is the same on every machine."""
    want = {}
    for name, runs in results.items():
        for key, value in ((k, v) for run in runs for k, v in run.items()):
            if key.startswith('output of ') and want.setdefault(key, value) != value:
                sys.exit(f'{name}: the {key} is not as on {next(iter(results))}')


def measure(opts, todo):
    """Round by round, so that what the host does meanwhile hits all of them."""
    results = {m.name: [] for m in todo}
    cpus = sorted(os.sched_getaffinity(0))
    for i in range(opts.rounds):
        for m in todo:
            start = time.monotonic()
            results[m.name].append(m.run(None if opts.no_pin else cpus[i % len(cpus)]))
            progress(f'round {i + 1} of {opts.rounds}: {m.name}, '
                     f'{time.monotonic() - start:.1f} s')
    compare_outputs(results)
    return {name: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
            for name, runs in results.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(TOP, 'build'))
    p.add_argument('--rounds', '-n', type=int, default=5)
    p.add_argument('--quick', action='store_true', help='one round, three repeats')
    p.add_argument('--repeats', type=int, default=7, help='of each class in one run')
    p.add_argument('--only', type=lambda s: s.split(','), default=[], metavar='CLASS,...',
                   help='of ' + ', '.join(ALL))
    p.add_argument('--engine', action='append', help='only this one; may be repeated')
    p.add_argument('--no-pin', action='store_true', help='leave the vCPU threads to the host')
    p.add_argument('--json', action='store_true', help='print medians as JSON')
    opts = p.parse_args()
    unknown = [n for n in opts.only if n not in ALL]
    if unknown:
        p.error(f'no class {unknown[0]}; there are {", ".join(ALL)}')
    opts.classes, opts.programs, opts.disk, whole = (
        [n for n in names if not opts.only or n in opts.only]
        for names in (CLASSES, PROGRAMS, DISK, WHOLE))
    if opts.quick:
        opts.rounds, opts.repeats = 1, 3
    medians, others = {}, {}
    if opts.classes or opts.programs or opts.disk:
        with tempfile.TemporaryDirectory() as tmp:
            medians = measure(opts, list(machines(opts, make_images(opts, tmp))))
    for name in whole:
        with tempfile.TemporaryDirectory(dir='/var/tmp') as tmp:  # a disk, not memory
            others[name] = WHOLE[name].measure(opts.build, opts.rounds, tmp, progress)
    if opts.json:
        json.dump({**medians, **others}, sys.stdout, indent=1)
        print()
        return 0
    if medians:
        table(medians, sys.stdout)
    for name, found in others.items():
        WHOLE[name].table(found, sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
