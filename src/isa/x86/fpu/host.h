/* SPDX-License-Identifier: MIT */
/*
 * host.h - the guest's x87 and vector instructions, executed by the host's own.
 *
 * A thunk is one instruction with its operands in fixed places and a RET behind it, built
 * when Sundog is (host_x86.S), so nothing has to be writable and executable.  The entry
 * points here load the places, call a thunk and store them back.  Host MXCSR and x87 are the
 * C library's again when they return.
 *
 * Where the operands are: vectors in xmm0 (ModRM.reg) and xmm1 (ModRM.rm), MMX in mm0 and
 * mm1, general registers in eax and ecx; rows with an implicit XMM0 use xmm2, xmm1 and xmm0;
 * memory operands of x87 rows at [rcx].  A row with an immediate has 256 thunks.
 *
 * Nothing here keeps state, and any thread may call.
 */
#ifndef ISA_X86_FPU_HOST_H
#define ISA_X86_FPU_HOST_H

#include "isa/x86/state.h"

enum {
	THUNK_STRIDE = 8,		     /* bytes between the thunks of successive immediates */
	THUNK_REXW = 8,			     /* ... rows without one: to the thunk with REX.W */
	THUNK_REXW_IMM = 256 * THUNK_STRIDE, /* ... rows with one */
	X87_THUNK_STRIDE = 4,
	MXCSR_DEFAULT = 0x1f80,
	MXCSR_FLAGS = 0x3f,
	MXCSR_MASKS = 0x1f80,
	MXCSR_VALID = 0xffff,
	FCW_DEFAULT = 0x37f,
};

struct host_regs {	    /* known to host_x86.S */
	union vreg *unused; /* keeps the vectors below on 16 bytes wherever this lies */
	u64 rax, rcx, rdx, rflags;
	u64 mm[2];
	u8 xmm[2][16];
} __attribute__((aligned(64)));

/* These return 1 if an unmasked SIMD exception stopped the instruction; nothing is stored. */
int host_vec(const void *thunk, void *dst, const void *src);
int host_vec_xmm0(const void *thunk, void *dst, const void *src, const void *xmm0);
int host_regs(const void *thunk, struct host_regs *r);	   /* flags come out in rflags */
int host_regs_mmx(const void *thunk, struct host_regs *r); /* ... with mm[] */
void host_mmx(const void *thunk, u64 *dst, const u64 *src);

/*
 * img is a FXSAVE64 image, on 16 bytes, whose MXCSR is the host's; mem is at [rcx].  The
 * second form also loads and stores the arithmetic flags.
 */
void host_x87(const void *thunk, u8 img[512], void *mem);
void host_x87_flags(const void *thunk, u8 img[512], void *mem, u64 *flags);

/*
 * With only the operands in the x87: a is ST(0), b ST(1), both 80 bits and replaced by what is
 * there afterwards; mem at [rcx].  push: a is what the thunk pushed; popped: the thunk pops.
 * Return the status word.  The control word is the caller's affair.
 */
u16 host_x87_two(const void *thunk, void *a, void *b);
u16 host_x87_one(const void *thunk, void *a, const void *mem);
u16 host_x87_push(const void *thunk, void *a, const void *mem);
u16 host_x87_popped(const void *thunk, const void *a, void *mem);

/* The thunk of D8 + esc with this ModRM byte; memory forms are cut down to [rcx]. */
const void *host_x87_thunk(unsigned esc, unsigned modrm);

extern const char host_thunks_start[], host_thunks_end[];
extern const char host_x87_reg_thunks[], host_x87_mem_thunks[];
extern const char host_trap_landing[], host_vec_landing[];

/*
 * Call before unmasked SIMD exceptions can happen: takes SIGFPE, once in the process; what is
 * not ours goes to the handler that was there.
 */
void host_catch_simd_traps(void);

/*
 * A NOP that stands before an instruction in code made at run time (vex.h) and within its
 * page: traps are caught there too, and lead to host_vec_landing.
 */
#define HOST_TRAP_MARK 0x0f, 0x1f, 0x80, 0x53, 0x75, 0x6e, 0x44
enum { HOST_TRAP_MARK_LEN = 7 };

/* Does the host have this CPUID bit?  reg: 0 EAX, 1 EBX, 2 ECX, 3 EDX. */
bool host_cpuid_bit(u32 leaf, u32 sub, unsigned reg, unsigned bit);

/* Before code is run that took the place of other code, written through another mapping. */
static inline void host_serialize(void)
{
	u32 a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static inline u32 host_mxcsr_get(void)
{
	u32 v;

	__asm__ volatile("stmxcsr %0" : "=m"(v) : : "memory");
	return v;
}

static inline void host_mxcsr_set(u32 v)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(v) : "memory");
}

#endif
