#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Control sockets: the protocol, hostile clients, names, life-cycle commands, consoles.

Guests are a few instructions; real ones are in tests/boot.  Waits find hangs, not slowness.
"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import jsonschema

SUNDOG = os.path.abspath(sys.argv[1])
MANUAL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                      'docs', 'control.md')
PATIENCE = 120
TESTS = []

HALT = b'\xf4\xeb\xfd'
# Enables the power button's event (port 0x602), says "!" on the serial port, then halts.
ENABLE = b'\x66\xba\x02\x06\x66\xb8\x00\x01\x66\xef' b'\x66\xba\xf8\x03\xb0!\xee'
IGNORES = ENABLE + HALT
# ... and powers off (0x2000 to 0x604) as soon as bit 8 of port 0x600 is set.
LISTENS = ENABLE + (b'\x66\xba\x00\x06\x66\xed\xf6\xc4\x01\x74\xf9'
                    b'\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef') + HALT
# Sends back what comes over the first serial port.
ECHO = b'\x66\xba\xfd\x03\xec\xa8\x01\x74\xfb\x66\xba\xf8\x03\xec\xee\xeb\xef'


def test(f):
    TESTS.append(f)
    return f


def multiboot(code):
    magic, flags = 0x1BADB002, 0x10000
    words = [magic, flags, -(magic + flags) & 0xffffffff, 0x100000, 0x100000, 0, 0, 0x100020]
    return b''.join(w.to_bytes(4, 'little') for w in words) + code


def check(what, got, want):
    if got != want:
        raise AssertionError(f'{what}: {got!r} instead of {want!r}')


def until(what, f):
    """Wait until f() is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (value := f()):
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {PATIENCE} s')
        time.sleep(0.02)
    return value


class Schema:
    """What messages must fit."""

    def __init__(self, schema):
        self.defs = schema['$defs']
        self.seen = set()
        jsonschema.Draft202012Validator.check_schema(schema)
        self.message = jsonschema.Draft202012Validator(schema)

    def fits(self, message, command=None):
        """A message; with command, what that returned."""
        # Of thousands that differ in a number, one is enough.
        kind = (command, re.sub(r'\d+', '0', json.dumps(message)))
        if kind in self.seen:
            return
        self.seen.add(kind)
        checker = self.message
        if command:
            checker = jsonschema.Draft202012Validator(self.defs['returns'][command])
        for e in checker.iter_errors(message):
            raise AssertionError(f'{message!r} does not fit the schema: {e.message[:500]}')


class Client:
    """A connection; what comes must fit the schema."""
    schema = None

    def __init__(self, path, greeted=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self.data = b''
        self.greeting = self.next() if greeted else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def next(self):
        """The next message; None at the end of the connection."""
        while b'\n' not in self.data:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b''
            if not got:
                return None
            self.data += got
        line, self.data = self.data.split(b'\n', 1)
        message = json.loads(line)
        if Client.schema:
            Client.schema.fits(message)
        return message

    def send(self, data):
        self.sock.sendall(data)

    def call(self, command, _id='x', **arguments):
        """What it returns, or the error's code; events on the way are passed over."""
        request = {'id': _id, 'command': command, 'arguments': arguments}
        self.send(json.dumps(request).encode() + b'\n')
        while 'event' in (m := self.next()):
            pass
        check('id', m['id'], _id)
        if 'error' in m:
            return m['error']['code']
        if Client.schema:
            Client.schema.fits(m['return'], command)
        return m['return']

    def event(self, name):
        while (m := self.next()) is not None:
            if m.get('event') == name:
                return m['data']
        raise AssertionError(f'the connection ended without the event {name}')


def try_connect(path):
    try:
        return Client(path)
    except ConnectionRefusedError:  # made, and not yet listened to
        return None


