#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debug a bare-metal payload on sundog with gdb: gdb_tests.py [--engine E] SUNDOG PAYLOAD [TEST...]"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Each test of in_gdb.py, and how sundog ends if it does.
TESTS = {
    'breakpoints': None,
    'stepping': None,
    'watchpoints': None,
    'threads': None,
    'memory': None,
    'registers': None,
    'attaching': None,
    'crashing': None,
    'monitor': None,
    'killing': 0,
    'halted': None,
}


def run_test(name, opts, tmp):
    log = os.path.join(tmp, 'log')
    address = os.path.join(tmp, 'socket') if name == 'attaching' else 'localhost:0'
    with open(log, 'w', encoding='utf-8') as f, \
            subprocess.Popen([opts.sundog, 'run', opts.payload, '--engine', opts.engine,
                              f'--gdb={address}', '--cpus', '2', '--memory', '64M',
                              '--console', 'none'],
                             stdin=subprocess.DEVNULL, stdout=f, stderr=f) as proc:
        try:
            while True:
                with open(log, encoding='utf-8') as r:
                    m = re.search(r"target remote (\S+)'\n", r.read())
                if m:
                    break
                if proc.poll() is not None:
                    return f'sundog ended with {proc.returncode}'
            env = dict(os.environ, SUNDOG_GDB=m.group(1), SUNDOG_TEST=name, LC_ALL='C.UTF-8')
            gdb = subprocess.run(['gdb', '-nx', '-batch', '-x', os.path.join(HERE, 'in_gdb.py'),
                                  opts.payload], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, env=env, timeout=200)
            if gdb.returncode or 'Traceback' in gdb.stdout:
                return gdb.stdout[-6000:]
            if TESTS[name] is not None:
                status = proc.wait(60)
                return '' if status == TESTS[name] else f'sundog ended with {status}'
            if proc.poll() is not None:
                return f'sundog ended with {proc.returncode}'
            return ''
        except subprocess.TimeoutExpired as e:
            return f'no end: {e}'
        finally:
            if proc.poll() is None:
                proc.kill()
            proc.wait()
            with open(log, encoding='utf-8') as r:
                text = r.read()
            if 'Sanitizer' in text:
                print(text[-4000:])
                return 'a sanitizer complains'


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--engine', default='interp')
    p.add_argument('sundog')
    p.add_argument('payload')
    p.add_argument('names', nargs='*')
    opts = p.parse_args()
    failed = 0
    for name in opts.names or TESTS:
        with tempfile.TemporaryDirectory() as tmp:
            why = run_test(name, opts, tmp)
        print(f'{name}: {why or "ok"}', flush=True)
        failed += bool(why)
    return failed


if __name__ == '__main__':
    sys.exit(main())
