# SPDX-License-Identifier: MIT
"""Test programs of Debian's source packages, as build.sh has built them: which are run and how.

Most print what every instruction did, and the output of host and guest must be the same.  The
kernel's tests check themselves; their output depends on the kernel, and the guest has another.
"""
from case import Case

# Addresses that the kernel chooses at random.
ADDRESSES = 's/0x[0-9a-f]{6,}/ADDRESS/g'
# All but failures is left out.
FAILURES = '/FAIL|^status/!d'

VALGRIND = '''insn_basic insn_fpu insn_mmx insn_sse insn_sse2 insn_sse3 insn_ssse3 insn_pclmulqdq
insn_cmov_32 insn_fpu_32 insn_mmx_32 insn_mmxext_32 insn_sse_32 insn_sse2_32 insn_sse3_32
insn_ssse3_32 aes asorep bt_flags bug127521-64 bug132813-amd64 bug132918 bug137714-amd64
bug156404-amd64 clc cmpxchg crc32 faultstatus fcmovnu fxtract getseg jrcxz looper loopnel
nan80and64 nibz_bennee_mmap pcmpstr64 pcmpstr64w pcmpxstrx64 pcmpxstrx64w rcl-amd64 redundantRexW
sbbmisc shrld slahf-amd64 smc1 sse4-64 ssse3_misaligned x87trigOOR xadd aad_aam_32 bswapw_32
bt_everything_32 bt_literal_32 bug125959-x86_32 bug126147-x86_32 bug132813-x86_32
bug135421-x86_32 bug137714-x86_32 bug152818-x86_32 cmpxchg8b_32 cse_fail_32 faultstatus_32
fcmovnu_32 fpu_lazy_eflags_32 fxtract_32 getseg_32 incdec_alt_32 int_32 jcxz_32 lahf_32
looper_32 movx_32 pushpopseg_32 sbbmisc_32 shift_ndep_32 smc1_32 ssse3_misaligned_32
x87trigOOR_32 xadd_32'''

QEMU = '''test-x86_64 test-i386_32 test-mmx test-i386-ssse3 test-i386-f2xm1_32 test-i386-fbstp_32
test-i386-fisttp_32 test-i386-fldcst_32 test-i386-fp-exceptions_32 test-i386-fpatan_32
test-i386-fscale_32 test-i386-fxam_32 test-i386-fxtract_32 test-i386-fyl2x_32
test-i386-fyl2xp1_32 test-i386-pcmpistri_32 test-i386-pseudo-denormal_32
test-i386-snan-convert_32 test-i386-sse-exceptions_32 cmpxchg float_convd float_convd_32
float_convs float_convs_32 float_madds float_madds_32 sha1 sha1_32 sha512-sse sigbus sigbus_32
threadcount threadcount_32'''

LINUX = '''check_initial_reg_state check_initial_reg_state_32 corrupt_xstate_header fsgsbase ioperm
ioperm_32 iopl iopl_32 ldt_gdt ldt_gdt_32 sigaltstack sigaltstack_32 sigreturn sigreturn_32
sigtrap_loop sigtrap_loop_32 single_step_syscall single_step_syscall_32 syscall_arg_fault
syscall_arg_fault_32 syscall_nt syscall_nt_32 sysret_rip sysret_ss_attrs sysret_ss_attrs_32
test_FCMOV_32 test_FCOMI_32 test_FISTTP_32 test_mremap_vdso test_mremap_vdso_32
test_syscall_vdso_32 test_vsyscall test_vsyscall_32 vdso_restorer_32 ptrace_syscall
ptrace_syscall_32 fsgsbase_restore fsgsbase_restore_32'''

# What needs more than x86-64-v2, and what.
BETTER = {
    'valgrind/avx-1': 'avx f16c vpclmulqdq', 'valgrind/avx2-1': 'avx2', 'valgrind/fma': 'fma',
    'valgrind/bmi': 'bmi1 bmi2 abm', 'valgrind/f16c': 'f16c', 'valgrind/lzcnt64': 'abm',
    'valgrind/lzcnt32_32': 'abm', 'valgrind/movbe': 'movbe', 'valgrind/movbe_32': 'movbe',
    'qemu/test-avx': 'avx2 bmi2 f16c fma vpclmulqdq',
    'qemu/test-i386-bmi2': 'bmi1 bmi2', 'qemu/test-i386-bmi2_32': 'bmi1 bmi2',
}

# Right differences: what is taken out of both outputs, and why.
DROP = {
    'linux': ([FAILURES], 'another kernel, with another configuration; it checks itself'),
}

# Left out: linux/mov_ss_trap, which never ends on a host that is itself a KVM guest;
# linux/entry_from_vm86 (no vm86() in a 64-bit kernel); linux/unwind_vdso (needs gcc's library);
# qemu/signals and testthread (threads print in any order); rdrand, rdseed and CPUID (say
# something else each time); TSX and MPX (no such CPU).
INTERP = '''valgrind/insn_basic valgrind/insn_fpu valgrind/insn_sse2 valgrind/x87trigOOR
valgrind/fpu_lazy_eflags_32 qemu/test-i386_32 qemu/test-x86_64 qemu/sha512-sse linux/sigreturn
linux/sigreturn_32 linux/fsgsbase linux/sysret_rip linux/single_step_syscall linux/iopl'''.split()


def case(package, program, soak=False, needs=''):
    drop, why = DROP.get(package, ([], ''))
    path = f'{package}/{program}'
    return Case(f'{package}.{program}', f'timeout 300 /judge/bin/{path}', soak=soak, drop=drop,
                needs=needs, why=why, interp=path in INTERP)


CASES = [
    *(case('qemu', p) for p in QEMU.split()),
    *(case('valgrind', p) for p in VALGRIND.split()),
    *(case('linux', p) for p in LINUX.split()),
    *(case(*path.split('/'), needs=needs) for path, needs in BETTER.items()),
    case('valgrind', 'fb_test_amd64', needs='adx bmi2', soak=True),
    case('valgrind', 'amd64locked', soak=True),
    case('linux', 'syscall_numbering', soak=True),
    Case('qemu.test-i386-fprem_32', '/judge/bin/qemu/test-i386-fprem_32 | sha256sum', soak=True),
    Case('qemu.test-mmap', '/judge/bin/qemu/test-mmap', drop=[ADDRESSES],
         why='addresses are random'),
    Case('qemu.test-mmap_32', '/judge/bin/qemu/test-mmap_32', drop=[ADDRESSES],
         why='addresses are random'),
    Case('qemu.munmap-pthread', '/judge/bin/qemu/munmap-pthread', soak=True),
    Case('qemu.munmap-pthread_32', '/judge/bin/qemu/munmap-pthread_32', soak=True),
]
