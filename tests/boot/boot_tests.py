#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's unmodified kernels on sundog, driven from outside."""
import argparse
import difflib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import crash_tests  # these register their tests
import disk_tests
import distro_tests
import nvme_tests
import virtio_tests
from guest import Guest, GuestError
from harness import TESTS, TOP, Env, boot_test, check, run_script

HERE = os.path.dirname(os.path.abspath(__file__))


def compare_with_native(env, *args, kernel='cloud', busybox='busybox', seconds=240):
    with open(os.path.join(HERE, 'script.sh'), encoding='utf-8') as f:
        script = f.read()
    # Natively the same applets of the same BusyBox, not the host's programs.
    bin_dir = os.path.join(env.tmp, 'bin')
    os.makedirs(bin_dir, exist_ok=True)
    subprocess.run([env.busybox(busybox), '--install', '-s', bin_dir], check=True)
    native = subprocess.run([env.busybox(busybox), 'sh', '-c', script], check=True, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env={'PATH': bin_dir}).stdout
    guest = run_script(env, script, *args, kernel=kernel, busybox=busybox, seconds=seconds)
    if guest != native:
        diff = difflib.unified_diff(native.split('\n'), guest.split('\n'), 'native', 'guest', n=1)
        raise GuestError('the guest gives another output:\n' + '\n'.join(diff))


@boot_test(240)
def script_1cpu(env):
    """The script gives the same output as natively."""
    compare_with_native(env)


# Translated at once, with a code cache that is given up all the time.
@boot_test(300, engines=('interp', 'jit,hot=1,cache=2M'))
def script_4cpus(env):
    compare_with_native(env, '--cpus', '4')


def compare_engines(env, least, *args, seconds=240):
    """The script, with at least so many instructions in translated code compared."""
    compare_with_native(env, '--stats', *args, seconds=seconds)
    count = int(re.search(r'(\d+)  compared_ops:', env.text).group(1))
    print(f'{count} instructions compared')
    if count < least:
        raise GuestError(f'only {count} instructions were compared')


@boot_test(300, ('plain',))
def script_max(env):
    """BusyBox and the kernel use all that the host's CPU has."""
    compare_with_native(env, '--cpu', 'max')


@boot_test(300, engines=('jit,hot=2,lockstep=1000',))
def lockstep(env):
    """Translator and interpreter do the same, in a sample of all code that is entered."""
    compare_engines(env, 2000000)


@boot_test(300, engines=('jit,hot=2,lockstep=5000',))
def lockstep_4cpus(env):
    compare_engines(env, 200000, '--cpus', '4', '--cpu', 'max')


@boot_test(3600, ('soak',), ('jit,hot=1,trace=20,lockstep=1',))
def lockstep_all(env):
    """The same, in all code that is entered."""
    compare_engines(env, 1000000000, seconds=3000)


@boot_test(3600, ('soak',), ('jit,hot=1,trace=20,lockstep=20',))
def lockstep_all_4cpus(env):
    compare_engines(env, 30000000, '--cpus', '4', '--cpu', 'max', seconds=3000)


@boot_test(240, ('plain', 'asan'))
def smp(env):
    """Four CPUs come up, all of them work, and the kernel has no complaint."""
    out = run_script(env, 'nproc; for i in 1 2 3 4 5 6 7 8; do seq 1 2000 | md5sum & done; wait\n'
                          'grep -c ^processor /proc/cpuinfo; dmesg -r |\n'
                          # A busy host makes timer interrupts late, and Linux notices.
                          'grep -v "Lost [0-9]* RTC" | grep -E "^<[0-4]>|MTRRs disabled"',
                     '--cpus', '4')
    lines = out.strip().split('\n')
    check('nproc', lines[0], '4')
    check('hashes', len(set(lines[1:9])), 1)
    check('cpuinfo and errors in the log', lines[9:], ['4'])


