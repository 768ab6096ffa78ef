#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bad input gets one line with cause and cure, and its exit status; help works."""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

SUNDOG, FORBID = sys.argv[1:3]
failures = 0


def run(*args, under=(), **kw):
    return subprocess.run([*under, SUNDOG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60, **kw)


def expect(status, text, *args):
    """The status, one line on stderr that has text, and nothing on stdout."""
    global failures
    p = run(*args)
    lines = p.stderr.splitlines()
    good = (p.returncode == status and len(lines) == 1 and lines[0].startswith('sundog: ') and
            text in lines[0] and not p.stdout)
    if not good:
        failures += 1
        print(f'sundog {" ".join(args)}\n  status {p.returncode}, expected {status} and {text!r}')
        print(f'  stdout: {p.stdout[:300]!r}\n  stderr: {p.stderr[:600]!r}')


def expect_output(text, *args):
    global failures
    p = run(*args)
    if p.returncode or text not in p.stdout or p.stderr:
        failures += 1
        print(f'sundog {" ".join(args)}\n  status {p.returncode}, expected {text!r}')
        print(f'  stdout: {p.stdout[:300]!r}\n  stderr: {p.stderr[:300]!r}')


def multiboot(code):
    magic, flags = 0x1BADB002, 0x10000
    words = [magic, flags, -(magic + flags) & 0xffffffff, 0x100000, 0x100000, 0, 0, 0x100020]
    return b''.join(w.to_bytes(4, 'little') for w in words) + code


def forbidden_code(kernel):
    """A host where no memory may be made executable: jit fails, auto says why and goes on."""
    global failures
    args = ['run', kernel, '--device', 'isa-debug-exit,iobase=0xf4']
    for what, engine, status, text in (
            ('exec', 'jit', 4, 'forbids executable memory'),
            ('exec', 'interp', 33, ''), ('exec', 'auto', 33, 'running on interp'),
            # Nothing is ever writable and executable, so these policies are none for us.
            ('wx', 'jit', 33, ''), ('wx', 'auto', 33, '')):
        p = run(*args, '--engine', engine, under=[FORBID, what])
        if p.returncode == 77:
            print(p.stderr)
            return
        if p.returncode != status or len(p.stderr.splitlines()) != (text != '') or \
                text not in p.stderr:
            failures += 1
            print(f'--engine {engine} under {what}: status {p.returncode}, {p.stderr!r}')
    for what, cpu, status, text in (('exec', 'v3', 4, 'forbids; use --cpu x86-64-v2'),
                                    ('exec', 'max', 33, ''), ('wx', 'max', 33, '')):
        p = run(*args, '--engine', 'interp', '--cpu', cpu, under=[FORBID, what])
        no_avx = cpu == 'v3' and p.returncode == 4 and 'has no' in p.stderr
        if not no_avx and (p.returncode != status or text not in p.stderr):
            failures += 1
            print(f'--cpu {cpu} under {what}: status {p.returncode}, {p.stderr!r}')
    p = run('doctor', under=[FORBID, 'exec'])
    if p.returncode or not re.search('^note .*jit .*forbids executable memory', p.stdout, re.M) or \
            not re.search('^ok .*interp .*the default here', p.stdout, re.M):
        failures += 1
        print(f'doctor without executable memory: status {p.returncode}, {p.stdout}')


def write(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, 'wb') as f:
        f.write(data)
    return path


def config_files(tmp, exit_kernel):
    """A machine from a file; the command line counts more; --dry-run prints what -f takes."""
    global failures
    write(tmp, 'kernel', open(exit_kernel, 'rb').read())
    vm = write(tmp, 'vm.yaml', b'kernel: kernel\nmemory: 64M\nno-reboot: true\n'
               b'device: [{name: isa-debug-exit, iobase: 0xf4}]\n')
    texts = [run('run', '-f', vm, '--cpus', '2', '--dry-run', *form).stdout
             for form in ([], ['--json'])]
    again = [run('run', '--file', write(tmp, 'again', t.encode()), '--dry-run').stdout
             for t in texts]
    machine = json.loads(texts[1])
    if (again != [texts[0], texts[0]] or machine['cpus'] != 2 or machine['memory'] != 64 << 20 or
            machine['kernel'] != os.path.join(tmp, 'kernel')):
        failures += 1
        print('a printed machine is not what was asked for:', texts, again)
    p = run('run', '-f', vm, '--engine', 'interp')
    if p.returncode != 33:
        failures += 1
        print(f'run -f vm.yaml: status {p.returncode}, expected 33: {p.stderr}')
    expect(2, 'two things to boot', 'run', '-f', vm, os.path.join(tmp, 'kernel'))
    expect(2, 'add that', 'run', '-f', vm, '--json')
    expect(2, "bad.yaml:2:1: unknown key memroy; did you mean memory?", 'run', '-f',
           write(tmp, 'bad.yaml', b'cpus: 1\nmemroy: 1G\n'))
    expect(2, 'is it a text file?', 'run', '-f', write(tmp, 'binary', b'\x7fELF\0\xff'))
    expect(2, 'for the command line only', 'run', '-f', write(tmp, 'h.yaml', b'help: true'))
    expect(3, 'No such file', 'run', '-f', tmp + '/none')
    expect(3, 'Is a directory', 'run', '-f', tmp)
    expect(3, 'larger than', 'run', '-f', '/dev/zero')
    expect(2, 'needs a value', 'run', '-f')


def main():
    expect(2, 'did you mean run?', 'rnu')
    expect(2, '--help', 'frobnicate')
    expect(2, 'did you mean --version?', '--versoin')
    expect(2, 'did you mean --memory?', 'run', '--memroy', '1G', 'x')
    expect(2, 'nothing to boot', 'run')
    expect(2, 'two things to boot', 'run', 'a', 'b')
    expect(3, '--disk cannot open b', 'run', '--kernel', 'a', 'b')  # a disk beside it
    expect(3, '--disk cannot open none.qcow2', 'run', 'none.qcow2')
    expect(2, 'needs a value', 'run', '--kernel')
    expect(2, 'not a size', 'run', '--memory', 'much', 'x')
    expect(2, 'not a number', 'run', '--cpus', 'four', 'x')
    expect(2, '--cpus 1', 'run', '--cpus', '0', 'x')
    expect(2, '--cmdline', 'run', '--append', 'a', '--cmdline', 'b', 'x')
    expect(2, 'trace', 'run', '--trace', 'nothing_like_this', 'x')
    expect(2, 'doctor', 'doctor', 'please')

    with tempfile.TemporaryDirectory() as tmp:
        expect(3, 'No such file', 'run', os.path.join(tmp, 'missing'))
        expect(3, tmp, 'run', tmp)
        text = write(tmp, 'text', b'I am not a kernel.\n' * 100)
        expect(3, 'text', 'run', text)
        expect(3, 'gzip', 'run', write(tmp, 'gz', b'\x1f\x8b\x08' + bytes(1000)))
        expect(3, 'cpio', 'run', write(tmp, 'cpio', b'070701' + bytes(1000)))
        expect(3, 'empty', 'run', write(tmp, 'empty', b''))
        header = bytearray(0x400)
        header[0x1f1] = 4
        header[0x1fe:0x200] = b'\x55\xaa'
        header[0x202:0x206] = b'HdrS'
        header[0x206:0x208] = b'\x0f\x02'
        expect(3, '', 'run', write(tmp, 'short', bytes(header)))
        elf = b'\x7fELF\x02\x01\x01' + bytes(9) + b'\x02\0\x3e\0' + b'\xff' * 100
        expect(3, '', 'run', write(tmp, 'elf', elf))
        if os.geteuid() != 0:
            secret = write(tmp, 'secret', b'x')
            os.chmod(secret, 0)
            expect(3, 'Permission denied', 'run', secret)
        # A FIFO that nobody writes: a signal ends the wait.
        fifo = os.path.join(tmp, 'fifo')
        os.mkfifo(fifo)
        waiting = subprocess.Popen([SUNDOG, 'run', fifo], stdin=subprocess.DEVNULL)
        time.sleep(0.5)
        waiting.terminate()
        assert waiting.wait(30) == -15
        # A multiboot kernel that halts: a good input for what is wrong elsewhere.
        good = write(tmp, 'good', multiboot(b'\xf4\xeb\xfd'))
        # mov al, 0x10; out 0xf4, al
        exit_kernel = write(tmp, 'exit', multiboot(b'\xb0\x10\xe6\xf4\xf4'))
        forbidden_code(exit_kernel)
        config_files(tmp, exit_kernel)
        expect(3, 'No such file', 'run', good, '--module', os.path.join(tmp, 'none'))
        expect(2, 'CPU', 'run', good, '--cpus', '4000')
        expect(2, '1 to 8', 'run', good, '--cpus', '9')
        expect(2, 'at most 510 GiB', 'run', good, '--memory', '1T')
        expect(2, 'no address', 'run', good, '--gdb', ':99999')
        expect(2, 'those of isa-debugcon0', 'run', good, '--device', 'isa-debugcon', '--device',
               'pc-testdev')
        expect(2, 'do not exist', 'run', good, '--device', 'isa-debug-exit,iobase=0xffff')
        expect(2, 'help', 'run', good, '--engine', 'warp')
        expect(2, "did you mean 'jit'?", 'run', good, '--engine', 'jti')
        expect(2, "did you mean 'auto'?", 'run', good, '--engine', 'atuo')
        expect(2, 'no option', 'run', good, '--engine', 'interp,hot=1')
        expect(2, 'from 1 to', 'run', good, '--engine', 'jit,hot=0')
        expect(2, 'neither none nor map', 'run', good, '--engine', 'jit,perf=yes')
        expect(2, '--trace-file without --trace', 'run', good, '--trace-file', tmp + '/t')
        expect(1, 'cannot write', 'run', good, '--trace', 'io_*', '--trace-file', '/nonexistent/t')
        expect(2, 'cache must be', 'run', good, '--engine', 'jit,cache=4K')
        expect(2, '', 'run', good, '--cpu', '8086')
        expect(2, "did you mean 'v4'?", 'run', good, '--cpu', 'v44')
        expect(2, "did you mean 'x86-64-v2'?", 'run', good, '--cpu', 'x86-64_v2')
        expect(2, 'did you mean', 'run', good, '--device', 'isa-debug-exti')
        expect(2, 'did you mean', 'run', good, '--device', 'isa-debug-exit,iobsae=1')
        expect(2, 'stdio, pty', 'run', good, '--console', 'teletype')
        expect(1, 'cannot write', 'run', good, '--console', 'file:/nonexistent/log')

    expect_output('Commands:', '--help')
    expect_output('--kernel FILE', 'run', '--help')
    expect_output('--kernel FILE', 'help', 'run')
    expect_output('sundog ', '--version')
    expect_output('interp', 'run', '--engine', 'help')
    expect_output('x86-64-v2', 'run', '--cpu', 'help')
    expect_output('isa-debug-exit', 'run', '--device', 'help')
    expect_output('iobase', 'run', '--device', 'isa-debug-exit,help')
    expect_output('io_read', 'run', '--trace', 'help')
    expect_output('jit_translate', 'run', '--trace', 'help')
    expect_output('file:PATH', 'run', '--console', 'help')
    expect_output('interp', 'doctor')
    report = json.loads(run('doctor', '--json').stdout)
    assert report['ok'] is True and {'group', 'name', 'verdict', 'text'} <= set(report['checks'][0])
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
