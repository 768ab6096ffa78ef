#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-includes.py - includes go one way; see docs/architecture.md.

Every #include "..." of src/ and include/ is looked up in the table of who may use whom.  Run
without arguments from anywhere; --self-test proves that it notices.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)

# Each room, and which others its files may include.  The longest name that fits counts, so
# that one engine is a room of its own and cannot include another.
ROOMS = {
    'sundog': {'sundog'},
    'core': {'core', 'sundog'},
    'chardev': {'chardev', 'sundog'},
    'isa/x86': {'isa/x86', 'sundog'},
    'engine': {'engine', 'engine/*', 'sundog'},  # engines.c, the list
    'engine/soft': {'engine/soft', 'isa/x86', 'sundog'},
    'engine/*': {'engine/*', 'engine/soft', 'isa/x86', 'sundog'},  # each its own, see check()
    'dev': {'dev', 'sundog'},
    'block': {'block', 'sundog'},
    'fs': {'fs', 'sundog'},
    'net': {'net', 'sundog'},
    'board': {'board', 'board/boot', 'dev', 'block', 'net', 'chardev', 'sundog'},
    'board/boot': {'board', 'board/boot', 'dev', 'fs', 'isa/x86', 'sundog'},
    'debug': {'debug', 'isa/x86', 'sundog'},
    'control': {'control', 'sundog'},
    'cli': {'cli', 'board', 'board/boot', 'block', 'net', 'chardev', 'control', 'debug',
            'sundog'},
    '': {'cli', 'sundog'},  # src/main.c
}
# A unit test may look at whatever its own file may, and at these.
FOR_TESTS = {'isa/x86': {'engine', 'engine/*', 'engine/soft'}, 'fs': {'dev'}}


def room_of(path):
    """The room of a path as it is written in an #include."""
    parts = path.split('/')[:-1]
    if parts[:1] == ['engine'] and len(parts) > 1 and parts[1] != 'soft':
        return 'engine/*'
    for n in range(len(parts), -1, -1):
        if '/'.join(parts[:n]) in ROOMS:
            return '/'.join(parts[:n])
    return None


def check(path, includes):
    """Complaints about one file; path and includes are relative to the include roots."""
    room = room_of(path)
    if room is None or (room == '' and path != 'main.c'):
        return [f'{path}: not in a room that tools/check-includes.py knows']
    allowed = set(ROOMS[room])
    if path.endswith('_test.c'):
        allowed |= FOR_TESTS.get(room, set())
    bad = []
    for inc in includes:
        if '/' not in inc:
            bad.append(f'{path}: "{inc}" has to be named from its include root')
            continue
        other = room_of(inc)
        if other not in allowed:
            bad.append(f'{path}: {room or "main"} must not include "{inc}"')
        elif room == other == 'engine/*' and path.split('/')[1] != inc.split('/')[1]:
            bad.append(f'{path}: an engine must not include another: "{inc}"')
    return bad


def check_tree():
    bad, nr = [], 0
    for base in (ROOT / 'src', ROOT / 'include'):
        for file in sorted(base.rglob('*.[ch]')):
            text = file.read_text(encoding='utf-8')
            nr += 1
            bad += check(file.relative_to(base).as_posix(), INCLUDE.findall(text))
    for line in bad:
        print(line)
    print(f'{nr} files, {len(bad)} wrong includes')
    return bool(bad) or nr == 0


def self_test():
    good = [('dev/timer/pit.c', 'dev/timer/pit.h'), ('dev/a.c', 'sundog/device.h'),
            ('engine/interp/a.c', 'engine/soft/tlb.h'), ('engine/jit/a.c', 'isa/x86/cpu.h'),
            ('engine/engines.c', 'engine/jit/jit.h'), ('board/boot/linux.c', 'isa/x86/state.h'),
            ('main.c', 'cli/cli.h'), ('sundog/machine.h', 'sundog/device.h')]
    wrong = [('dev/a.c', 'engine/interp/interp.h'), ('core/a.c', 'dev/devices.h'),
             ('engine/jit/a.c', 'engine/interp/interp.h'), ('isa/x86/a.c', 'engine/soft/tlb.h'),
             ('dev/a.c', 'board/pc.h'), ('sundog/a.h', 'core/vcpu.h'), ('dev/a.c', 'pit.h'),
             ('engine/soft/a.c', 'engine/interp/interp.h'), ('attic/a.c', 'sundog/err.h'),
             ('core/a.c', 'isa/x86/cpu.h'), ('board/pc.c', 'cli/cli.h')]
    bad = [c for c in good if check(c[0], [c[1]])] + [c for c in wrong if not check(c[0], [c[1]])]
    for case in bad:
        print('judged wrongly:', *case)
    return bool(bad)


if __name__ == '__main__':
    sys.exit(self_test() if sys.argv[1:] == ['--self-test'] else check_tree())