# Counted runs are interpreted, and under the thread sanitizer all are.
@boot_test(120, ('tsan',), ('interp',))
def smp_start(env):
    """Four CPUs come up, and their threads do not race.  A whole boot takes too long here."""
    with env.run('--initrd', env.initrd(), '--cpus', '4', '--memory', '128M') as g:
        g.expect('Brought up 1 node, 4 CPUs', 100)
        g.proc.terminate()
        check('exit status', g.wait(), -15)
        check('races', re.findall('WARNING: ThreadSanitizer.*', g.text), [])


@boot_test(300)
def bench(env):
    """What `make bench` runs: here only that each class computes what it should."""
    program = os.path.join(env.build, 'bench', 'guest', 'bench')
    initrd = env.initrd(f'{program}:bench')
    with env.run('--initrd', initrd, '--append', 'quiet rdinit=/bench -- -n 1') as g:
        g.expect('^bench: done', 240)
        check('exit status', g.wait(), 0)
        check('failures', re.findall('FAIL.*', g.text), [])


@boot_test(240)
def shell(env):
    """An interactive shell on a terminal: job control, a paste, the keys, power-off."""
    data = os.urandom(75000).hex()[:100000]
    data = '\n'.join(data[i:i + 100] for i in range(0, len(data), 100)) + '\n'
    with env.run('--initrd', env.initrd(), '--append', 'quiet', terminal=True) as g:
        g.expect('Welcome to Linux')
        g.expect('[#$] ')
        if not g.is_raw():
            raise GuestError('the terminal is not raw')
        with open(f'/proc/{g.proc.pid}/maps', encoding='ascii') as f:
            both = [l for l in f if 'w' in l.split()[1] and 'x' in l.split()[1]]
        check('pages both writable and executable', both, [])
        g.send('tty; echo job $((40 + 2))\n')
        g.expect('^/dev/ttyS0\r*\n')
        g.expect('^job 42')
        g.send('sleep 1000\n')
        time.sleep(0.5)
        g.send('\x03')
        g.send('echo alive $((1 + 1))\n')
        g.expect('^alive 2')
        g.send('stty -echo; echo ready; head -c %d | md5sum; stty echo\n' % len(data))
        g.expect('^ready\r*\n')
        g.send(data)
        g.expect(hashlib.md5(data.encode()).hexdigest())
        g.send('\x01h')
        g.expect('Ctrl-A x')
        g.send('exit\n')
        check('exit status', g.wait(), 0)
        check('raw terminal left behind', g.is_raw(), False)


@boot_test(180)
def quit_key(env):
    """Ctrl-A x ends it, whatever the guest does."""
    with env.run('--initrd', env.initrd(), terminal=True) as g:
        g.expect('Linux version')
        g.send('\x01x')
        check('exit status', g.wait(), 0)
        check('raw terminal left behind', g.is_raw(), False)


# Loads the button's driver and waits for it to be pressed; then it powers off.
LISTENS = ('insmod /evdev.ko; insmod /button.ko\n'
           'n=$(grep -l "Power Button" /sys/class/input/event*/device/name)\n'
           'n=${n#/sys/class/input/}; (sleep 1; echo listening) &\n'
           'head -c 1 /dev/input/${n%%/*} >/dev/null; echo pressed')


def listening(env):
    modules = os.path.join(env.guest, 'cloud', 'modules', 'kernel', 'drivers')
    return env.initrd(f'{modules}/acpi/button.ko:button.ko', f'{modules}/input/evdev.ko:evdev.ko',
                      script=LISTENS)


@boot_test(180)
def power_button(env):
    """Ctrl-A p: a guest that listens hears it, and powers off."""
    with env.run('--initrd', listening(env), '--append', 'quiet', terminal=True) as g:
        g.expect('^listening')
        g.send('\x01p')
        g.expect('^pressed')
        check('exit status', g.wait(), 0)


