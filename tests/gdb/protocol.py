#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The gdb protocol by hand, with all that a client may do wrong: protocol.py SUNDOG PAYLOAD ENGINE"""
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SUNDOG, PAYLOAD, ENGINE = sys.argv[1:4]
TIMEOUT = 60


class Wrong(Exception):
    """Something is not as it should be."""


def check(what, got, want):
    if got != want:
        raise Wrong(f'{what}: {got!r} instead of {want!r}')


def frame(data):
    return b'$' + data + b'#%02x' % (sum(data) & 0xff)


class Client:
    def __init__(self, machine):
        family = socket.AF_UNIX if isinstance(machine.address, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(machine.address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b''

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self, n=1):
        while len(self.data) < n:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.data += more
        data, self.data = self.data[:n], self.data[n:]
        return data

    def packet(self, ack=b'+'):
        """The next packet, acknowledgements left out."""
        while self.read() != b'$':
            pass
        data = b''
        while (c := self.read()) != b'#':
            data += c
        check('checksum', int(self.read(2), 16), sum(data) & 0xff)
        if ack:
            self.send(ack)
        return data.decode()

    def ask(self, data):
        self.send(frame(data.encode() if isinstance(data, str) else data))
        return self.packet()

    def expect(self, data, want):
        check(repr(data), self.ask(data), want)


class Machine:
    def __init__(self, address='localhost:0'):
        self.log = tempfile.NamedTemporaryFile('w+', encoding='utf-8')
        self.proc = subprocess.Popen([SUNDOG, 'run', PAYLOAD, '--engine', ENGINE, f'--gdb={address}',
                                      '--cpus', '2', '--memory', '64M', '--console', 'none'],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + TIMEOUT
        while not (m := re.search(r"target remote (\S+)'\n", self.text())):
            if self.proc.poll() is not None or time.monotonic() > end:
                raise Wrong(f'it does not listen: {self.text()}')
            time.sleep(0.01)
        where = m.group(1)
        self.address = where if '/' in where else ('127.0.0.1', int(where.split(':')[1]))

    def text(self):
        with open(self.log.name, encoding='utf-8') as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        alive = self.proc.poll() is None
        self.proc.kill()
        self.proc.wait()
        text = self.text()
        self.log.close()
        if 'Sanitizer' in text:
            raise Wrong(text[-4000:])
        if not alive and self.proc.returncode:
            raise Wrong(f'sundog ended with {self.proc.returncode}: {text[-1000:]}')


def framing(m):
    with Client(m) as c:
        c.send(b'+++junk' + frame(b'qC'))
        check('qC', c.packet(), 'QC1')
        c.send(b'$qC#00')
        while (byte := c.read()) == b'+':
            pass
        check('a wrong checksum', byte, b'-')
        c.send(b'$qC#zz')
        check('no checksum at all', c.read(), b'-')
        c.send(b'$qAttach$qC#b4')  # cut short, then whole
        check('qC', c.packet(), 'QC1')
        c.send(b'-')
        check('once more', c.packet(), 'QC1')
        c.expect(b'', '')
        c.expect(b'm0,' + b'0' * 40000, 'E22')
        c.send(b'$' + b'a' * 1000000 + b'#00')
        check('qC', c.ask('qC') if c.read() == b'-' else '', 'QC1')
        c.expect(b'X300000,4:}\x03}\x04}\x5d}\x0a', 'OK')
        c.expect('m300000,4', '23247d2a')
        c.expect(b'X300000,4:abc}', 'E22')  # an escape with nothing behind it
        c.expect('QStartNoAckMode', 'OK')
        c.send(frame(b'qC'))
        check('without acknowledgement', c.read(7), b'$QC1#c5')


def nonsense(m):
    """What each packet says to arguments that make none."""
    with Client(m) as c:
        for packet in ('m', 'm0', 'm0,', 'mx,1', 'm0,1,1', 'm11111111111111111,1', 'M0,4:00',
                       'M0,1:0', 'M0,1:zz', 'X0,5:a', 'p', 'pffffffff', 'P', 'P0', 'P0=', 'P0=1',
                       'Pffff=00', 'G', 'G00', 'Gzz', 'H', 'Hg', 'Hg3', 'Hx1', 'Hgffffffffffffffff',
                       'Z0', 'Z9,0,1', 'Z2,0,0', 'Z0,0', 'z0', 'Z2,0,ffffffffffffffff', 'vCont;',
                       'vCont;x', 'vCont;c:9', 'vCont;t', 'vCont;s:', 'qRcmd,1', 'qRcmd,zz',
                       'qThreadExtraInfo,9', 'Qqemu.PhyMemMode:2', 'Qqemu.sstep=99'):
            c.expect(packet, 'E22')
        for packet in 'mffffffffffff0000,10', 'mfee00000,4', 'M7ffffffffff0,1:00', 'Mfee00020,1:00':
            c.expect(packet, 'E14')
        for packet in 'vMustReplyEmpty', 'qNothing', 'QNothing', 'b', 'c1234', 'vFile:open:00,0,0':
            c.expect(packet, '')
        c.expect('T9', 'E01')
        c.expect('qXfer:features:read:other.xml:0,10', 'E00')
        c.expect('qXfer:features:read:target.xml:fffffff,10', 'E00')
        check('read to the edge', c.ask('m3fffff8,100'), '00' * 8)
        for i in range(64):
            c.expect(f'Z1,{i + 0x300000:x},1', 'OK')
        c.expect('Z1,300040,1', 'E28')
        c.expect('Z1,300000,1', 'OK')  # it is there
        for i in range(64):
            c.expect(f'z1,{i + 0x300000:x},1', 'OK')
        c.expect('z1,300000,1', 'OK')


def description(m):
    with Client(m) as c:
        whole, text = '', ''
        while not text.startswith('l'):
            text = c.ask(f'qXfer:features:read:target.xml:{len(whole):x},100')
            whole += re.sub('}(.)', lambda e: chr(ord(e[1]) ^ 0x20), text[1:])
        sizes = [int(s) for s in re.findall('<reg [^>]*bitsize="(\\d+)"', whole)]
        check('g', len(c.ask('g')), sum(sizes) // 4)
        for n, size in enumerate(sizes):
            check(f'register {n}', len(c.ask(f'p{n:x}')), size // 4)
        regs = c.ask('g')
        c.expect(f'G{regs}', 'OK')
        check('registers', c.ask('g'), regs)


def clients(m):
    """One at a time; those that vanish leave no trace."""
    with Client(m) as c:
        c.expect('qC', 'QC1')
        with Client(m) as second:
            check('a second one', second.packet(b''), 'E.another debugger is attached')
            try:
                second.read()
                raise Wrong('the second client is not closed')
            except (EOFError, ConnectionError):
                pass
        c.expect('qC', 'QC1')
    for data in b'', b'$', b'$m0,10', frame(b'qC')[:-1], frame(b'm200000,1000') * 1000:
        with Client(m) as c:
            c.send(data)
    with Client(m) as c:
        check('nobody let it run', c.ask('p10'), '0000200000000000')
        c.expect('Z0,200000,1', 'OK')
        c.send(frame(b'vCont;c'))
        check('stop', c.packet()[:3], 'T05')
        c.expect('z0,200000,1', 'OK')
        c.send(frame(b'vCont;c'))
        time.sleep(0.2)
        c.send(b'\x03')
        check('Ctrl-C', c.packet(), 'T02thread:1;')
        c.expect('Z1,200000,1', 'OK')
        c.send(frame(b'vCont;s:2'))
        check('step', c.packet(), 'T05thread:2;')
        c.send(frame(b'vCont;s:1;c'))
        # ... and gone, in the middle of a step.
    with Client(m) as c:
        c.send(frame(b'c'))
        c.read()
        c.send(b'\x03' * 1000)
        check('Ctrl-C', c.packet()[:3], 'T02')
        c.expect('D', 'OK')


def flood(m):
    """A client that asks and never reads does not grow us, nor stops the loop."""
    with Client(m) as c:
        c.sock.settimeout(1)
        try:
            for _ in range(2000):
                c.send(frame(b'm200000,1ff0') * 10)
        except TimeoutError:
            pass
        with open(f'/proc/{m.proc.pid}/statm', encoding='ascii') as f:
            pages = int(f.read().split()[1])
        if pages > 1 << 18:
            raise Wrong(f'{pages} pages')
    # It may still be busy with what the flood left in the socket, and refuse a second client.
    for left in reversed(range(100)):
        try:
            with Client(m) as c:
                c.expect('qC', 'QC1')
            return
        except (ConnectionError, EOFError):
            if not left:
                raise
        time.sleep(0.1)


def random_bytes(m):
    rnd = random.Random(1)
    alphabet = b'0123456789abcdef,;:=-.' + bytes(range(256))
    # All but those that end the machine, or change the guest so that it ends itself.
    letters = b'?!cCsSDgHmpqQTvzZ'
    for _ in range(15):
        with Client(m) as c:
            c.sock.settimeout(5)
            try:
                for _ in range(40):
                    body = bytes(rnd.choice(alphabet) for _ in range(rnd.randrange(60)))
                    body = bytes(b for b in body if b not in b'#$}*\x03')
                    word = bytes([rnd.choice(letters)])
                    if word == b'q':
                        word = rnd.choice([b'qXfer:features:read:', b'qSupported:',
                                           b'qThreadExtraInfo,'])
                    c.send(frame(word + body))
                    if rnd.random() < 0.1:
                        c.send(rnd.randbytes(20).replace(b'k', b''))
                c.send(b'#00' + frame(b'qC'))
                while c.packet() != 'QC1':  # until it has seen all of it
                    pass
            except (ConnectionError, ValueError):
                pass
    with Client(m) as c:
        c.expect('qC', 'QC1')


def ending(m):
    """Power-off and kill are told."""
    with Client(m) as c:
        c.send(frame(b'vCont;c'))
        c.read()
        time.sleep(0.2)
        m.proc.terminate()
        check('exit', c.packet()[:1], 'W')
    m.proc.wait(TIMEOUT)
    check('signal', m.proc.returncode, -15)
    m.proc.returncode = 0


def restart(m):
    with Client(m) as c:
        c.send(frame(b'vCont;c'))
        time.sleep(0.2)
        c.send(b'\x03')
        check('Ctrl-C', c.packet()[:3], 'T02')
        check('reset', c.ask(b'qRcmd,' + b'reset'.hex().encode()), 'OK')
        check('pc', c.ask('p10'), '0000200000000000')
        c.send(frame(b'k'))
    check('exit status', m.proc.wait(TIMEOUT), 0)


TESTS = [framing, nonsense, description, clients, flood, random_bytes, ending, restart]


def main():
    failed = 0
    for test in TESTS:
        with tempfile.TemporaryDirectory() as tmp:
            try:
                with Machine(os.path.join(tmp, 's') if test is clients else 'localhost:0') as m:
                    begin = time.monotonic()
                    test(m)
                print(f'{test.__name__}: ok, {time.monotonic() - begin:.1f} s', flush=True)
            except (Wrong, OSError, EOFError):
                failed += 1
                print(f'{test.__name__}: {traceback.format_exc()}', flush=True)
    return failed


if __name__ == '__main__':
    sys.exit(main())
