# SPDX-License-Identifier: MIT
"""The tests that run inside gdb: gdb -x in_gdb.py, with the address and the test's name in
the environment.  The payload is payload.c."""
import os
import signal
import threading
import time
import traceback

import gdb

ADDRESS = os.environ['SUNDOG_GDB']
KINDS = {gdb.BP_BREAKPOINT: 'break', gdb.BP_HARDWARE_BREAKPOINT: 'hbreak',
         gdb.BP_HARDWARE_WATCHPOINT: 'watch', gdb.BP_READ_WATCHPOINT: 'rwatch',
         gdb.BP_ACCESS_WATCHPOINT: 'awatch'}


class Wrong(Exception):
    """Something is not as it should be."""


def run(command):
    return gdb.execute(command, to_string=True)


def value(expression):
    return int(gdb.parse_and_eval(expression))


def check(what, got, want):
    if got != want:
        raise Wrong(f'{what}: {got!r} instead of {want!r}')


def has(text, *wanted):
    for w in wanted:
        if w not in text:
            raise Wrong(f'no {w!r} in {text!r}')


def attach():
    run(f'target remote {ADDRESS}')


def function():
    return gdb.selected_frame().name()


def thread():
    return gdb.selected_thread().num


def go(command='continue'):
    """Let it run; what stopped it, as a word: a signal, or the kind of a point."""
    stops = []

    def note(event):  # a temporary breakpoint is gone later
        if isinstance(event, gdb.SignalEvent):
            stops.append(event.stop_signal)
        elif isinstance(event, gdb.BreakpointEvent):
            stops.append(KINDS[event.breakpoint.type])
        else:
            stops.append('')

    gdb.events.stop.connect(note)
    try:
        run(command)
    finally:
        gdb.events.stop.disconnect(note)
    if not stops:
        raise Wrong(f'{command}: no stop')
    return stops[-1]


def break_once(where, kind='tbreak'):
    run(f'{kind} {where}')
    go()


def breakpoints():
    """Both kinds stop before the instruction, again and again, and can be taken back."""
    attach()
    check('the first instruction', function(), 'pvh_start')
    for kind in 'break', 'hbreak':
        run(f'{kind} square')
        before = None
        for _ in range(3):
            check('stop', go(), kind)
            check('function', function(), 'square')
            n = value('n')
            if before is not None:
                check('argument', n, (before + 1) & 0xff)
            before = n
        # In the middle of a block, and in a function that is called from there.
        run(f'{kind} answer')
        go()
        check('function', function(), 'answer')
        run('delete')
    # One that is conditional, and so passes many times.
    run('break square if n == 200')
    go()
    check('argument', value('n'), 200)
    run('delete')


def stepping():
    attach()
    break_once('square')
    n = value('n')
    go('next')
    go('next')
    run('finish')
    check('function', function(), 'main')
    check('returned', value('$rax') & 0xffffffff, n * n)
    pc = value('$pc')
    for _ in range(30):
        size = gdb.selected_inferior().read_memory(pc, 1)
        check('bytes', len(size), 1)
        length = gdb.selected_frame().architecture().disassemble(pc)[0]['length']
        name = gdb.selected_frame().architecture().disassemble(pc)[0]['asm'].split()[0]
        go('stepi')
        new = value('$pc')
        if not name.startswith(('j', 'call', 'ret', 'rep')):
            check(f'pc after {name}', new, pc + length)
        pc = new
    break_once('look')
    for _ in range(5):
        go('step')
    break_once('fill')
    run('delete')
    # One stepi does a whole "rep stos".
    while 'rep stos' not in run('x/i $pc'):
        go('stepi')
    pc = value('$pc')
    run('set var bytes[7] = 0')
    go('stepi')
    check('filled', value('bytes[7]'), 0x11111111)
    check('pc after rep stos', value('$pc'), pc + 2)


def watchpoints():
    attach()
    break_once('main')
    run('watch watched')
    for n in 1, 2, 3:
        check('stop', go(), 'watch')
        check('watched', value('watched'), n * n)
    run('delete')
    run('rwatch read_only')
    check('stop', go(), 'rwatch')
    check('function', function(), 'look')
    run('delete')
    run('awatch bytes[5]')
    check('stop', go(), 'awatch')
    check('filled', value('bytes[5]'), 0x11111111)
    run('delete')
    # Part of what an instruction writes; a read of it does not count.
    run('watch *(char *)((char *)&counter + 1)')
    check('stop', go(), 'watch')
    run('delete')
    run('watch read_only')
    run('break square')
    go()
    check('function', function(), 'square')
    run('delete')
    run('watch second_watched')
    check('stop', go(), 'watch')
    check('second_watched', value('second_watched') % 1000, 0)
    check('thread', thread(), 2)


def threads():
    attach()
    text = run('info threads')
    has(text, 'CPU 0', 'CPU 1')
    break_once('second_step')
    check('thread', thread(), 2)
    has(run('info threads'), 'second_step')
    run('thread 1')
    # The others stay where they are.
    run('set scheduler-locking on')
    run('thread 1')
    count = value('second_counter')
    for _ in range(20):
        go('stepi')
    check('counter of the other', value('second_counter'), count)
    run('thread 2')
    run('set scheduler-locking off')
    break_once('second_step')
    # Both at once, each with a point of its own.
    run('break square thread 1')
    run('break second_step thread 2')
    # The second's way to its point is short: it may win many times in a row.
    seen = set()
    for _ in range(400):
        if seen == {1, 2}:
            break
        go()
        seen.add(thread())
        check('function', function(), {1: 'square', 2: 'second_step'}[thread()])
    check('threads that stopped', seen, {1, 2})