@boot_test(180, engines=('jit',))
def sigterm_listens(env):
    """SIGTERM: a guest that listens to the power button powers itself off."""
    with env.run('--initrd', listening(env), '--append', 'quiet') as g:
        g.expect('^listening')
        g.proc.terminate()
        g.expect('pressed the power button')
        g.expect('^pressed')
        check('exit status', g.wait(), 0)


@boot_test(240, engines=('jit',))
def managed(env):
    """A machine in the background: attached to, left, paused, attached to again, stopped."""
    os.environ['SUNDOG_RUN_DIR'] = os.path.join(env.tmp, 'run')
    env.run('--initrd', env.initrd(), '--append', 'quiet', '--detach', '--name', 'vm').wait()
    console = [env.sundog, 'console', 'vm']
    try:
        with Guest(console, env.patience, terminal=True) as g:
            g.expect('Ctrl-A d')
            g.expect('Welcome to Linux')
            g.send('mark=$((6 * 7)); echo "<$mark>"\n')
            g.expect('<42>')
            g.send('\x01d')
            g.expect('left the console')
            check('exit status', g.wait(), 0)
            check('raw terminal left behind', g.is_raw(), False)
        for command in (['pause', 'vm'], ['status', 'vm'], ['resume', 'vm']):
            out = subprocess.run([env.sundog, *command], check=True, stdout=subprocess.PIPE,
                                 text=True).stdout
            check('state', 'paused' in out, command[0] == 'status')
        with Guest(console, env.patience, terminal=True) as g:
            g.expect('<42>')  # what came before is shown again
            g.send('echo "again <$mark>"\n')
            g.expect('again <42>')
            g.send('exit\n')
            g.expect('the machine has ended')
            check('exit status', g.wait(), 0)
            check('raw terminal left behind', g.is_raw(), False)
    finally:
        subprocess.run([env.sundog, 'stop', 'vm', '--timeout', '0'], stderr=subprocess.DEVNULL)
    # The console has ended a little before the process.
    end = time.monotonic() + 60 * env.patience
    while (left := os.listdir(os.environ['SUNDOG_RUN_DIR'])) != ['vm.log']:
        if time.monotonic() > end:
            raise GuestError(f'left in the run directory: {left}')
        time.sleep(0.05)


@boot_test(180)
def stop_and_continue(env):
    """Stopped, the terminal is the shell's; continued, it is raw again and the guest lives."""
    with env.run('--initrd', env.initrd(), '--append', 'quiet', terminal=True) as g:
        g.expect('Welcome to Linux')
        g.proc.send_signal(signal.SIGTSTP)
        time.sleep(0.5)
        check('raw terminal of a stopped one', g.is_raw(), False)
        g.proc.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        check('raw terminal of a continued one', g.is_raw(), True)
        g.send('echo alive $((1 + 1))\n')
        g.expect('^alive 2')


@boot_test(180)
def sigterm(env):
    """SIGTERM in the middle of a boot: the terminal is restored, the signal is seen."""
    with env.run('--initrd', env.initrd(), terminal=True) as g:
        g.expect('Linux version')
        g.proc.terminate()
        check('exit status', g.wait(), -15)
        check('raw terminal left behind', g.is_raw(), False)


@boot_test(180)
def closed_input(env):
    """The end of stdin is not the end of the machine; descriptors keep their flags."""
    initrd = env.initrd(script='sleep 2; echo still here')
    with env.run('--initrd', initrd, '--append', 'quiet') as g:
        flags = g.flags()
        g.proc.stdin.close()
        g.expect('^still here')
        check('exit status', g.wait(), 0)
        check('O_NONBLOCK', flags & os.O_NONBLOCK, 0)


