#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Build the bare-metal payloads and run them on Sundog, and on QEMU as a second judge.

A payload is a .c file beside this one.  Its head comment may hold lines of these forms:

    bits: 32                 compile with -m32 (default 64)
    cpus: N                  vCPUs (default 1)
    cpu: MODEL               --cpu for Sundog
    memory: 64M
    reboot: yes              without --no-reboot
    device: SPEC             a further --device, for both
    disk: SIZE[,KEY=VALUE]   an empty raw disk, for Sundog alone
    status: N                the exit status that means success on Sundog (default 33)
    qemu-status: N           the same on QEMU (default: as status)
    qemu: no REASON          not to be run there
    qemu-cpu: MODEL          instead of max
    qemu CHECK: REASON       a check in which QEMU is known to be wrong, and why we think so;
                             CHECK may end in * to mean all that begin so

Success is the right exit status, at least one "ok" line and no "FAIL" line.
"""
import argparse
import concurrent.futures
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CFLAGS = ['-O1', '-g', '-fmax-errors=4', '-ftrack-macro-expansion=0', '-std=gnu11', '-ffreestanding', '-fno-pic', '-fno-stack-protector',
          '-fcf-protection=none', '-mno-red-zone', '-mgeneral-regs-only', '-fno-builtin',
          '-fno-asynchronous-unwind-tables', '-fno-toplevel-reorder', '-Wall', '-Wextra', '-Wno-unused-parameter',
          '-Werror', '-I', os.path.join(HERE, 'lib')]
PASSED, SKIPPED = 33, 77
PATIENCE = 120


class Payload:
    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.bits, self.cpus, self.memory, self.reboot = 64, 1, '64M', False
        self.devices, self.disks, self.status, self.qemu_status = [], [], PASSED, None
        self.cpu = None
        self.no_qemu, self.qemu_cpu, self.deviations = None, 'max', {}
        with open(path) as f:
            head = re.search(r'/\*(?! SPDX).*?\*/', f.read(), re.S)
        for line in head.group(0).splitlines() if head else []:
            self.head_line(line.lstrip(' *').rstrip())

    def head_line(self, line):
        key, sep, value = line.partition(':')
        value = value.strip()
        if not sep:
            return
        if key == 'bits':
            self.bits = int(value)
        elif key == 'cpus':
            self.cpus = int(value)
        elif key == 'cpu':
            self.cpu = value
        elif key == 'memory':
            self.memory = value
        elif key == 'reboot':
            self.reboot = value == 'yes'
        elif key == 'device':
            self.devices.append(value)
        elif key == 'disk':
            self.disks.append(value)
        elif key == 'status':
            self.status = int(value)
        elif key == 'qemu-status':
            self.qemu_status = int(value)
        elif key == 'qemu-cpu':
            self.qemu_cpu = value
        elif key == 'qemu' and value.startswith('no '):
            self.no_qemu = value[3:]
        elif key.startswith('qemu '):
            self.deviations[key[5:]] = value

    @staticmethod
    def matches(pattern, check):
        return check == pattern or (pattern.endswith('*') and check.startswith(pattern[:-1]))

    def deviates(self, check):
        return any(self.matches(d, check) for d in self.deviations)

    def unseen(self, lines):
        """Deviations that QEMU did not show."""
        bad = [x[5:].split(':')[0] for x in lines if x.startswith('FAIL ')]
        return [d for d in self.deviations if not any(self.matches(d, b) for b in bad)]


def tool(cmd):
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        sys.exit(f'{" ".join(cmd)}\n{p.stdout}')


def stale(target, sources):
    if not os.path.exists(target):
        return True
    when = os.path.getmtime(target)
    return any(os.path.getmtime(s) > when for s in sources)


def lib_sources(bits):
    lib = os.path.join(HERE, 'lib')
    other = '32.S' if bits == 64 else '64.S'
    names = sorted(n for n in os.listdir(lib) if n[-2:] in ('.c', '.S') and not n.endswith(other))
    # The start goes first.
    names.sort(key=lambda n: not n.startswith('start'))
    only64 = ('paging.c', 'modes.c')
    return [os.path.join(lib, n) for n in names if bits == 64 or n not in only64]


def compile_one(source, folder, bits):
    kind = os.path.basename(os.path.dirname(source))
    target = os.path.join(folder, f'{kind}-{os.path.basename(source)}.{bits}.o')
    lib = os.path.join(HERE, 'lib')
    headers = [os.path.join(lib, n) for n in os.listdir(lib) if n.endswith('.h')]
    if stale(target, [source, __file__] + headers):
        tool([os.environ.get('GUEST_CC', 'gcc'), f'-m{bits}', '-c', source, '-o', target + '.new']
             + CFLAGS)
        os.replace(target + '.new', target)
    return target


def build(payload, folder):
    """The payload's ELF; always a 32-bit one, since QEMU loads no other by multiboot."""
    parts = [compile_one(s, folder, payload.bits) for s in lib_sources(payload.bits)]
    parts.append(compile_one(payload.path, folder, payload.bits))
    target = os.path.join(folder, payload.name + '.elf')
    script = os.path.join(HERE, 'lib', 'link.ld')
    if not stale(target, parts + [script]):
        return target
    full = target + '.full'
    tool(['ld', '-m', 'elf_x86_64' if payload.bits == 64 else 'elf_i386', '-nostdlib', '-static',
          '--no-warn-rwx-segments', '-z', 'max-page-size=4096', '-T', script, '-o', full] + parts)
    tool(['objcopy', '-O', 'elf32-i386', '--strip-debug', full, target])
    return target


