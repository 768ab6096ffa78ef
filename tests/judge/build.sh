#!/bin/sh
# SPDX-License-Identifier: MIT
# Build the test programs in Debian's source packages into /judge/bin: runs in the tree
# that tools/fetch-judges.sh makes.  Programs of one package have its name as their folder;
# a name that ends in _32 is a 32-bit program.  One that does not build fails the whole.
set -eu

src=/judge/src
bin=/judge/bin
cd /tmp

build_valgrind() {
	v=$src/valgrind
	: >config.h
	flags="-O -I. -I$v -I$v/none/tests -I$v/none/tests/amd64 -DVGO_linux -no-pie"
	for i in basic fpu mmx sse sse2 sse3 ssse3 pclmulqdq; do
		perl "$v/none/tests/amd64/gen_insn_test.pl" \
			<"$v/none/tests/amd64/insn_$i.def" >"insn_$i.c"
		echo "valgrind/insn_$i $flags -mpclmul insn_$i.c -lm"
	done
	# The 32-bit insn_basic crashes when built by this gcc, on any CPU.
	for i in cmov fpu mmx mmxext sse sse2 sse3 ssse3; do
		perl "$v/none/tests/x86/gen_insn_test.pl" \
			<"$v/none/tests/x86/insn_$i.def" >"insn_${i}_32.c"
		echo "valgrind/insn_${i}_32 -m32 -mssse3 $flags -DVGA_x86 insn_${i}_32.c -lm"
	done
	for t in amd64locked bt_flags bug127521-64 bug132813-amd64 bug132918 bug137714-amd64 \
		bug156404-amd64 clc cmpxchg getseg nan80and64 rcl-amd64 redundantRexW smc1 sbbmisc \
		nibz_bennee_mmap x87trigOOR xadd asorep fb_test_amd64 ssse3_misaligned lzcnt64 \
		movbe pcmpstr64 pcmpxstrx64 sse4-64 crc32 pcmpstr64w pcmpxstrx64w faultstatus \
		fcmovnu fxtract looper jrcxz shrld slahf-amd64 loopnel avx-1 avx2-1 bmi fma f16c; do
		echo "valgrind/$t $flags -mavx2 -mfma -fno-strict-aliasing -DVGA_amd64" \
			"-mno-avx $v/none/tests/amd64/$t.c -lm"
	done
	# Its assembly does not stand optimization.
	echo "valgrind/aes $flags -O0 $v/none/tests/amd64/aes.c"
	for t in aad_aam bswapw bt_everything bt_literal bug125959-x86 bug126147-x86 bug132813-x86 \
		bug135421-x86 bug137714-x86 bug152818-x86 cmpxchg8b cse_fail faultstatus fcmovnu \
		fpu_lazy_eflags fxtract getseg incdec_alt int jcxz lahf looper lzcnt32 movbe movx \
		pushpopseg sbbmisc shift_ndep smc1 ssse3_misaligned x87trigOOR xadd; do
		echo "valgrind/${t}_32 -m32 -mssse3 $flags -DVGA_x86 $v/none/tests/x86/$t.c -lm"
	done
}