@boot_test(240)
def reboot(env):
    """A reboot boots again; with --no-reboot it ends with 0."""
    initrd = env.initrd()
    with env.run('--initrd', initrd, '--append', 'quiet') as g:
        g.expect('Welcome to Linux')
        g.send('reboot -f\n')
        g.expect('Welcome to Linux')
        g.send('poweroff -f\n')
        check('exit status', g.wait(), 0)
    with env.run('--initrd', initrd, '--append', 'quiet', '--no-reboot') as g:
        g.expect('Welcome to Linux')
        g.send('reboot -f\n')
        check('exit status', g.wait(), 0)
        check('boots', g.text.count('Welcome to Linux'), 1)


@boot_test(180)
def panic(env):
    """A kernel panic is status 5: the guest tells the pvpanic device."""
    misc = os.path.join(env.guest, 'cloud', 'modules', 'kernel', 'drivers', 'misc', 'pvpanic')
    initrd = env.initrd(f'{misc}/pvpanic.ko:pvpanic.ko', f'{misc}/pvpanic-mmio.ko:pvpanic-mmio.ko',
                        script='insmod /pvpanic.ko; insmod /pvpanic-mmio.ko\n'
                               'echo c >/proc/sysrq-trigger')
    with env.run('--initrd', initrd, '--append', 'quiet') as g:
        g.expect('Kernel panic')
        check('exit status', g.wait(), 5)


@boot_test(180)
def triple_fault(env):
    """reboot=triple with --no-reboot: a triple fault is status 5, with its autopsy."""
    initrd = env.initrd(script='echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger')
    with env.run('--initrd', initrd, '--append', 'quiet reboot=triple,force',
                 '--no-reboot') as g:
        g.expect('Kernel panic')
        check('exit status', g.wait(), 5)
        if not re.search('triple fault', g.text, re.I):
            raise GuestError('no autopsy of the triple fault')


@boot_test(240)
def clock(env):
    """Ten seconds in the guest are ten seconds here, within 1 %."""
    worst = None
    initrd = env.initrd(script='''
        for round in 1 2 3; do
            read a rest </proc/uptime; echo "@@ $a"
            sleep 10
            read b rest </proc/uptime; echo "@@ $b"
        done''')
    # A busy host delays what we see; one good round of three shows that the clocks agree.
    with env.run('--initrd', initrd, '--append', 'quiet') as g:
        for _ in range(3):
            a = float(g.expect(r'@@ ([0-9.]+)\s').group(1))
            start = time.monotonic()
            b = float(g.expect(r'@@ ([0-9.]+)\s').group(1))
            host = time.monotonic() - start
            off = max(abs(b - a - host) / host, abs(host - 10) / 10)
            worst = off if worst is None else min(worst, off)
            print(f'guest {b - a:.2f} s, host {host:.3f} s')
            if off < 0.01:
                return
    raise GuestError(f'off by {worst:.1%} at best')


@boot_test(300, ('plain', 'asan'))
def gdb_kernel(env):
    """gdb stops the kernel at start_kernel, steps it, and lets it go on to its end."""
    out = run_script(env, 'grep -E " (start_kernel|linux_banner)$" /proc/kallsyms',
                     '--append', 'nokaslr quiet')
    where = {name: address for address, _, name in re.findall(r'(\w+) (\w) (\w+)', out)}
    initrd = env.initrd(script='echo "@@ on"')
    with env.run('--initrd', initrd, '--append', 'nokaslr quiet', '--gdb=localhost:0',
                 '--cpus', '2') as g:
        address = g.expect(r"target remote (\S+)'").group(1)
        commands = ['set pagination off', 'set arch i386:x86-64', f'target remote {address}',
                    f'hbreak *0x{where["start_kernel"]}', 'continue', 'stepi 20',
                    f'x/s 0x{where["linux_banner"]}', 'info threads', 'delete', 'detach']
        argv = ['gdb', '-nx', '-batch']
        for c in commands:
            argv += ['-ex', c]
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                           stderr=subprocess.STDOUT, text=True, timeout=120 * env.patience)
        for want in ('hit Breakpoint 1', '0x' + where['start_kernel'], 'Linux version 6',
                     'CPU 1 halted'):
            if want not in p.stdout:
                raise GuestError(f'gdb did not say {want!r}: {p.stdout}')
        g.expect('@@ on')
        check('exit status', g.wait(), 0)


