#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Build everything and run all tests, as many at a time as there are CPUs.

One line per test as it ends, with its seconds on the wall and on the CPUs; what a failing one
printed follows its line.  The last line is
"N passed, N failed".  A test that exits with 77 was skipped and counts as neither.
"""
import argparse
import concurrent.futures
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SKIPPED = 77
SANITIZE = {
    'asan': 'address,undefined',
    'tsan': 'thread',
}
SAN_ENV = {
    'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=0:handle_abort=0',
    'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1',
    'TSAN_OPTIONS': 'halt_on_error=0:second_deadlock_stack=1',
}


@dataclass
class Test:
    name: str
    cmd: list
    timeout: int = 300
    env: dict = field(default_factory=dict)
    cwd: str = TOP
    weight: int = 0  # the heavy ones start first


@dataclass
class Result:
    test: Test
    status: int
    seconds: float
    cpu: float
    output: str


running = set()  # process groups of the tests


def end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_running(sig, _frame):
    """Being ended ourselves, leave nothing behind."""
    for pid in list(running):
        end_group(pid)
    os._exit(128 + sig)


def run_test(test):
    env = dict(os.environ, **SAN_ENV, **test.env)
    start = time.monotonic()
    proc = subprocess.Popen(test.cmd, cwd=test.cwd, env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)
    running.add(proc.pid)
    late = threading.Timer(test.timeout, end_group, (proc.pid,))
    late.start()
    # To the end of its output, then wait4() for what it cost; Popen has no way to ask.
    out = proc.stdout.read().decode(errors='replace')
    _, status, usage = os.wait4(proc.pid, 0)
    proc.returncode = os.waitstatus_to_exitcode(status)
    running.discard(proc.pid)
    late.cancel()
    seconds = time.monotonic() - start
    if proc.returncode and seconds >= test.timeout:
        out += f'\n[no end after {test.timeout} s]\n'
    return Result(test, proc.returncode, seconds, usage.ru_utime + usage.ru_stime, out)


def build(mode, opts):
    """Configure and build one mode; returns its folder, or None."""
    folder = os.path.join(TOP, opts.build if mode == 'plain' else f'{opts.build}-{mode}')
    setup = ['meson', 'setup', folder]
    if mode in SANITIZE:
        # Instrumented code makes gcc see uninitialized variables where there are none; the
        # plain build keeps the warning.
        flags = '-Wno-maybe-uninitialized '
        # TSan cannot follow fences; those there are order guest memory, not ours.
        flags += '-Wno-tsan' if mode == 'tsan' else '-fno-sanitize-recover=undefined'
        setup += ['-Db_sanitize=' + SANITIZE[mode], '-Db_lundef=false', '-Doptimization=1',
                  '-Dc_args=' + flags]
    env = dict(os.environ)
    if mode == 'fuzz':
        setup += ['-Db_sanitize=address,undefined', '-Db_lundef=false', '-Doptimization=1',
                  '-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined']
        env['CC'] = 'clang'
    configured = os.path.exists(os.path.join(folder, 'build.ninja'))
    if not configured and not run_step(setup, env):
        return None
    targets = fuzzers(folder) if mode == 'fuzz' else ['all', 'meson-test-prereq']
    return folder if run_step(['ninja', '-C', folder, *targets], env) else None


def run_step(cmd, env):
    p = subprocess.run(cmd, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    if p.returncode:
        out = p.stdout.decode(errors='replace')
        print(out[max(out.find('FAILED:'), 0):][:8000])
    return p.returncode == 0


def fuzzers(folder):
    """The libFuzzer programs that a build knows."""
    out = subprocess.run(['meson', 'introspect', '--targets', folder], check=True,
                         stdout=subprocess.PIPE).stdout
    return [os.path.relpath(t['filename'][0], folder) for t in json.loads(out)
            if t['type'] == 'executable' and t['name'].startswith('lib')
            and t['name'].endswith('_fuzz')]


def fuzz_tests(folder, seconds):
    # From the same seed each time: a check that fails must fail again.
    seed = ['-seed=1'] if seconds < 60 else []
    for path in fuzzers(folder):
        yield Test(f'fuzz: {os.path.basename(path)[3:]}',
                   [os.path.join(folder, path), f'-max_total_time={seconds}', *seed,
                    '-rss_limit_mb=1024', '-timeout=20', '-verbosity=0', '-print_final_stats=1',
                    f'-artifact_prefix={folder}/'], seconds + 120, weight=5)


def meson_tests(mode, folder):
    out = subprocess.run(['meson', 'introspect', '--tests', folder], check=True,
                         stdout=subprocess.PIPE).stdout
    factor = {'plain': 1, 'asan': 4, 'tsan': 10}[mode]
    for t in json.loads(out):
        suites = [s.split(':')[-1] for s in t['suite']]
        if mode == 'asan' and 'no-asan' in suites:
            continue
        if mode == 'tsan' and not {'unit', 'smp'} & set(suites):
            continue
        if mode == 'tsan' and 'no-tsan' in suites:
            continue
        yield Test(f'{mode}: {t["name"]}', t['cmd'], (t['timeout'] or 120) * factor,
                   dict(t['env']), t['workdir'] or folder, 1 if 'unit' in suites else 2)


def boot_tests(mode, folder, opts):
    script = os.path.join(TOP, 'tests', 'boot', 'boot_tests.py')
    factor = {'plain': 1, 'asan': 4, 'tsan': 20, 'soak': 1}[mode]
    out = subprocess.run([script, '--list', mode], check=True, stdout=subprocess.PIPE, text=True)
    for line in out.stdout.split('\n'):
        if not line:
            continue
        name, patience = line.split()
        yield Test(f'{mode}: boot {name}',
                   [script, '--build', folder, '--guest', os.path.join(TOP, opts.build, 'guest'),
                    '--patience', str(factor), name],
                   int(patience) * factor, weight=10 + int(patience))


def judge_tests(opts, which):
    script = os.path.join(TOP, 'tests', 'judge', 'judge.py')
    out = subprocess.run([script, '--list', which], check=True, stdout=subprocess.PIPE, text=True)
    for line in out.stdout.splitlines():
        name, patience = line.split()
        yield Test(f'judge: {name}', [script, '--build', opts.build, name], int(patience),
                   weight=10 + int(patience))


def soak_tests(opts):
    """What is too long to be run each time, and needs no repetition."""
    yield from boot_tests('soak', opts.build, opts)
    yield from judge_tests(opts, 'soak')
    seed = str(int(time.time()))
    for engine in ('jit,hot=1,lockstep=1', 'jit,hot=1,trace=1,lockstep=1'):
        yield Test(f'soak: lockstep_test --engine {engine} --seed {seed}',
                   [os.path.join(opts.build, 'tests', 'lockstep', 'lockstep_test'),
                    '--engine', engine, '--seed', seed, '--count', '1500000'], 3600, weight=5)
    engines = ('interp', 'jit', 'jit,hot=1,trace=2,cache=256K')
    yield Test('soak: interrupts between CPUs',
               [os.path.join(TOP, 'tests', 'guest', 'run.py'), '--sundog',
                os.path.join(opts.build, 'sundog'), '--repeat', '50',
                *[a for e in engines for a in ('--engine', e)], 'ipi', 'kills', 'smp', 'storm'],
               7200, weight=5)
    yield Test('soak: mad drivers of virtio and NVMe',
               [os.path.join(TOP, 'tests', 'guest', 'run.py'), '--sundog',
                os.path.join(opts.build, 'sundog'), '--repeat', '300',
                *[a for e in engines for a in ('--engine', e)], 'rings'], 7200, weight=5)
    yield Test('soak: crashes of qcow2 images',
               [os.path.join(TOP, 'tests', 'block', 'qcow2_test.py'),
                os.path.join(opts.build, 'tests', 'block', 'imgio'), '--long'], 7200, weight=5)
    hostile = os.path.join(opts.build, 'tests', 'hostile')
    for engine in engines:
        yield Test(f'soak: hostile guests on {engine} --seed {seed}',
                   [os.path.join(hostile, 'hostile'), '--engine', engine, '--seconds', '600',
                    '--seed', seed], 900, weight=5)
    for engine in ('jit,hot=1', 'jit,hot=1,trace=1'):
        yield Test(f'soak: address_test --engine {engine} --seed {seed}',
                   [os.path.join(hostile, 'address_test'), '--engine', engine, '--seed', seed,
                    '--addresses', '400'], 900, weight=5)


def decode_tests(folder, opts):
    kernels = [os.path.join(opts.build, 'guest', k, 'vmlinuz') for k in ('cloud', '686-pae')]
    yield Test('decode: the text of Debian\'s kernels',
               [os.path.join(TOP, 'tests', 'decode_kernel.py'),
                os.path.join(folder, 'decode_zydis_test'), *kernels], weight=3)


def style_tests(opts):
    script = os.path.join(TOP, 'tests', 'style.py')
    out = subprocess.run([script, '--list'], check=True, stdout=subprocess.PIPE, text=True)
    for name in out.stdout.split():
        yield Test(f'style: {name}', [script, '--build', opts.build, name])


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(verdict, seconds, cpu, what):
    print(f'{verdict:4} {seconds:6.1f} s {cpu:6.1f} s  {what}', flush=True)


def collect(opts):
    """All tests, heavy ones first, and the builds that failed."""
    modes = ['plain', 'asan', 'tsan', 'fuzz']
    if opts.only == 'boot':
        modes = ['plain']
    elif opts.only:
        modes = [opts.only]
    tests, failed = [], []
    if opts.only in (None, 'plain'):
        tests += style_tests(opts)
    for mode in modes:
        start, cpu = time.monotonic(), children_cpu()
        folder = build(mode, opts)
        report('ok' if folder else 'FAIL', time.monotonic() - start, children_cpu() - cpu,
               f'{mode}: build')
        if not folder:
            failed.append(mode)
            continue
        if mode == 'fuzz':
            tests += fuzz_tests(folder, opts.fuzz_seconds)
            continue
        if opts.only != 'boot':
            tests += meson_tests(mode, folder)
            if mode == 'plain':
                tests += decode_tests(folder, opts)
        tests += boot_tests(mode, folder, opts)
        if mode == 'plain':
            tests += judge_tests(opts, 'check')
    if opts.filter:
        tests = [t for t in tests if opts.filter in t.name]
    tests *= opts.soak
    if opts.soak > 1 and 'plain' not in failed:
        tests += [t for t in soak_tests(opts) if not opts.filter or opts.filter in t.name]
    return sorted(tests, key=lambda t: -t.weight), len(modes) - len(failed), len(failed)


def fetch_guests(opts):
    guest = os.path.join(opts.build, 'guest')
    names = ['cloud', 'amd64', '686-pae', 'busybox', 'busybox-i386']
    commands = [['tools/fetch-guest.sh', guest, *names]]
    if opts.only in (None, 'plain', 'boot'):
        commands.append(['tools/fetch-judges.sh', os.path.join(guest, 'judges')])
    return all([subprocess.run(c, cwd=TOP, stdin=subprocess.DEVNULL).returncode == 0
                for c in commands])


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default='build')
    p.add_argument('--only', choices=['plain', 'asan', 'tsan', 'fuzz', 'boot'])
    p.add_argument('--filter', help='only tests whose name has this in it')
    p.add_argument('--soak', type=int, default=1, help='run each so many times')
    p.add_argument('--fuzz-seconds', type=int, default=5)
    p.add_argument('--jobs', type=int, default=os.cpu_count())
    opts = p.parse_args()

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, end_running)
    begin = time.monotonic()
    passed = failed = 0
    if opts.only != 'fuzz' and not fetch_guests(opts):
        print('FAIL           fetching the guests')
        failed += 1
    tests, built, broken = collect(opts)
    passed += built
    failed += broken
    with concurrent.futures.ThreadPoolExecutor(opts.jobs) as pool:
        for f in concurrent.futures.as_completed([pool.submit(run_test, t) for t in tests]):
            r = f.result()
            if r.status == SKIPPED:
                report('skip', r.seconds, r.cpu, f'{r.test.name}: {r.output.strip()[-200:]}')
                continue
            ok = r.status == 0
            passed += ok
            failed += not ok
            report('ok' if ok else 'FAIL', r.seconds, r.cpu, r.test.name)
            if not ok:
                print(f'  command: {" ".join(r.test.cmd)}')
                print(f'  status {r.status}; the end of its output:')
                print('\n'.join('  | ' + l for l in r.output.split('\n')[-60:]), flush=True)
    print(f'{time.monotonic() - begin:.0f} s in all, {children_cpu():.0f} s on the CPUs')
    print(f'{passed} passed, {failed} failed', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
