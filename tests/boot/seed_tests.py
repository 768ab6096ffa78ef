# SPDX-License-Identifier: MIT
"""A machine described by a file, and what a cloud-init seed makes of its first boot."""
import os
import subprocess

from distro_tests import Debian, distro
from harness import boot_test, check

VM = '''\
memory: 1G
append: quiet
disk:
  - file: disk.raw
    format: raw
    cache: unsafe
user: ada
ssh-key: key.pub
hostname: dog
control: none
'''


class Described(Debian):
    """A machine that a file describes; the folder is another one than the file's."""

    def __init__(self, env, vm):
        super().__init__(env, None, '--file', vm)


@boot_test(600, engines=('jit',))
def first_boot(env):
    """cloud-init makes the user that the options name, at the first boot and not again."""
    disk, key, vm = (os.path.join(env.tmp, n) for n in ('disk.raw', 'key', 'vm.yaml'))
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', distro(env), disk], check=True)
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key], check=True)
    with open(vm, 'w', encoding='ascii') as f:
        f.write(VM)
    with open(key + '.pub', encoding='ascii') as f:
        public = f.read()
    with Described(env, vm) as g:
        check('state', g.state(), 'running')
        check('the seed', g.sh('lsblk -nro LABEL,RO,SIZE /dev/vdb').split()[:2], ['cidata', '1'])
        check('cloud-init', 'Valid cloud-config' in g.sh('cloud-init schema --system'), True)
        check('host name', g.sh('hostname').strip(), 'dog')
        check('sudo', g.sh('su ada -c "sudo -n id -u"').strip(), '0')
        check('keys', g.sh('cat ~ada/.ssh/authorized_keys'), public)
        check('password', g.sh('getent shadow ada').split(':')[1], '!')
        g.sh('rm -r ~ada/.ssh')
        g.power_off()
    with Described(env, vm) as g:
        check('state', g.state(), 'running')
        g.sh('test ! -e ~ada/.ssh')
        g.power_off()