def memory():
    """Patched code runs as patched; devices and holes are out of reach."""
    attach()
    break_once('look')
    go('finish')
    go('next')
    go('next')
    check('unpatched', value('last_answer'), 1)
    inferior = gdb.selected_inferior()
    for n in 0x7d242a23, 0x03, 0x23232323:  # bytes that have to be escaped
        inferior.write_memory(value('(long)&answer') + 1, n.to_bytes(4, 'little'))
        break_once('look')
        break_once('look')
        check('patched', value('last_answer'), n)
    check('code', value('*(int *)((char *)&answer + 1)'), n)
    blob = bytes(range(256)) * 64
    inferior.write_memory(0x400000, blob)
    check('read back', bytes(inferior.read_memory(0x400000, len(blob))), blob)
    for bad in 0xfee00020, 0xffffffff00000000, 0x800000000000:
        try:
            inferior.read_memory(bad, 4)
        except gdb.MemoryError:
            continue
        raise Wrong(f'could read {bad:#x}')
    # The same page by its physical address, and by another virtual one.
    pd = value('(long)&pd')
    inferior.write_memory(pd + 8 * 3, (0x400083).to_bytes(8, 'little'))
    check('moved page', bytes(inferior.read_memory(0x600001, 4)), b'\x01\x02\x03\x04')
    run('maintenance packet Qqemu.PhyMemMode:1')
    inferior.write_memory(0x600000, b'physical')
    run('maintenance packet Qqemu.PhyMemMode:0')
    check('virtual', bytes(inferior.read_memory(0x600001, 4)), b'\x01\x02\x03\x04')


def registers():
    attach()
    break_once('main')
    for name, val in [('rax', 0x123456789abcdef0), ('r15', 1), ('st0', 1), ('mxcsr', 0x1f80),
                      ('fs_base', 0x1000), ('k_gs_base', 0x2000), ('cr2', 0x3000), ('cr8', 5)]:
        run(f'set var ${name} = {val}')
        run('maintenance flush register-cache')
        check(name, value(f'${name}'), val)
    run('set var $xmm3.uint128 = 0x1122334455667788')
    run('maintenance flush register-cache')
    check('xmm3', value('$xmm3.v2_int64[0]'), 0x1122334455667788)
    check('ftag', value('$ftag') & 3 != 3 or value('$ftag') == 0xffff, True)
    check('paging', value('$cr0') >> 31, 1)
    check('efer', value('$efer'), 0x500)
    for name, val in ('cr0', 0x80000000), ('cr4', 0), ('fs_base', 1 << 60):
        try:
            run(f'set var ${name} = {val}')
        except gdb.error:
            pass
        run('maintenance flush register-cache')
        if value(f'${name}') == val:
            raise Wrong(f'{name} took {val:#x}')
    run('set var $pc = look')
    check('pc', function(), 'look')
    run('set var $pc = main')
    has(run('info registers'), 'k_gs_base', 'eflags')


def attaching():
    """Detach, and it runs on; attach again; Ctrl-C."""
    attach()
    run('break square')
    go()
    go()
    run('detach')
    time.sleep(0.3)
    attach()
    run('delete')
    count = value('counter')
    if count < 1000:
        raise Wrong(f'it did not run on: {count}')
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    check('stop', go(), 'SIGINT')
    timer.join()
    if value('counter') <= count:
        raise Wrong('it did not run until Ctrl-C')
    count = value('counter')
    run('disconnect')
    time.sleep(0.3)
    attach()
    if value('counter') <= count:
        raise Wrong('it did not run on when the connection was gone')


def crashing():
    """A triple fault stops like a SIGSEGV; a reset makes it good."""
    attach()
    break_once('look')
    run('set var do_crash = 1')
    check('stop', go(), 'SIGSEGV')
    check('function', function(), 'crash')
    run('break square')
    run('monitor reset')
    run('maintenance flush register-cache')
    check('function', function(), 'pvh_start')
    check('its data', value('do_crash'), 0)
    go()
    check('function', function(), 'square')
    # The guest's own reset leaves the points alone.
    count = value('counter')
    go()
    run('set var do_reset = 1')
    for _ in range(10):
        go()
        check('function', function(), 'square')
        if value('n') == 0 and value('counter') == 0:
            break
    else:
        raise Wrong(f'no reset; counter {value("counter")}, before {count}')


def monitor():
    attach()
    has(run('monitor help'), 'info registers', 'reset', 'PhyMemMode')
    break_once('look')
    has(run('monitor info registers'), 'RIP', 'CR0')
    has(run('monitor info registers -a'), 'CPU 0:', 'CPU 1:')
    has(run('monitor x/3i'), 'mov', 'ret')
    check('lines', run('monitor x/3i 0x200000').count('\n'), 3)
    has(run('monitor x/3i 0xfee00000'), 'no memory')
    has(run('monitor nonsense'), 'no command')


def killing():
    attach()
    break_once('square')
    run('kill')


def halted(name=''):
    """Stepping over HLT, and a CPU that will never wake up."""
    attach()
    break_once('look')
    run('set var do_halt = 1')
    run('set scheduler-locking on')
    run('finish')
    while 'hlt' not in run('x/i $pc'):
        go('stepi')
    pc = value('$pc')
    go('stepi')
    check('pc', value('$pc'), pc + 1)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    check('stop', go(), 'SIGINT')
    timer.join()
    check('pc', value('$pc'), pc + 1)
    has(run('info threads'), 'CPU 0 halted')


def main():
    for setting in 'pagination off', 'confirm off', 'width 0', 'python print-stack full':
        run(f'set {setting}')
    try:
        globals()[os.environ['SUNDOG_TEST']]()
    except (Wrong, gdb.error):
        traceback.print_exc()
        run('quit 1')


main()