build_qemu() {
	q=$src/qemu/tests/tcg
	i=$q/i386
	python3 "$i/test-mmx.py" "$i/x86.csv" test-mmx.h MMX SSE SSE2 SSE3 SSSE3
	python3 "$i/test-avx.py" "$i/x86.csv" test-avx.h
	flags="-O -D_GNU_SOURCE -I. -I$i -I$q/multiarch/libs -I$src/qemu/include"
	echo "qemu/test-x86_64 $flags -no-pie $i/test-i386.c -lm"
	echo "qemu/test-i386_32 -m32 $flags -fno-pie -no-pie $i/test-i386.c $i/test-i386-code16.S" \
		"$i/test-i386-vm86.S -lm"
	echo "qemu/test-mmx $flags -masm=intel $i/test-mmx.c"
	echo "qemu/test-avx $flags -mavx -masm=intel $i/test-avx.c"
	echo "qemu/test-i386-ssse3 $flags -mssse3 $i/test-i386-ssse3.c"
	echo "qemu/test-i386-bmi2 $flags -O2 $i/test-i386-bmi2.c"
	echo "qemu/test-i386-bmi2_32 -m32 $flags -O2 $i/test-i386-bmi2.c"
	for t in f2xm1 fbstp fisttp fldcst fp-exceptions fpatan fprem fscale fxam fxtract fyl2x \
		fyl2xp1 pseudo-denormal snan-convert; do
		echo "qemu/test-i386-${t}_32 -m32 $flags $i/test-i386-$t.c -lm"
	done
	echo "qemu/test-i386-pcmpistri_32 -m32 -msse4.2 $flags $i/test-i386-pcmpistri.c"
	echo "qemu/test-i386-sse-exceptions_32 -m32 -msse4.1 -mfpmath=sse $flags" \
		"$i/test-i386-sse-exceptions.c"
	echo "qemu/sha512-sse $flags -msse4.1 -O3 $q/multiarch/sha512.c"
	echo "qemu/cmpxchg $flags $q/x86_64/cmpxchg.c"
	for t in float_convd float_convs float_madds sha1 sigbus signals test-mmap testthread \
		threadcount munmap-pthread; do
		case $t in float_*) lib=$q/multiarch/libs/float_helpers.c ;; *) lib= ;; esac
		echo "qemu/$t $flags -pthread $q/multiarch/$t.c $lib -lm"
		echo "qemu/${t}_32 -m32 $flags -pthread $q/multiarch/$t.c $lib -lm"
	done
}

build_linux() {
	l=$src/linux/tools/testing/selftests/x86
	flags="-O2 -std=gnu99 -pthread -no-pie -DCAN_BUILD_32 -DCAN_BUILD_64 -I$l"
	for t in single_step_syscall sysret_ss_attrs syscall_nt test_mremap_vdso \
		check_initial_reg_state sigreturn iopl ioperm test_vsyscall mov_ss_trap \
		sigtrap_loop syscall_arg_fault fsgsbase_restore sigaltstack ldt_gdt \
		ptrace_syscall entry_from_vm86 test_syscall_vdso unwind_vdso test_FCMOV test_FCOMI \
		test_FISTTP vdso_restorer; do
		more=
		case $t in
		ptrace_syscall) more=$l/raw_syscall_helper_32.S ;;
		test_syscall_vdso) more=$l/thunks_32.S ;;
		check_initial_reg_state) more="-Wl,-ereal_start -static" ;;
		esac
		echo "linux/${t}_32 -m32 $flags $l/$t.c $more -ldl -lm"
	done
	for t in single_step_syscall sysret_ss_attrs syscall_nt test_mremap_vdso \
		check_initial_reg_state sigreturn iopl ioperm test_vsyscall mov_ss_trap \
		sigtrap_loop syscall_arg_fault fsgsbase_restore sigaltstack ldt_gdt ptrace_syscall \
		fsgsbase sysret_rip syscall_numbering corrupt_xstate_header; do
		more=
		case $t in
		sysret_ss_attrs) more=$l/thunks.S ;;
		check_initial_reg_state) more="-Wl,-ereal_start -static" ;;
		esac
		echo "linux/$t $flags $l/$t.c $more -ldl"
	done
}

# Warnings are the business of those who wrote them.
build() { # NAME ARGUMENT...
	name=$1
	shift
	gcc -w -s -fno-stack-protector -o "$bin/$name" "$@" || {
		echo "build.sh: $name failed: gcc $*" >&2
		return 1
	}
}

if [ "${1:-}" = --one ]; then
	# shellcheck disable=SC2086
	build $2
	exit
fi
mkdir -p "$bin/valgrind" "$bin/qemu" "$bin/linux"
# Where a package of both word sizes would put it.
[ -e /usr/include/asm ] || ln -s x86_64-linux-gnu/asm /usr/include/asm
# One line a program: its name and gcc's arguments; as many at a time as there are CPUs.
{ build_valgrind; build_qemu; build_linux; } >list
xargs -d '\n' -n 1 -P "$(nproc)" sh "$0" --one <list
