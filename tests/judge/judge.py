#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that nobody here wrote, natively and in a guest: their output must not differ.

tools/fetch-judges.sh has made a Debian userland, and test programs of Debian's source packages.
A test records what its cases print natively, puts that into an initramfs, and has the guest
compare.  The C library is told not to choose instructions that the guest's CPU does not have, so
that both compute the same.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'boot'))

import programs
import sources
from guest import Guest, GuestError

SKIPPED = 77  # as an exit status
TESTS = {}  # name: (function, seconds it may take, whether only in make soak)
# What x86-64-v2 lacks and glibc would use; results of its mathematics differ with FMA.
NO_AVX = 'glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F,-AVX512VL,-BMI1,-BMI2,-LZCNT,-MOVBE'


class Skipped(Exception):
    """It cannot be run here, and need not be."""


def judge(seconds, soak=False):
    """Register a test."""
    def register(f):
        TESTS[f.__name__] = (f, seconds, soak)
        return f
    return register


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


class Env:
    def __init__(self, opts, tmp):
        self.build = opts.build
        self.sundog = os.path.join(opts.build, 'sundog')
        self.guest = os.path.join(opts.build, 'guest')
        self.judges = os.path.join(self.guest, 'judges')
        self.only = opts.case
        self.tmp = tmp
        if not os.path.exists(os.path.join(self.judges, 'made')):
            raise GuestError(f'nothing in {self.judges}: tools/fetch-judges.sh could not fetch '
                             'or build it')

    def models(self):
        out = subprocess.run([self.sundog, 'run', '--cpu', 'help'], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        return {line.split()[0] for line in out.split('\n') if line}

    def native(self, tree, setting):
        """Run the cases natively, in the tree, and keep what they print as what is wanted."""
        run = os.path.join(self.tmp, 'run')
        env = dict(os.environ, **setting)
        p = subprocess.run([os.path.join(HERE, 'chroot.sh'), os.path.join(self.judges, tree), run,
                            '/bin/busybox', 'sh', '/run/judge/run.sh', str(os.cpu_count())],
                           env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            raise GuestError(f'running natively failed (status {p.returncode}): {p.stdout}')
        os.rename(os.path.join(run, 'judge', 'got'), os.path.join(run, 'judge', 'want'))

    def prepare(self, cases, setting):
        """The directory that becomes /run/judge, but for what is wanted."""
        judge_dir = os.path.join(self.tmp, 'run', 'judge')
        os.makedirs(os.path.join(judge_dir, 'cases'))
        os.makedirs(os.path.join(judge_dir, 'needs'))
        shutil.copy(os.path.join(HERE, 'run.sh'), judge_dir)
        for case in cases:
            write(os.path.join(judge_dir, 'cases', case.name), case.script())
            if case.needs:
                write(os.path.join(judge_dir, 'needs', case.name), case.needs + '\n')
        write(os.path.join(judge_dir, 'list'), ''.join(case.name + '\n' for case in cases))
        write(os.path.join(judge_dir, 'env'),
              ''.join(f"export {key}='{value}'\n" for key, value in setting.items()))

    def image(self, tree):
        """The tree's image with ours behind it: the kernel unpacks one after the other."""
        shutil.copy(os.path.join(HERE, 'init.sh'), os.path.join(self.tmp, 'init'))
        os.chmod(os.path.join(self.tmp, 'init'), 0o755)
        out = os.path.join(self.tmp, 'initrd.img')
        shutil.copy(os.path.join(self.judges, tree + '.cpio'), out)
        names = subprocess.run(['find', 'init', 'run'], cwd=self.tmp, check=True,
                               stdout=subprocess.PIPE).stdout
        with open(out, 'ab') as f:
            subprocess.run(['cpio', '--quiet', '-o', '-H', 'newc', '-R', '0:0'], cwd=self.tmp,
                           input=names, check=True, stdout=f)
        return out

    def compare(self, cases, tree, *args, cpu='x86-64-v2', memory='2G', seconds=600):
        if cpu not in self.models():
            raise Skipped(f'no --cpu {cpu}')
        cases = [c for c in cases if not self.only or c.name in self.only]
        setting = {'GLIBC_TUNABLES': NO_AVX} if cpu == 'x86-64-v2' else {}
        self.prepare(cases, setting)
        self.native(tree, setting)
        # The cloud kernel has no 16-bit segments for its programs, which some cases want.
        kernel = os.path.join(self.guest, 'amd64' if tree == 'small' else 'cloud', 'vmlinuz')
        argv = [self.sundog, 'run', kernel, '--initrd', self.image(tree), '--memory', memory,
                '--cpu', cpu, '--append', 'quiet vsyscall=xonly', *args]
        with Guest(argv) as g:
            g.expect('^judge: end', seconds)
            status = g.wait()
            text = g.text.replace('\r', '')
        if status:
            raise GuestError(f'exit status {status}')
        self.verdict(cases, text)

    def verdict(self, cases, text):
        """Every case has ended, with the same output."""
        done = {name: verdict for verdict, name in
                re.findall(r'^judge: (ok|differs|lacks) (\S+)', text, re.M)}
        different = [name for name, verdict in done.items() if verdict == 'differs']
        missing = [c.name for c in cases if c.name not in done]
        if different or missing:
            print(text)
            raise GuestError(f'{len(different)} of {len(cases)} cases differ, {len(missing)} did '
                             f'not end: {" ".join(different + missing)}')
        print('\n'.join(re.findall('^judge: .*', text, re.M)))


def chosen(cases, soak=False):
    return [c for c in cases if soak or not c.soak]


@judge(600)
def programs_jit(env):
    env.compare(chosen(programs.CASES), 'rootfs', '--engine', 'jit')


@judge(600)
def programs_jit_4cpus(env):
    """Here with all that the host has: libraries and programs choose other code."""
    env.compare(chosen(programs.CASES), 'rootfs', '--engine', 'jit', '--cpus', '4', cpu='max')


@judge(600)
def sources_jit(env):
    env.compare(chosen(sources.CASES), 'small', '--engine', 'jit')


@judge(600)
def sources_jit_max(env):
    """What x86-64-v2 does not have."""
    env.compare([c for c in chosen(sources.CASES) if c.needs], 'small', '--engine', 'jit',
                cpu='max')


@judge(600)
def sources_interp(env):
    env.compare([c for c in chosen(sources.CASES) if c.interp], 'small', '--engine', 'interp')


@judge(3600, soak=True)
def programs_jit_all(env):
    env.compare(programs.CASES, 'rootfs', '--engine', 'jit', '--cpus', '4', seconds=3600)


@judge(3600, soak=True)
def programs_jit_max(env):
    env.compare(programs.CASES, 'rootfs', '--engine', 'jit', cpu='max', seconds=3600)


@judge(3600, soak=True)
def sources_jit_small_cache(env):
    """Translated at once, on four CPUs, with a code cache that is given up all the time."""
    env.compare(chosen(sources.CASES), 'small', '--engine', 'jit,hot=1,cache=2M', '--cpus', '4',
                seconds=3600)


@judge(3600, soak=True)
def sources_interp_all(env):
    env.compare(sources.CASES, 'small', '--engine', 'interp', seconds=3600)


@judge(1200, soak=True)
def bench_programs(env):
    """`make bench` runs its programs, and they put out the same everywhere."""
    names = 'compile,gzip,hashmap,python,javascript,flac,lame'
    subprocess.run([os.path.join(TOP, 'bench', 'run.py'), '--build', env.build, '--quick',
                    '--only', names], check=True)


def run_one(name, opts):
    with tempfile.TemporaryDirectory() as tmp:
        try:
            TESTS[name][0](Env(opts, tmp))
        except Skipped as e:
            print(f'{name}: {e}')
            return SKIPPED
        except (GuestError, OSError, subprocess.CalledProcessError) as e:
            print(f'{name}: {e}')
            return 1
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--list', choices=['check', 'soak'], help='names of the tests, with seconds')
    p.add_argument('--build', default=os.path.join(TOP, 'build'))
    p.add_argument('--case', action='append', help='only this one; may be repeated')
    p.add_argument('names', nargs='*')
    opts = p.parse_args()
    if opts.list:
        for name, (_, seconds, soak) in TESTS.items():
            if soak == (opts.list == 'soak'):
                print(name, seconds)
        return 0
    return max([run_one(n, opts) for n in opts.names or TESTS])


if __name__ == '__main__':
    sys.exit(main())
