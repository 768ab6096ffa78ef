#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""blkid and isoinfo read what seeds are made of."""
import os
import shutil
import subprocess
import sys
import tempfile

SEED_TEST = sys.argv[1]
SKIPPED = 77


def output(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(what, got, want):
    if got != want:
        sys.exit(f'{what}: {got!r} instead of {want!r}')


def main():
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    for tool in ('blkid', 'isoinfo'):
        if not shutil.which(tool):
            print(f'no {tool} here')
            return SKIPPED
    with tempfile.TemporaryDirectory() as tmp:
        image, data = os.path.join(tmp, 'seed.iso'), os.path.join(tmp, 'data')
        text = '#cloud-config\n' + ''.join(f'# line {i}\n' for i in range(20000))
        with open(data, 'w', encoding='ascii') as f:
            f.write(text)
        subprocess.run([SEED_TEST, '--write', image, 'user=ada', 'hostname=dog', f'data={data}'],
                       check=True)
        check('file system', output('blkid', '-p', '-o', 'value', '-s', 'TYPE', image), 'iso9660\n')
        check('label', output('blkid', '-p', '-o', 'value', '-s', 'LABEL', image), 'cidata\n')
        # Each of the three ways in which systems see the names.
        for names in ([], ['-R'], ['-J']):
            files = output('isoinfo', *names, '-f', '-i', image).lower().split()
            check(f'files by {names}', len(files), 4)
            if names:
                check(f'files by {names}', sorted(files), ['/meta-data', '/network-config',
                                                           '/user-data', '/vendor-data'])
                check('user-data', output('isoinfo', *names, '-x', '/user-data', '-i', image), text)
        vendor = output('isoinfo', '-R', '-x', '/vendor-data', '-i', image)
        check('vendor-data', "- name: 'ada'\n" in vendor, True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