@boot_test(240, engines=('jit,perf=map',))
def visible(env):
    """What the translator did: counters at the end, traces in a file, names for perf."""
    trace = os.path.join(env.tmp, 'trace')
    initrd = env.initrd(script='echo on')
    with env.run('--initrd', initrd, '--append', 'quiet', '--stats', '--trace',
                 'jit_*,irq_*,vcpu_*', '--trace-file', trace) as g:
        g.expect('^on')
        check('exit status', g.wait(), 0)
        names = f'/tmp/perf-{g.proc.pid}.map'
    with open(names, encoding='ascii') as f:
        symbols = [l.split() for l in f]
    os.unlink(names)
    counts = {m[2]: float(m[1]) for m in re.finditer(r'^ *([0-9.]+)  (\w+): ', g.text, re.M)}
    for name in ('instructions', 'tlb_fills', 'slow_loads', 'slow_stores', 'kicks', 'kills_store',
                 'execs', 'jump_misses', 'exits_link', 'exits_kicked', 'exits_other', 'translated',
                 'guest_code', 'code', 'expansion', 'links', 'kills_code'):
        if not counts.get(name):
            raise GuestError(f'--stats does not count {name}')
    with open(trace, encoding='ascii') as f:
        lines = [re.fullmatch(r' *(\d+\.\d{6}) (cpu0|loop|-) +(\w+) .+\n', l) for l in f]
    if not all(lines):
        raise GuestError('a line of the trace has another form')
    times = [float(m[1]) for m in lines if m[2] == 'cpu0']
    check('the order of times', times, sorted(times))
    seen = {m[3] for m in lines}
    check('points that are not in the trace', {'jit_translate', 'jit_link', 'jit_kill', 'jit_exit',
          'irq_line', 'irq_message', 'vcpu_interrupt', 'vcpu_exception', 'vcpu_exit'} - seen, set())
    pieces = [(int(a, 16), int(n, 16)) for a, n, name in symbols if name.startswith('guest_')]
    check('names, and no fewer than translated blocks', len(pieces) >= counts['translated'], True)
    check('pieces of code that overlap',
          [hex(a) for (a, n), (b, _) in zip(sorted(pieces), sorted(pieces)[1:]) if a + n > b], [])


