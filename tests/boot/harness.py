# SPDX-License-Identifier: MIT
"""What tests that boot kernels share: their list, and where things are."""
import json
import os
import subprocess
import time

from guest import Guest, GuestError

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOTH = ('interp', 'jit')
TESTS = {}  # name: (function, seconds it may take, builds and engines it runs on)


def boot_test(seconds, modes=('plain',), engines=BOTH):
    """Register a test, with the builds and the engines that make check runs it on."""
    def register(f):
        TESTS[f.__name__] = (f, seconds, modes, engines)
        return f
    return register


class Env:
    def __init__(self, opts, tmp, engine):
        self.engine = engine
        self.build = opts.build
        self.sundog = os.path.join(opts.build, 'sundog')
        self.guest = opts.guest
        self.patience = opts.patience
        self.seed = opts.seed
        self.tmp = tmp
        self.text = ''  # of the last machine that ran a script: all that was printed

    def kernel(self, name='cloud'):
        return os.path.join(self.guest, name, 'vmlinuz')

    def busybox(self, name='busybox'):
        return os.path.join(self.guest, name, 'busybox')

    def initrd(self, *pairs, script=None, busybox='busybox', modules=()):
        """An initrd with files ("host:guest") and perhaps a script to run and power off."""
        if script is not None:
            path = os.path.join(self.tmp, 'script')
            with open(path, 'w', encoding='utf-8') as f:
                f.write(script)
            pairs += (f'{path}:script',)
        out = os.path.join(self.tmp, 'initrd.img')
        load = ['-m', os.path.join(self.guest, 'cloud', 'modules') + ':' + ','.join(modules)]
        subprocess.run([os.path.join(TOP, 'tools', 'mkinitrd.sh'), *(load if modules else []), out,
                        self.busybox(busybox), *pairs], check=True)
        return out

    def run(self, *args, kernel='cloud', terminal=False):
        return Guest([self.sundog, 'run', self.kernel(kernel), '--engine', self.engine, *args],
                     self.patience, terminal)


class Control:
    """The commands of a machine that runs."""

    def __init__(self, env, name):
        self.sundog, self.name = env.sundog, name
        self.env = {**os.environ, 'SUNDOG_RUN_DIR': os.path.join(env.tmp, 'run')}
        os.makedirs(self.env['SUNDOG_RUN_DIR'], mode=0o700, exist_ok=True)
        os.environ['SUNDOG_RUN_DIR'] = self.env['SUNDOG_RUN_DIR']

    def __call__(self, command, *args):
        out = subprocess.run([self.sundog, command, '--json', self.name, *args], env=self.env,
                             check=True, stdout=subprocess.PIPE, timeout=60).stdout
        return json.loads(out) if out.strip() else None

    def gone(self, device):
        for _ in range(300):
            if all(d['id'] != device for d in self('status')['devices']):
                return
            time.sleep(0.1)
        raise GuestError(f'{device} does not go')


def check(what, got, want):
    if got != want:
        raise GuestError(f'{what}: {got!r} instead of {want!r}')


def run_script(env, script, *args, kernel='cloud', busybox='busybox', pairs=(), modules=(),
               append='quiet', seconds=240):
    """Boot with a script as the whole of userland; its output, after a good power-off."""
    initrd = env.initrd(*pairs, script='echo "@@ begin"\n' + script + '\necho "@@ end"\n',
                        busybox=busybox, modules=modules)
    with env.run('--initrd', initrd, '--append', append, *args, kernel=kernel) as g:
        g.expect('@@ begin\r*\n', seconds)
        start = g.seen
        end = g.expect('@@ end\r*$', seconds).start()
        check('exit status', g.wait(), 0)
        env.text = g.text
        return g.text[start:end].replace('\r', '')
