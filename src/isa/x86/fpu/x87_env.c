/* SPDX-License-Identifier: MIT */
/*
 * x87_env.c - x87 control, status and environment instructions.
 *
 * Source: SDM volume 1, "Programming with the x87 FPU": "Saving the x87 FPU's State", figures
 * of the four formats.
 */
#include "isa/x86/fpu/fpu.h"

enum { ENV16 = 14, ENV32 = 28, REGS = 80, TAG_VALID = 0, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

/* --- the full tag word --- */

static unsigned tag_of(u64 mant, u16 sexp)
{
	unsigned exp = sexp & 0x7fff;

	if (exp == 0)
		return mant ? TAG_SPECIAL : TAG_ZERO;
	return exp == 0x7fff || !(mant >> 63) ? TAG_SPECIAL : TAG_VALID;
}

u16 x87_full_tags(const struct x87_state *x)
{
	unsigned top = x->fsw >> FSW_TOP_SHIFT & 7;
	u16 tags = 0;

	for (unsigned phys = 0; phys < 8; phys++) {
		unsigned i = (phys - top) & 7;
		unsigned tag =
			x->ftw >> phys & 1 ? tag_of(x->st[i].mant, x->st[i].sexp) : TAG_EMPTY;

		tags |= (u16)(tag << 2 * phys);
	}
	return tags;
}

u8 x87_abridge(u16 tags)
{
	u8 ftw = 0;

	for (unsigned phys = 0; phys < 8; phys++)
		ftw |= (u8)(((tags >> 2 * phys & 3) != TAG_EMPTY) << phys);
	return ftw;
}

/* --- the environment in memory --- */

/* REX.W wins over 66, as for integer instructions. */
static bool op_is_16(const struct x86_cpu *cpu, const struct op *op)
{
	if (op->flags & OP_REX_W)
		return false;
	return (cpu->code_size == CODE16) != !!(op->flags & OP_O32);
}

static bool format_is_real(const struct x86_cpu *cpu)
{
	return !(cpu->st.cr0 & CR0_PE) || cpu->st.rflags & FL_VM;
}

/* Real mode keeps linear addresses. */
static u32 linear(u16 sel, u64 off)
{
	return (u32)(sel << 4) + (u32)off;
}

static unsigned env_put(const struct x86_cpu *cpu, const struct op *op, u8 *b)
{
	const struct x87_state *x = &cpu->st.x87;
	bool real = format_is_real(cpu);
	u32 ip = real ? linear(x->fcs, x->fip) : (u32)x->fip;
	u32 dp = real ? linear(x->fds, x->fdp) : (u32)x->fdp;
	u16 fop = x->fop & 0x7ff;

	if (op_is_16(cpu, op)) {
		u16 w[7] = {x->fcw, x->fsw, x87_full_tags(x), (u16)ip, x->fcs, (u16)dp, x->fds};

		if (real) {
			w[4] = (u16)((ip >> 16 & 0xf) << 12 | fop);
			w[6] = (u16)((dp >> 16 & 0xf) << 12);
		}
		for (unsigned i = 0; i < 7; i++)
			st_le16(b + 2 * i, w[i]);
		return ENV16;
	}
	u32 d[7] = {0xffff0000u | x->fcw,
		    0xffff0000u | x->fsw,
		    0xffff0000u | x87_full_tags(x),
		    ip,
		    (u32)fop << 16 | x->fcs,
		    dp,
		    0xffff0000u | x->fds};

	if (real) {
		d[3] = 0xffff0000u | (u16)ip;
		d[4] = (ip >> 16) << 12 | fop;
		d[5] = 0xffff0000u | (u16)dp;
		d[6] = (dp >> 16) << 12;
	}
	for (unsigned i = 0; i < 7; i++)
		st_le32(b + 4 * i, d[i]);
	return ENV32;
}

static void pointers_get(struct x86_cpu *cpu, const u8 *b, bool is16)
{
	struct x87_state *x = &cpu->st.x87;
	u32 d[4];

	for (unsigned i = 0; i < 4; i++)
		d[i] = is16 ? ld_le16(b + 6 + 2 * i) : ld_le32(b + 12 + 4 * i);
	if (format_is_real(cpu)) {
		x->fip = (d[0] & 0xffff) | d[1] >> 12 << 16;
		x->fop = d[1] & 0x7ff;
		x->fdp = (d[2] & 0xffff) | d[3] >> 12 << 16;
		x->fcs = x->fds = 0;
	} else {
		x->fip = d[0];
		x->fcs = (u16)d[1];
		x->fop = is16 ? 0 : d[1] >> 16 & 0x7ff;
		x->fdp = d[2];
		x->fds = (u16)d[3];
	}
}

static void env_get(struct x86_cpu *cpu, const u8 *b, bool is16)
{
	struct x87_state *x = &cpu->st.x87;
	unsigned w = is16 ? 2 : 4;
	u16 fcw = ld_le16(b), fsw = ld_le16(b + w);

	x87_set_top(x, fsw >> FSW_TOP_SHIFT & 7);
	x->fcw = (fcw & 0x1f3f) | 0x40;
	x->fsw = fsw_summary(fsw, x->fcw);
	x->ftw = x87_abridge(ld_le16(b + 2 * w));
	pointers_get(cpu, b, is16);
}

static void x87_init(struct x87_state *x)
{
	x87_set_top(x, 0);
	x->fcw = FCW_DEFAULT;
	x->fsw = 0;
	x->ftw = 0;
	x->fip = x->fdp = 0;
	x->fop = x->fcs = x->fds = 0;
}

/* Address of the environment, which may have to be aligned as its parts. */
static u64 env_ea(struct x86_cpu *cpu, const struct op *op, unsigned len, enum mem_access acc)
{
	u64 ea = op_ea(cpu, op);

	mem_check_align(cpu, op->seg, ea, len, op_is_16(cpu, op) ? 2 : 4, acc);
	return ea;
}

/* --- the instructions --- */

void exec_fldcw(struct x86_cpu *cpu, const struct op *op)
{
	struct x87_state *x = &cpu->st.x87;

	check_x87(cpu, op);
	x->fcw = (mem_read(cpu, op->seg, op_ea(cpu, op), 2) & 0x1f3f) | 0x40;
	x->fsw = fsw_summary(x->fsw, x->fcw);
}

void exec_fnstcw(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), cpu->st.x87.fcw, 2);
}

