/* SPDX-License-Identifier: MIT */
/*
 * exec_alu.c - ADD to XOR, CMP, TEST, INC, DEC, NEG, NOT, ADCX, ADOX.
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include "isa/x86/alu.h"
#include "isa/x86/exec.h"

static __always_inline void alu_sized(struct x86_cpu *cpu, const struct op *op, enum alu k)
{
	switch (op->size) {
	case 1: do_alu(cpu, op, k, 1, op->form, op_loc(op)); break;
	case 2: do_alu(cpu, op, k, 2, op->form, op_loc(op)); break;
	case 4: do_alu(cpu, op, k, 4, op->form, op_loc(op)); break;
	default: do_alu(cpu, op, k, 8, op->form, op_loc(op)); break;
	}
}

static __always_inline void unary_sized(struct x86_cpu *cpu, const struct op *op, enum unary k)
{
	switch (op->size) {
	case 1: do_unary(cpu, op, k, 1, op_loc(op)); break;
	case 2: do_unary(cpu, op, k, 2, op_loc(op)); break;
	case 4: do_unary(cpu, op, k, 4, op_loc(op)); break;
	default: do_unary(cpu, op, k, 8, op_loc(op)); break;
	}
}

void exec_add(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_ADD);
}

void exec_or(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_OR);
}

void exec_adc(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_ADC);
}

void exec_sbb(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_SBB);
}

void exec_and(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_AND);
}

void exec_sub(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_SUB);
}

void exec_xor(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_XOR);
}

void exec_cmp(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_CMP);
}

void exec_test(struct x86_cpu *cpu, const struct op *op)
{
	alu_sized(cpu, op, ALU_TEST);
}

void exec_inc(struct x86_cpu *cpu, const struct op *op)
{
	unary_sized(cpu, op, UN_INC);
}

void exec_dec(struct x86_cpu *cpu, const struct op *op)
{
	unary_sized(cpu, op, UN_DEC);
}

void exec_neg(struct x86_cpu *cpu, const struct op *op)
{
	unary_sized(cpu, op, UN_NEG);
}

void exec_not(struct x86_cpu *cpu, const struct op *op)
{
	unary_sized(cpu, op, UN_NOT);
}

/* reg + r/m + carry in one flag, which is all that changes. */
static void add_with(struct x86_cpu *cpu, const struct op *op, u64 flag)
{
	u64 b = rm_read(cpu, op, op->size), a = reg_read(cpu, op, op->size);
	unsigned __int128 sum = (unsigned __int128)a + b + !!(flags_get(cpu) & flag);

	reg_write(cpu, op, (u64)sum, op->size);
	flags_change(cpu, flag, sum >> (8 * op->size) & 1 ? flag : 0);
}

void exec_adcx(struct x86_cpu *cpu, const struct op *op)
{
	add_with(cpu, op, FL_CF);
}

void exec_adox(struct x86_cpu *cpu, const struct op *op)
{
	add_with(cpu, op, FL_OF);
}
