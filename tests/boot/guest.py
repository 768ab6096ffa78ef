# SPDX-License-Identifier: MIT
"""Drive a sundog from outside: start it on pipes or a terminal, wait for text, type, wait."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
import tty

PROMPT = r'[#$] $'


class GuestError(Exception):
    """What was expected did not come."""


class Guest:
    """A running sundog.  Waits are bounded generously: they find hangs, not slowness.

    It stays in the process group of the test, so that who ends that ends it too.
    """

    def __init__(self, argv, patience=1, terminal=False):
        self.patience = patience
        self.text = ''  # all output so far
        self.seen = 0   # how much of it expect() has gone past
        self.master = None
        if terminal:
            self.master, slave = pty.openpty()
            # As wide as a screen gets, so that no shell wraps what is typed.
            tty.setraw(slave, termios.TCSANOW)
            attrs = termios.tcgetattr(slave)
            attrs[3] |= termios.ICANON | termios.ECHO | termios.ISIG
            termios.tcsetattr(slave, termios.TCSANOW, attrs)
            self.slave = slave
            self.proc = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
            self.out = self.into = self.master
        else:
            self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT)
            self.out, self.into = self.proc.stdout.fileno(), self.proc.stdin.fileno()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()
        if kind is not None:
            print(self.text[-8000:])
        if self.master is not None:
            os.close(self.master)
            os.close(self.slave)

    def _read(self, seconds):
        """Take output for at most so long; False at its end."""
        if not select.select([self.out], [], [], seconds)[0]:
            return self.proc.poll() is None
        try:
            data = os.read(self.out, 65536)
        except OSError:
            data = b''
        self.text += data.decode(errors='replace')
        return bool(data)

    def expect(self, pattern, seconds=120):
        """Wait for pattern in what comes after the last one; returns the match."""
        end = time.monotonic() + seconds * self.patience
        regex = re.compile(pattern, re.M)
        while True:
            m = regex.search(self.text, self.seen)
            if m:
                self.seen = m.end()
                return m
            left = end - time.monotonic()
            if left <= 0:
                raise GuestError(f'no {pattern!r} within {seconds * self.patience} s')
            if not self._read(min(left, 1.0)):
                while self._read(0.1) and self.proc.poll() is None:
                    pass
                if regex.search(self.text, self.seen):
                    continue
                raise GuestError(f'sundog ended with {self.proc.wait()} before {pattern!r}')

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            _, ready, _ = select.select([], [self.into], [], 60 * self.patience)
            if not ready:
                raise GuestError('sundog takes no input')
            data = data[os.write(self.into, data[:512]):]
            self._read(0)

    def wait(self, seconds=120):
        """The exit status; output is taken meanwhile."""
        end = time.monotonic() + seconds * self.patience
        while self.proc.poll() is None:
            if time.monotonic() > end:
                raise GuestError(f'no end within {seconds * self.patience} s')
            self._read(0.1)
        while self._read(0.05) and select.select([self.out], [], [], 0)[0]:
            pass
        return self.proc.returncode

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def flags(self):
        return fcntl.fcntl(self.into, fcntl.F_GETFL)