void exec_fnstsw(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), cpu->st.x87.fsw, 2);
}

void exec_fnstsw_ax(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
	gpr_write(cpu, RAX * 8, cpu->st.x87.fsw, 2);
}

void exec_fnclex(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
	cpu->st.x87.fsw &= (u16) ~(FSW_EXC | FSW_SF | FSW_ES | FSW_B);
	x87_ferr_update(cpu);
}

void exec_fninit(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
	x87_init(&cpu->st.x87);
	x87_ferr_update(cpu);
}

/* Saving the environment masks all exceptions. */
void exec_fnstenv(struct x86_cpu *cpu, const struct op *op)
{
	u8 b[ENV32];
	unsigned len;

	check_x87(cpu, op);
	len = env_put(cpu, op, b);
	mem_write_buf(cpu, op->seg, env_ea(cpu, op, len, MEM_WRITE), b, len);
	cpu->st.x87.fcw |= FSW_EXC;
	cpu->st.x87.fsw = fsw_summary(cpu->st.x87.fsw, cpu->st.x87.fcw);
	x87_ferr_update(cpu);
}

void exec_fldenv(struct x86_cpu *cpu, const struct op *op)
{
	bool is16 = op_is_16(cpu, op);
	unsigned len = is16 ? ENV16 : ENV32;
	u8 b[ENV32];

	check_x87(cpu, op);
	mem_read_buf(cpu, op->seg, env_ea(cpu, op, len, MEM_READ), b, len);
	env_get(cpu, b, is16);
}

void exec_fnsave(struct x86_cpu *cpu, const struct op *op)
{
	u8 b[ENV32 + REGS];
	unsigned len;

	check_x87(cpu, op);
	len = env_put(cpu, op, b);
	for (unsigned i = 0; i < 8; i++) {
		st_le64(b + len + 10 * i, cpu->st.x87.st[i].mant);
		st_le16(b + len + 10 * i + 8, cpu->st.x87.st[i].sexp);
	}
	len += REGS;
	mem_write_buf(cpu, op->seg, env_ea(cpu, op, len, MEM_WRITE), b, len);
	x87_init(&cpu->st.x87);
	x87_ferr_update(cpu);
}

void exec_frstor(struct x86_cpu *cpu, const struct op *op)
{
	bool is16 = op_is_16(cpu, op);
	unsigned len = is16 ? ENV16 : ENV32;
	u8 b[ENV32 + REGS];

	check_x87(cpu, op);
	mem_read_buf(cpu, op->seg, env_ea(cpu, op, len + REGS, MEM_READ), b, len + REGS);
	env_get(cpu, b, is16);
	for (unsigned i = 0; i < 8; i++) {
		cpu->st.x87.st[i].mant = ld_le64(b + len + 10 * i);
		cpu->st.x87.st[i].sexp = ld_le16(b + len + 10 * i + 8);
	}
}