class Env:
    def __init__(self, tmp):
        self.tmp = tmp
        self.run_dir = os.path.join(tmp, 'run')
        self.environ = dict(os.environ, SUNDOG_RUN_DIR=self.run_dir)

    def path(self, name):
        return os.path.join(self.run_dir, name)

    def kernel(self, code, name='guest'):
        path = os.path.join(self.tmp, name)
        with open(path, 'wb') as f:
            f.write(multiboot(code))
        return path

    def cli(self, *args, stdin=subprocess.DEVNULL, **kw):
        return subprocess.run([SUNDOG, *args], env=self.environ, stdin=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, **kw)

    def good(self, *args):
        """The output of a command that must succeed."""
        p = self.cli(*args)
        check(f'status of {args}, {p.stderr}', p.returncode, 0)
        return p.stdout

    def bad(self, status, text, *args):
        """A command that must fail with one line."""
        p = self.cli(*args)
        lines = p.stderr.splitlines()
        if p.returncode != status or len(lines) != 1 or text not in lines[0] or p.stdout:
            raise AssertionError(f'{args}: status {p.returncode} instead of {status}, no {text!r} '
                                 f'in {p.stderr!r}, or output: {p.stdout!r}')

    @contextlib.contextmanager
    def machine(self, *args, code=HALT, sock=None):
        """A machine that runs; it is ended at last."""
        p = subprocess.Popen([SUNDOG, 'run', self.kernel(code), '--memory', '32M', *args],
                             env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        try:
            if sock:
                until('a socket', lambda: os.path.exists(self.path(sock)) or p.poll() is not None)
            yield p
        finally:
            if p.poll() is None:
                p.kill()
            p.communicate()

    @contextlib.contextmanager
    def both(self, *args, code=HALT):
        """A machine and a client."""
        with self.machine(*args, code=code, sock='guest.sock') as p:
            with until('a listener', lambda: try_connect(self.path('guest.sock'))) as c:
                yield p, c


def wait(p, status):
    check('exit status', p.wait(PATIENCE), status)


# --- the protocol ---------------------------------------------------------------------------

@test
def protocol(env):
    """Each command answers as the schema says; the manual knows them all."""
    with env.both() as (p, c):
        check('greeting', c.greeting['sundog']['protocol'], 1)
        Client.schema = Schema(c.call('schema')['schema'])
        Client.schema.fits(c.greeting)
        names = [x['name'] for x in c.call('commands')['commands']]
        check('returns', sorted(names), sorted(Client.schema.defs['returns']))
        check('hello', c.call('hello')['name'], 'guest')
        status = c.call('status')
        check('state', status['state'], 'running')
        check('pid', status['pid'], p.pid)
        check('memory', status['memory'], 32 << 20)
        metrics = {m['name'] for m in c.call('metrics')['metrics']}
        if not {'uptime_seconds', 'guest_errors', 'engine_instructions'} <= metrics:
            raise AssertionError(f'metrics: {metrics}')
        check('console', c.call('console'), 'unsupported')
        check('events', c.call('events'), {})
        for command, event, state in (('pause', 'paused', 'paused'),
                                      ('resume', 'resumed', 'running')):
            check(command, c.call(command), {})
            check('state', c.call('status')['state'], state)
            check('again', c.call(command), {})
        check('reset', c.call('reset'), {})
        check('data', c.event('reset'), {})
        check('powerdown', c.call('powerdown'), {'heard': False})
        check('quit', c.call('quit'), {})
        check('shutdown', c.event('shutdown'), {'reason': 'control', 'status': 0})
        check('the end', c.next(), None)
        wait(p, 0)
    check('left in the run directory', os.listdir(env.run_dir), [])


@test
def disks(env):
    image = os.path.join(env.tmp, 'disk.img')
    with open(image, 'wb') as f:
        f.truncate(3 << 20)
    with env.both('--disk', f'{image},format=raw,ro') as (_, c):
        check('disks', c.call('status')['disks'],
              [{'id': 'disk0', 'file': image, 'format': 'raw', 'size': 3 << 20, 'read_only': True}])
        check('text', '3M' in env.good('status', 'guest'), True)


@test
def written(env):
    image = os.path.join(env.tmp, 'disk.img')
    with open(image, 'wb') as f:
        f.truncate(3 << 20)
    with env.both('--disk', f'{image},format=raw'):
        env.bad(1, 'with sundog img -U', 'img', 'info', '-f', 'raw', image)
        env.good('img', 'info', '-U', '-f', 'raw', image)


@test
def events_in_order(env):
    with env.both() as (_, c):
        c.call('events')
        c.send(b'{"command":"pause"}\n{"command":"resume"}\n')
        seen = [c.next() for _ in range(4)]
        check('order', [m.get('event', 'reply') for m in seen],
              ['paused', 'reply', 'resumed', 'reply'])
        check('no id', seen[1], {'id': None, 'return': {}})
        now = time.time_ns()
        if not 0 <= now - seen[0]['time'] < PATIENCE * 10**9:
            raise AssertionError(f'time of an event: {seen[0]["time"]}, now {now}')
        check('unsubscribe', c.call('events', subscribe=False), {})
        c.send(b'{"command":"pause"}\n')
        check('no event', 'return' in c.next(), True)


@test
def malformed(env):
    """Everything that is no request is an error, and the next request is served."""
    lines = [b'nonsense', b'[]', b'"x"', b'{', b'{}', b'{"command":1}', b'{"command":"hello","x":1}',
             b'{"command":"hello","arguments":[]}', b'{"id":{},"command":"hello"}',
             b'{"id":1.5,"command":"hello"}', b'{"command":"hello","command":"quit"}',
             b'{"command":"he\0llo"}', b'{"command":"\xff\xfe"}', b'\xff' * 100, b'\0' * 100,
             b'[' * 60000, b'{"a":' * 10000, b'{"command":"hello"} {}',
             b'{"command":"\\u0000quit"}', b'{"id":1e999,"command":"hello"}',
             b'{"id":99999999999999999999,"command":"hello"}']
    with env.both() as (_, c):
        for line in lines:
            c.send(line + b'\n')
            check(line[:40], c.next()['error']['code'], 'bad-message')
        c.send(b'\n  \r\n')  # nothing is asked for
        check('after all that', c.call('status')['state'], 'running')
        for command, args, code in (
                ('statsu', {}, 'unknown-command'), ('x' * 60000, {}, 'unknown-command'),
                ('stop', {'timeout': -1}, 'bad-argument'), ('stop', {'timeout': '1'}, 'bad-argument'),
                ('stop', {'timeout': 1.5}, 'bad-argument'), ('stop', {'time': 1}, 'bad-argument'),
                ('stop', {'timeout': 2**62}, 'bad-argument'), ('hello', {'x': 1}, 'bad-argument'),
                ('device_add', {}, 'bad-argument'), ('device_add', {'spec': 7}, 'bad-argument'),
                ('device_add', {'spec': '=,=,'}, 'bad-argument'),
                ('device_del', {'id': 'x' * 1000}, 'not-found')):
            check(command[:40], c.call(command, **args), code)
        c.send(b'{"command":"statsu"}\n')
        check('nearest', '"status"' in c.next()['error']['message'], True)


@test
def oversized(env):
    with env.both() as (_, c):
        big = b'{"id":"' + b'x' * 65400 + b'","command":"hello"}'
        c.send(big[:65536] + b'\n')
        check('64 KiB', c.next()['return']['name'], 'guest')
        for size in (65537, 65536 * 2, 5 << 20):
            c.send(b'{"id":"' + b'x' * size + b'","command":"quit"}\n')
            check('too large', c.next()['error']['code'], 'too-large')
            check('the next', c.call('status')['state'], 'running')


@test
def half_lines(env):
    """Byte by byte it is a request; cut short it is none."""
    with env.both() as (_, c):
        for byte in b'{"id": 7, "command": "hello"}\r\n':
            c.send(bytes([byte]))
        check('id', c.next()['id'], 7)
        for n in range(1, 30):
            with Client(env.path('guest.sock')) as other:
                other.send(b'{"id": 7, "command": "quit"}\n'[:n % 28])
        # Who shuts down only one direction still gets the answer, and then the end.
        with Client(env.path('guest.sock')) as other:
            other.send(b'{"id":"last","command":"status"}\n{"command":"qui')
            other.sock.shutdown(socket.SHUT_WR)
            check('answer', other.next()['id'], 'last')
            check('end', other.next(), None)
        check('state', c.call('status')['state'], 'running')


@test
def many_requests(env):
    """Requests sent all at once are answered in their order, to several clients side by side."""
    n = 2000
    with env.both() as (_, a), Client(env.path('guest.sock')) as b:
        for first in (a, b):
            first.sock.setblocking(False)
        left = {c: b''.join(b'{"id":%d,"command":"hello"}\n' % i for i in range(n)) for c in (a, b)}
        seen = {a: 0, b: 0}
        end = time.monotonic() + PATIENCE
        while min(seen.values()) < n:
            check('time left', time.monotonic() < end, True)
            for c in (a, b):
                with contextlib.suppress(BlockingIOError):
                    left[c] = left[c][c.sock.send(left[c]):] if left[c] else b''
                with contextlib.suppress(BlockingIOError):
                    c.data += c.sock.recv(65536)
                while b'\n' in c.data:
                    check('id', c.next()['id'], seen[c])
                    seen[c] += 1


@test
def never_reads(env):
    """A client that reads nothing is dropped, and nobody waits for it."""
    with env.both() as (_, c), Client(env.path('guest.sock')) as deaf:
        deaf.call('events')
        mute = Client(env.path('guest.sock'))
        mute.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # it asks, and never reads: it is not listened to any more
                mute.sock.send(b'{"command":"schema"}\n')
        request = b'{"command":"pause"}\n{"command":"resume"}\n' * 100
        for _ in range(100):
            c.send(request)
            for _ in range(200):
                check('reply', c.next(), {'id': None, 'return': {}})
        check('state', c.call('status')['state'], 'running')
        n = 0
        while deaf.next() is not None:
            n += 1
        if not 0 < n < 20000:
            raise AssertionError(f'{n} events came to a client that should have been dropped')
        mute.sock.close()
        check('state', c.call('status')['state'], 'running')


@test
def too_many(env):
    with env.both() as (_, c), contextlib.ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(Client(env.path('guest.sock')))
        one = Client(env.path('guest.sock'))
        check('one more', one.greeting['error']['code'], 'busy')
        check('its end', one.next(), None)
        env.bad(1, 'guest: too many clients; close one', 'status', 'guest')
        check('state', c.call('status')['state'], 'running')
        stack.close()
        until('room again', lambda: 'sundog' in Client(env.path('guest.sock')).greeting)


@test
def storm(env):
    """Connections that come and go while requests are on their way."""
    with env.both() as (_, c):
        for i in range(300):
            with Client(env.path('guest.sock'), greeted=i % 2) as other, \
                    contextlib.suppress(BrokenPipeError):  # there may be too many just now
                other.send(b'{"command":"status"}\n{"command":"metrics"}\n' * (i % 5))
        check('state', c.call('status')['state'], 'running')


@test
def strangers(env):
    """Only this user: files say so, and the peer is asked, too."""
    with env.both('--console', 'socket') as (_, c):
        check('directory', os.stat(env.run_dir).st_mode & 0o777, 0o700)
        for name in ('guest.sock', 'guest.console', 'guest.lock'):
            check(name, os.stat(env.path(name)).st_mode & 0o777, 0o600)
        if os.geteuid() == 0:
            os.chmod(env.tmp, 0o711)
            os.chmod(env.run_dir, 0o711)
            os.chmod(env.path('guest.sock'), 0o666)
            out = subprocess.run([sys.executable, '-c', 'import os, socket, sys; os.setuid(65534)\n'
                                  's = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n'
                                  'try: print(len(s.recv(1)))\n'
                                  'except ConnectionResetError: print(0)',
                                  env.path('guest.sock')], text=True, stdout=subprocess.PIPE,
                                 timeout=PATIENCE).stdout
            check('what nobody gets', out.strip(), '0')
            check('state', c.call('status')['state'], 'running')
            os.chmod(env.run_dir, 0o777)
            env.bad(1, 'yours alone', 'ps')
            os.chmod(env.run_dir, 0o700)


# --- names ----------------------------------------------------------------------------------

def listed(env):
    return [m['name'] for m in json.loads(env.good('ps', '--json'))]


@test
def names(env):
    kernel = env.kernel(HALT)
    check('none', listed(env), [])
    with env.machine(sock='guest.sock'), env.machine(sock='guest-2.sock') as second, \
            env.machine('--name', 'a.B_c-1', sock='a.B_c-1.sock') as third:
        check('names', listed(env), ['a.B_c-1', 'guest', 'guest-2'])
        env.bad(1, f'taken by process {third.pid}', 'run', kernel, '--name', 'a.B_c-1')
        for name in ('', 'a/b', '.a', '-a', 'a b', 'a' * 65, 'ä'):
            env.bad(2, 'no name for a machine', 'run', kernel, f'--name={name}')
        env.bad(3, 'did you mean "guest-2"?', 'status', 'gest-2')
        env.bad(3, 'sundog ps', 'status', 'something-else')
        env.bad(3, 'sundog ps', 'status', 'x' * 300)
        # One that does not answer is listed, but nobody waits for it for ever.
        env.good('stop', 'guest-2')
        check('free at once', listed(env), ['a.B_c-1', 'guest'])
        wait(second, 0)
        check('files', [f for f in os.listdir(env.run_dir) if f.startswith('guest-2')], [])


@test
def stale(env):
    """What a killed process leaves is recognised, and replaced by the next of its name."""
    with env.machine('--console', 'socket', sock='guest.sock') as p:
        p.kill()
        p.wait()
        check('left over', os.path.exists(env.path('guest.sock')), True)
        check('ps', listed(env), [])
        env.bad(3, 'no machine', 'status', 'guest')
        env.bad(3, 'no machine', 'console', 'guest')
    with env.machine('--console', 'socket', '--name', 'guest', sock='guest.sock') as p:
        until('ps', lambda: listed(env) == ['guest'])
        until('an answer', lambda: env.cli('status', 'guest').returncode == 0)
        check('its pid', json.loads(env.good('status', 'guest', '--json'))['pid'], p.pid)
        env.good('stop', 'guest', '--timeout', '0')
        wait(p, 0)


@test
def elsewhere(env):
    path = os.path.join(env.tmp, 'own.sock')
    with env.machine('--control', path) as p:
        until('a socket', lambda: os.path.exists(path))
        check('mode', os.stat(path).st_mode & 0o777, 0o600)
        check('by path', json.loads(env.good('status', path, '--json'))['pid'], p.pid)
        env.good('stop', path)
        wait(p, 0)
        check('removed', os.path.exists(path), False)
    with env.machine('--control', 'none') as p:
        time.sleep(0.5)
        check('files', os.listdir(env.run_dir), [])
    env.bad(2, 'a shorter one', 'run', env.kernel(HALT), '--control', '/tmp/' + 'x' * 200)
    with open(path, 'w', encoding='ascii') as f:
        f.write('precious')
    env.bad(1, 'cannot listen', 'run', env.kernel(HALT), '--control', path)
    with open(path, encoding='ascii') as f:
        check('a file in the way', f.read(), 'precious')


@test
def no_run_dir(env):
    """Without a run directory a machine runs all the same, but none that needs it."""
    with open(env.run_dir, 'w', encoding='ascii'):
        pass
    kernel = env.kernel(b'\xb0\x10\xe6\xf4\xf4')
    p = env.cli('run', kernel, '--device', 'isa-debug-exit,iobase=0xf4')
    check('status', p.returncode, 33)
    check('note', p.stderr.count('no control socket'), 1)
    env.bad(1, 'SUNDOG_RUN_DIR', 'run', kernel, '--name', 'x')
    env.bad(1, 'SUNDOG_RUN_DIR', 'ps')
    os.unlink(env.run_dir)
    env.environ['SUNDOG_RUN_DIR'] = os.path.join(env.tmp, 'x' * 100)  # too long for a socket
    p = env.cli('run', kernel, '--device', 'isa-debug-exit,iobase=0xf4')
    check('status', p.returncode, 33)
    check('note', p.stderr.count('no control socket'), 1)
    env.bad(2, 'a shorter one', 'run', kernel, '--name', 'x')


# --- ending ---------------------------------------------------------------------------------

def stderr_line(p, text):
    line = p.stderr.readline().decode()
    if text not in line:
        raise AssertionError(f'{line!r} has no {text!r}')


def booted(p):
    """The guest has enabled the power button."""
    check('what it says', p.stdout.read(1), b'!')


@test
def stop_listens(env):
    with env.both(code=LISTENS) as (p, c):
        booted(p)
        c.call('events')
        check('paused first', c.call('pause'), {})
        out = env.cli('stop', '--json', 'guest')
        check('status', out.returncode, 0)
        check('what it says', json.loads(out.stdout), {'reason': 'guest-off', 'status': 0})
        c.event('resumed')
        c.event('powerdown-requested')
        check('reason', c.event('shutdown'), {'reason': 'guest-off', 'status': 0})
        wait(p, 0)


@test
def stop_ignores(env):
    with env.both(code=IGNORES) as (p, c):
        booted(p)
        c.call('events')
        out = env.cli('stop', 'guest', '--timeout', '1')
        check('status', out.returncode, 0)
        check('note', 'did not power off within 1 s' in out.stderr, True)
        check('reason', c.event('shutdown'), {'reason': 'control', 'status': 0})
        wait(p, 0)
    with env.machine(sock='guest.sock') as p:
        out = env.cli('stop', 'guest')
        check('note', 'does not listen' in out.stderr, True)
        wait(p, 0)


@test
def sigterm(env):
    with env.both(code=LISTENS) as (p, _):
        booted(p)
        p.terminate()
        stderr_line(p, 'power button')
        wait(p, 0)
    with env.both(code=IGNORES) as (p, c):
        booted(p)
        p.terminate()
        stderr_line(p, 'power button')
        check('state', c.call('status')['state'], 'running')
        c.call('events')
        p.terminate()
        check('reason', c.event('shutdown'), {'reason': 'signal', 'status': 1})
        wait(p, -signal.SIGTERM)
    with env.both(code=IGNORES) as (p, c):
        booted(p)
        c.call('pause')  # a paused guest hears nothing
        p.terminate()
        wait(p, -signal.SIGTERM)
    for sig, code in ((signal.SIGTERM, HALT), (signal.SIGINT, IGNORES), (signal.SIGHUP, IGNORES)):
        with env.both(code=code) as (p, _):
            if code is IGNORES:
                booted(p)
            p.send_signal(sig)
            wait(p, -sig)
            check('left over', os.listdir(env.run_dir), [])


@test
def no_reboot(env):
    with env.both('--no-reboot') as (p, c):
        c.call('events')
        c.call('reset')
        check('reason', c.event('shutdown'), {'reason': 'guest-reset', 'status': 0})
        wait(p, 0)


# --- devices --------------------------------------------------------------------------------

@test
def hotplug(env):
    with env.both() as (_, c):
        c.call('events')
        check('id', json.loads(env.good('hotplug', 'guest', 'isa-debug-exit,iobase=0x501', '--json')),
              {'id': 'isa-debug-exit0'})
        check('added', c.event('device-added'), {'device': 'isa-debug-exit0'})
        plugged = [d['id'] for d in c.call('status')['devices'] if d['plugged']]
        check('plugged', plugged, ['isa-debug-exit0'])
        env.good('unplug', 'guest', 'isa-debug-exit0')
        check('removed', c.event('device-removed'), {'device': 'isa-debug-exit0'})
        env.bad(4, 'it stays', 'unplug', 'guest', 'hpet0')
        env.bad(3, 'no device', 'unplug', 'guest', 'isa-debug-exit0')
        env.bad(2, 'did you mean', 'hotplug', 'guest', 'isa-debug-exti')
        # A path is the caller's, who may be elsewhere than the machine.
        with open(os.path.join(env.tmp, 'a,b.raw'), 'wb') as f:
            f.truncate(1 << 20)
        p = env.cli('hotplug', 'guest', 'disk=a,,b.raw,id=d', cwd=env.tmp)
        check(f'status, {p.stderr}', p.returncode, 0)
        check('file', [d['file'] for d in c.call('status')['disks']],
              [os.path.join(env.tmp, 'a,b.raw')])
        # Whatever is added, nothing breaks, and it goes again.
        types = re.findall(r'^([a-z]\S+)', env.good('run', '--device', 'help'), re.M)
        check('types', len(types) > 10, True)
        added = [r['id'] for t in types if isinstance(r := c.call('device_add', spec=t), dict)]
        check('reset', c.call('reset'), {})
        c.event('reset')
        for dev in added:
            check(dev, c.call('device_del', id=dev), {})
        check('state', c.call('status')['state'], 'running')


# --- consoles -------------------------------------------------------------------------------

def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(path)
    return s


def read(s, n):
    data = b''
    while len(data) < n and (got := s.recv(n - len(data))):
        data += got
    return data


@test
def console_socket(env):
    """Who comes late sees the last 64 KiB; who reads nothing stops nobody."""
    path = env.path('guest.console')
    with env.both('--console', 'socket', code=ECHO) as (p, c):
        check('path', c.call('console'), {'path': path})
        with connect(path) as first, connect(path) as deaf:
            first.sendall(b'hello')
            check('echo', read(first, 5), b'hello')
            text = b''.join(b'%07d\n' % i for i in range(8300))
            for at in range(0, len(text), 1000):
                piece = text[at:at + 1000]
                first.sendall(piece)
                check('echo', read(first, len(piece)), piece)
            deaf.sendall(b'?')
            check('from another', read(first, 1), b'?')
        with connect(path) as late:
            check('the last 64 KiB', read(late, 65536), (text + b'?')[-65536:])
            late.sendall(b'still here')
            check('echo', read(late, 10), b'still here')
            c.call('quit')
            check('end', late.recv(10), b'')
        wait(p, 0)
        check('removed', os.path.exists(path), False)


@test
def console_command(env):
    with env.both('--console', 'socket', code=ECHO) as (p, c):
        check('json', json.loads(env.good('console', 'guest', '--json')),
              {'path': env.path('guest.console')})
        s = subprocess.Popen([SUNDOG, 'console', 'guest'], env=env.environ, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        s.stdin.write(b'one\x01two')  # through a pipe no key is special
        s.stdin.flush()
        check('echo', s.stdout.read(7), b'one\x01two')
        with contextlib.ExitStack() as stack:
            for _ in range(7):
                stack.enter_context(connect(env.path('guest.console')))
            env.bad(1, 'too many are on the console of guest', 'console', 'guest')
        s.stdin.close()
        c.call('quit')
        check('output at the end', s.stdout.read(), b'')
        check('status', s.wait(PATIENCE), 0)
        wait(p, 0)
    with env.machine(sock='guest.sock'):
        env.bad(4, '--console socket', 'console', 'guest')


@test
def nonsense(env):
    """Who answers at a path of the user's choice need not be a machine."""
    path = os.path.join(env.tmp, 'odd.sock')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        p = subprocess.Popen([SUNDOG, 'console', path], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        c, _ = s.accept()
        with c:
            c.sendall(b'{"sundog":{"version":"1","protocol":1,"name":"odd"}}\n{"return":{}}\n')
            check('message', 'does not say where' in p.communicate(timeout=PATIENCE)[1], True)
        check('status', p.returncode, 1)


@test
def detach(env):
    name = env.good('run', '--detach', env.kernel(ECHO), '--name', 'back').strip()
    check('name', name, 'back')
    status = json.loads(env.good('status', 'back', '--json'))
    try:
        with connect(env.path('back.console')) as s:
            s.sendall(b'x')
            check('echo', read(s, 1), b'x')
        env.bad(1, 'taken', 'run', '--detach', env.kernel(HALT), '--name', 'back')
    finally:
        env.good('stop', 'back')
    try:
        os.kill(status['pid'], 0)
    except ProcessLookupError:
        pass
    env.bad(2, '--console stdio', 'run', '--detach', '--console', 'stdio', env.kernel(HALT))
    env.bad(3, 'No such file', 'run', '--detach', env.path('missing'))


# --- commands -------------------------------------------------------------------------------

@test
def commands(env):
    with env.both() as (p, c):
        check('text', 'guest' in env.good('ps') and str(p.pid) in env.good('ps'), True)
        check('silence', env.good('pause', 'guest'), '')
        check('json', json.loads(env.good('resume', '--json', 'guest')), {})
        text = env.good('metrics', 'guest', '--format', 'prometheus')
        for line in text.splitlines():
            if not re.fullmatch(r'# (HELP|TYPE) sundog_[a-z0-9_]+ .+|'
                                r'sundog_[a-z0-9_]+\{vm="guest"\} [0-9.]+', line):
                raise AssertionError(f'no line for Prometheus: {line!r}')
        env.bad(2, 'prometheus', 'metrics', 'guest', '--format', 'xml')
        env.bad(2, 'which machine?', 'pause')
        env.bad(2, 'one too many', 'pause', 'guest', 'x')
        env.bad(2, 'is missing', 'hotplug', 'guest')
        env.bad(2, 'did you mean --timeout?', 'stop', 'guest', '--timeuot', '1')
        env.bad(3, 'cannot reach', 'status', env.path('nothing.sock'))
        events = subprocess.Popen([SUNDOG, 'events', '--json', 'guest'], env=env.environ,
                                  stdout=subprocess.PIPE, text=True)
        until('a subscription', lambda: [c.call('pause'), c.call('resume'), time.sleep(0.02),
                                         c.call('status')] and select_readable(events.stdout))
        env.good('stop', 'guest')
        lines = [json.loads(l) for l in events.stdout]
        check('the last event', lines[-1]['event'], 'shutdown')
        check('status', events.wait(PATIENCE), 0)


def complete(env, *words):
    """What bash offers for the last of the words."""
    script = os.path.join(os.path.dirname(os.path.dirname(MANUAL)), 'tools', 'sundog.bash')
    return subprocess.run(
        ['bash', '-c', 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sundog; '
         'echo "${COMPREPLY[@]}"', 'bash', script, SUNDOG, *words], env=env.environ, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        timeout=PATIENCE).stdout.split()


@test
def completion(env):
    with env.both(), env.machine(sock='guest-2.sock'):
        for words, wanted in ((['sta'], ['status']), (['status', 'g'], ['guest', 'guest-2']),
                              (['stop', '--timeout', '3', ''], ['guest', 'guest-2']),
                              (['stop', '--ti'], ['--timeout']), (['pause', 'guest', ''], []),
                              (['metrics', '--format', 'p'], ['prometheus']),
                              (['hotplug', 'guest', 'isa-debug-e'], ['isa-debug-exit']),
                              (['run', '--de'], ['--detach', '--device'])):
            check(f'completions of {words}', sorted(complete(env, *words)), wanted)
        env.good('hotplug', 'guest', 'isa-debug-exit,id=x1')
        env.good('hotplug', 'guest', 'isa-debug-exit,iobase=0x580,id=$(echo${IFS}trap)')
        check('plugged', complete(env, 'unplug', 'guest', ''), ['x1'])


def select_readable(f):
    import select
    return select.select([f], [], [], 0)[0]


@test
def debugged(env):
    """Who debugs a machine decides when it runs."""
    path = os.path.join(env.tmp, 'gdb')
    with env.both(f'--gdb={path}') as (p, c):
        check('state', c.call('status')['state'] in ('starting', 'paused'), True)
        check('resume', c.call('resume'), 'busy')
        check('pause', c.call('pause'), 'busy')
        env.good('stop', 'guest')
        wait(p, 0)


# --- the manual -----------------------------------------------------------------------------

@test
def manual(env):
    """docs/control.md names what the schema does, and nothing else."""
    with env.both() as (_, c):
        defs = c.call('schema')['schema']['$defs']
    with open(MANUAL, encoding='utf-8') as f:
        text = f.read()
    wanted = set()
    for request in defs['request']['oneOf']:
        name = request['properties']['command']['const']
        wanted.add(('command', name))
        for a in request['properties']['arguments']['properties']:
            wanted.add((name, a))
        for r in defs['returns'][name]['properties']:
            wanted.add((name, r))
    for event in defs['event']['oneOf']:
        name = event['properties']['event']['const']
        wanted.add(('event', name))
        for d in event['properties']['data']['properties']:
            wanted.add((name, d))
    codes = defs['reply']['oneOf'][1]['properties']['error']['properties']['code']['enum']
    wanted |= {('code', code) for code in codes}
    found = set()
    for kind, rows in (('command', section(text, 'Commands')), ('event', section(text, 'Events')),
                       ('code', section(text, 'Errors'))):
        for name, members in rows:
            found.add((kind, name))
            found |= {(name, m) for m in members}
    check('not in the manual', sorted(wanted - found), [])
    check('only in the manual', sorted(found - wanted), [])


def section(text, title):
    """The rows of a section's table: its first word, and what else is in backquotes."""
    body = re.search(rf'^## {title}\n(.*?)(?=^## |\Z)', text, re.M | re.S).group(1)
    for line in re.findall(r'^\| `.*', body, re.M):
        words = re.findall(r'`([^`]+)`', line)
        yield words[0], words[1:]


def main():
    failures = 0
    for f in TESTS:
        if sys.argv[2:] and f.__name__ not in sys.argv[2:]:
            continue
        # A socket's path is short.
        with tempfile.TemporaryDirectory(prefix='sdc', dir='/tmp') as tmp:
            start = time.monotonic()
            try:
                f(Env(tmp))
                print(f'ok   {f.__name__} ({time.monotonic() - start:.1f} s)')
            except (AssertionError, OSError, ValueError, KeyError, TypeError,
                    subprocess.SubprocessError) as e:
                failures += 1
                print(f'FAIL {f.__name__}: {type(e).__name__}: {e}')
            sys.stdout.flush()
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