def sundog_cmd(payload, elf, sundog, engine, folder):
    cmd = [sundog, 'run', '--engine', engine, '--memory', payload.memory, '--cpus',
           str(payload.cpus), '--device', 'isa-debug-exit,iobase=0xf4,iosize=4',
           '--device', 'pc-testdev'] + ([] if payload.reboot else ['--no-reboot'])
    for d in payload.devices:
        cmd += ['--device', d]
    for i, d in enumerate(payload.disks):
        size, _, keys = d.partition(',')
        image = os.path.join(folder, f'disk{i}.img')
        with open(image, 'wb') as f:
            f.truncate(int(size[:-1]) << 20)
        cmd += ['--disk', f'{image},format=raw,{keys}']
    if payload.cpu:
        cmd += ['--cpu', payload.cpu]
    return cmd + [elf]


def qemu_cmd(payload, elf):
    cmd = ['qemu-system-x86_64', '-M', 'q35', '-accel', 'tcg', '-cpu', payload.qemu_cpu, '-m',
           payload.memory, '-smp', str(payload.cpus), '-display', 'none', '-serial', 'stdio',
           '-monitor', 'none', '-nodefaults', '-device',
           'isa-debug-exit,iobase=0xf4,iosize=4', '-device', 'pc-testdev'] + ([] if payload.reboot else ['-no-reboot'])
    for d in payload.devices:
        cmd += ['-device', d]
    return cmd + ['-kernel', elf]


def judge(payload, lines, status, wanted, forgive):
    """What is wrong with a run: a list of lines, empty if nothing is."""
    bad = [x for x in lines if x.startswith('FAIL ')]
    good = sum(x.startswith('ok ') for x in lines)
    if forgive:
        known = [x for x in bad if payload.deviates(x[5:].split(':')[0])]
        bad = [x for x in bad if x not in known]
        if known and not bad and any(x.startswith('end ') for x in lines):
            return []
    if not bad and status != wanted:
        bad.append(f'exit status {status}, not {wanted}; the last lines:')
        bad += lines[-5:]
    if not bad and not good:
        bad.append('no check was made')
    return bad


def run(payload, cmd, wanted, forgive, patience):
    try:
        p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=patience)
        out, status = p.stdout, p.returncode
    except subprocess.TimeoutExpired as e:
        out, status = (e.stdout or b'') + b'\nFAIL no end in time\n', -1
    lines = out.decode(errors='replace').replace('\r', '').splitlines()
    return lines, judge(payload, lines, status, wanted, forgive)


def job(payload, what, opts):
    elf = os.path.join(opts.out, payload.name + '.elf')
    if what == 'qemu':
        wanted = payload.status if payload.qemu_status is None else payload.qemu_status
        return run(payload, qemu_cmd(payload, elf), wanted, True, opts.patience)
    with tempfile.TemporaryDirectory() as folder:
        return run(payload, sundog_cmd(payload, elf, opts.sundog, what, folder), payload.status,
                   False, opts.patience)


def payloads(names):
    all_ = [Payload(os.path.join(HERE, n)) for n in sorted(os.listdir(HERE)) if n.endswith('.c')]
    if not names:
        return all_
    found = [p for p in all_ if p.name in names]
    if len(found) != len(set(names)):
        sys.exit('no such payload; there are: ' + ' '.join(p.name for p in all_))
    return found


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('names', nargs='*', help='payloads (default: all)')
    ap.add_argument('--sundog', help='the program to test')
    ap.add_argument('--out', help='where to build (default: beside the program)')
    ap.add_argument('--engine', action='append', help='engine, or "qemu"; may be repeated')
    ap.add_argument('--no-qemu', action='store_true')
    ap.add_argument('--cpus', choices=['one', 'many'], help='only payloads with so many vCPUs')
    ap.add_argument('--patience', type=int, default=PATIENCE, help='seconds for one run')
    ap.add_argument('--jobs', type=int, default=2)
    ap.add_argument('--repeat', type=int, default=1, help='run each so many times')
    ap.add_argument('--list', action='store_true', help='print the payloads and end')
    ap.add_argument('-v', '--verbose', action='store_true', help='print what the payloads print')
    opts = ap.parse_args()
    chosen = payloads(opts.names)
    if opts.list:
        print('\n'.join(p.name for p in chosen))
        return 0
    if opts.cpus:
        chosen = [p for p in chosen if (p.cpus > 1) == (opts.cpus == 'many')]
    if opts.engine == ['qemu'] and not shutil.which('qemu-system-x86_64'):
        print('no qemu-system-x86_64 here')
        return SKIPPED
    opts.sundog = os.path.abspath(opts.sundog or os.path.join(HERE, '../../build/sundog'))
    opts.out = opts.out or os.path.join(os.path.dirname(opts.sundog), 'payloads')
    os.makedirs(opts.out, exist_ok=True)
    # Others may want the same payloads at the same time.
    with open(os.path.join(opts.out, 'lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for p in chosen:
            build(p, opts.out)
    judges = opts.engine or ['interp'] + (
        ['qemu'] if shutil.which('qemu-system-x86_64') and not opts.no_qemu else [])
    failed = total = 0
    with concurrent.futures.ThreadPoolExecutor(opts.jobs) as pool:
        jobs = [(p, j, pool.submit(job, p, j, opts)) for j in judges for p in chosen * opts.repeat
                if not (j == 'qemu' and p.no_qemu)]
        for p, j, result in jobs:
            lines, bad = result.result()
            total += 1
            failed += bool(bad)
            checks = sum(x.startswith('ok ') for x in lines)
            print(f'{"FAIL" if bad else "ok  "} {j} {p.name}: {checks} checks', flush=True)
            for line in lines if opts.verbose else bad:
                print('    ' + line)
            if j == 'qemu' and p.unseen(lines):
                print('    not seen: ' + ', '.join(p.unseen(lines)))
    print(f'{total - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
