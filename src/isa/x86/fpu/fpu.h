/* SPDX-License-Identifier: MIT */
/*
 * fpu.h - what the files of this room share: checks, operands, and running a thunk.
 */
#ifndef ISA_X86_FPU_FPU_H
#define ISA_X86_FPU_FPU_H

#include "isa/x86/fpu/host.h"
#include "isa/x86/insn.h"
#include "isa/x86/operand.h"
#include "isa/x86/system.h"

enum { /* x87 status word */
       FSW_IE = 1 << 0,
       FSW_DE = 1 << 1,
       FSW_ZE = 1 << 2,
       FSW_OE = 1 << 3,
       FSW_UE = 1 << 4,
       FSW_PE = 1 << 5,
       FSW_SF = 1 << 6,
       FSW_ES = 1 << 7,
       FSW_B = 1 << 15,
       FSW_EXC = 0x3f,
       FSW_TOP_SHIFT = 11,
       FSW_TOP = 7 << FSW_TOP_SHIFT,
};

/* exec_<fn>() of every row of this room. */
#define INSN(map, pfx, op, mrm, name, fn, ...) exec_fn exec_##fn;
#include "isa/x86/opcodes_sse.def"
#include "isa/x86/opcodes_x87.def"
#undef INSN
#define VEX(map, pfx, op, mrm, w, l, name, fn, ...) exec_fn exec_##fn;
#define EVEX VEX
#include "isa/x86/opcodes_avx.def"
#include "isa/x86/opcodes_avx512.def"
#undef VEX
#undef EVEX

/* Exceptions that are flagged and unmasked, whatever ES says. */
static inline unsigned x87_pending(const struct x87_state *x)
{
	return x->fsw & ~x->fcw & FSW_EXC;
}

/* ES and B as flags and masks have them. */
static inline u16 fsw_summary(u16 fsw, u16 fcw)
{
	return (fsw & ~fcw & FSW_EXC) ? fsw | FSW_ES | FSW_B : fsw & ~(FSW_ES | FSW_B);
}

/* The tag word at full length, and back to one bit per physical register: x87_env.c. */
u16 x87_full_tags(const struct x87_state *x);
u8 x87_abridge(u16 tags);

static inline void check_sse(struct x86_cpu *cpu, const struct op *op)
{
	if (__builtin_expect((cpu->st.cr0 & (CR0_EM | CR0_TS)) | (~cpu->st.cr4 & CR4_OSFXSR), 0))
		x86_check_fpu(cpu, op);
}

static inline void check_x87(struct x86_cpu *cpu, const struct op *op)
{
	if (__builtin_expect((cpu->st.cr0 & (CR0_EM | CR0_TS)) | x87_pending(&cpu->st.x87), 0))
		x86_check_fpu(cpu, op);
}

/* Memory bytes of operand o of the op's row, a legacy one. */
static inline unsigned opnd_mem(const struct op *op, unsigned o)
{
	unsigned n = operands[o].mem;

	return n == SZ_Y ? (op->flags & OP_REX_W ? 8 : 4) : n == SZ_X ? 16 : n;
}

/* #GP(0) if it must be aligned and is not: the linear address counts, before all other checks. */
static inline void vec_load(struct x86_cpu *cpu, const struct op *op, bool align, u64 v[2])
{
	u64 ea = op_ea(cpu, op), lin;

	if (align && ((ea + cpu->seg_base[op->seg]) & 15))
		x86_raise_gp(cpu, 0);
	mem_check_align(cpu, op->seg, ea, 16, 16, MEM_READ);
	lin = mem_linear(cpu, op->seg, ea, 16, MEM_READ);
	if ((lin & (PAGE_SIZE_4K - 1)) <= PAGE_SIZE_4K - 16) {
		v[0] = mem_load_lin(cpu, op->seg, lin, 8);
		v[1] = mem_load_lin(cpu, op->seg, lin + 8, 8);
	} else {
		mem_read_buf(cpu, op->seg, ea, v, 16);
	}
}

/* The r/m operand as a vector: a register, or memory zero-extended to 16 bytes in buf. */
const void *vec_src(struct x86_cpu *cpu, const struct op *op, const struct insn *in, u64 buf[2]);
/* The same for MMX. */
const u64 *mmx_src(struct x86_cpu *cpu, const struct op *op, const struct insn *in, u64 *buf);
void vec_store16(struct x86_cpu *cpu, const struct op *op, bool align, const u64 v[2]);

/*
 * Raise what an unmasked SIMD exception raises; MXCSR's flags are in the state already.
 */
_Noreturn void vec_raise_xm(struct x86_cpu *cpu);

/* Host MXCSR around a thunk that uses it. */
void fp_enter(struct x86_cpu *cpu);
void fp_leave(struct x86_cpu *cpu, int trapped); /* raises #XM if so */

/* MMX: what every MMX instruction but EMMS does to the x87, to be called last of all. */
void mmx_enter(struct x86_cpu *cpu);
static inline u64 mmx_get(const struct x86_cpu *cpu, unsigned n)
{
	unsigned top = cpu->st.x87.fsw >> FSW_TOP_SHIFT & 7;

	return cpu->st.x87.st[(n - top) & 7].mant;
}

static inline void mmx_set(struct x86_cpu *cpu, unsigned n, u64 v) /* after mmx_enter() */
{
	cpu->st.x87.st[n].mant = v;
	cpu->st.x87.st[n].sexp = 0xffff;
}

/* MASKMOVDQU, MASKMOVQ: the bytes of data whose mask bit 7 is set, to seg:rDI. */
void vec_maskmov(struct x86_cpu *cpu, const struct op *op, const u8 *data, const u8 *mask,
		 unsigned size);

/*
 * x87_fast.c: false if it must be done with the whole state.  A store leaves the state alone
 * until the memory is written: then x87_fast_stored().
 */
bool x87_fast_reg(struct x86_cpu *cpu, const struct op *op);
bool x87_fast_load(struct x86_cpu *cpu, const struct op *op, const void *mem);
bool x87_fast_store(struct x86_cpu *cpu, const struct op *op, void *mem, u16 *fsw);
void x87_fast_stored(struct x86_cpu *cpu, const struct op *op, u16 fsw);

/* After an instruction that may clear exceptions: lower FERR# if none is left. */
void x87_ferr_update(struct x86_cpu *cpu);

/* Change TOP and leave the physical registers where they are. */
void x87_set_top(struct x87_state *x, unsigned top);

#endif