@boot_test(240, engines=('jit,perf=map',))
def perf(env):
    """perf(1), where there is one that may look, names translated code."""
    data = os.path.join(env.tmp, 'perf.data')
    record = ['perf', 'record', '-e', 'cpu-clock', '-o', data, '--']
    if not shutil.which('perf') or subprocess.run([*record, 'true'], capture_output=True,
                                                  check=False).returncode:
        print('perf is not here, or may not look')
        return
    initrd = env.initrd(script='seq 1 20000 | md5sum')
    p = subprocess.Popen([*record, env.sundog, 'run', env.kernel(), '--engine', env.engine,
                          '--initrd', initrd, '--append', 'quiet'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    p.communicate(timeout=200 * env.patience)
    check('exit status', p.returncode, 0)
    names = subprocess.run(['perf', 'script', '-i', data, '-F', 'pid,ip,sym'], check=True, text=True,
                           capture_output=True).stdout
    for pid in set(re.findall(r'^ *(\d+)', names, re.M)):
        if os.path.exists(f'/tmp/perf-{pid}.map'):
            os.unlink(f'/tmp/perf-{pid}.map')
    if names.count(' guest_') < 10:
        raise GuestError(f'perf saw {names.count(" guest_")} samples in translated code')


def run_storm(env, cpus, seconds=1):
    """Time, signals, sleeps and hand-offs under load; tests/storm/storm.c judges."""
    program = os.path.join(env.build, 'tests', 'storm', 'storm')
    initrd = env.initrd(f'{program}:storm', script=f'/storm -s {seconds}; dmesg | '
                                                   'grep -i "clocksource.*unstable"')
    with env.run('--initrd', initrd, '--append', 'quiet', '--cpus', cpus) as g:
        g.expect('^storm: 0 failures', 100 + 30 * seconds)
        check('exit status', g.wait(), 0)
        check('complaints', re.findall('FAIL.*|unstable', g.text), [])
        print('\n'.join(re.findall('^ok .*', g.text, re.M)))


@boot_test(240)
def storm(env):
    run_storm(env, '1')


@boot_test(240)
def storm_4cpus(env):
    run_storm(env, '4')


@boot_test(9000, ('soak',))
def storm_for_an_hour(env):
    run_storm(env, '4', 600)


def kernel_module(env, kernel, name, args, pattern):
    """Insert one of the kernel's tests of itself, and judge by its last line."""
    path = os.path.join(env.guest, kernel, 'modules', name + '.ko')
    out = run_script(env, f'insmod /{name}.ko {args}; dmesg | grep {name}: | tail -n 400',
                     kernel=kernel, pairs=(f'{path}:{name}.ko',), seconds=600)
    print(out[-2000:])
    m = re.search(pattern, out)
    if not m:
        raise GuestError(f'{name} did not say {pattern!r}')
    return m


@boot_test(600)
def test_bpf(env):
    """The kernel's tests of its BPF interpreter and JIT."""
    m = kernel_module(env, 'amd64', 'test_bpf', '',
                      r'test_bpf: Summary: (\d+) PASSED, (\d+) FAILED')
    check('failed', m.group(2), '0')


@boot_test(300)
def test_user_copy(env):
    kernel_module(env, 'amd64', 'test_user_copy', '', 'test_user_copy: tests passed')


@boot_test(300, engines=('interp', 'jit', 'jit,hot=1'))
def compat(env):
    """A 32-bit userland under a 64-bit kernel."""
    compare_with_native(env, busybox='busybox-i386')


# The translator leaves 32-bit kernels to the interpreter: one run shows both.
@boot_test(300, engines=('jit',))
def i686_pae(env):
    """Debian's 32-bit kernel with a 32-bit userland does the same work."""
    compare_with_native(env, kernel='686-pae', busybox='busybox-i386')


def run_one(name, engine, opts):
    with tempfile.TemporaryDirectory() as tmp:
        try:
            TESTS[name][0](Env(opts, tmp, engine))
        except (GuestError, OSError, subprocess.CalledProcessError) as e:
            print(f'{name}:{engine}: {e}')
            return 1
    return 0


def chosen(names):
    """Pairs of test and engine: for "shell:jit" one, for "shell" one for each of its engines."""
    for given in names or TESTS:
        name, _, engine = given.partition(':')
        for e in [engine] if engine else TESTS[name][3]:
            yield name, e


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--list', metavar='MODE', help='names of the tests of a mode, with seconds')
    p.add_argument('--build', default=os.path.join(TOP, 'build'))
    p.add_argument('--guest', default=os.path.join(TOP, 'build', 'guest'))
    p.add_argument('--patience', type=int, default=1, help='wait so many times longer')
    p.add_argument('--seed', type=int, default=1, help='of what is chosen at random')
    p.add_argument('names', nargs='*', metavar='NAME[:ENGINE]')
    opts = p.parse_args()
    if opts.list:
        for name, (_, seconds, modes, engines) in TESTS.items():
            for engine in engines if opts.list in modes else ():
                print(f'{name}:{engine}', seconds)
        return 0
    return max([run_one(n, e, opts) for n, e in chosen(opts.names)])


if __name__ == '__main__':
    sys.exit(main())
