/* SPDX-License-Identifier: MIT */
/*
 * exec_bit.c - BT and its kin, bit scans and counts, BSWAP, CRC32.
 *
 * Flags the manuals leave undefined are as AMD's processors leave them, except that BT and
 * its kin are documented there to keep all but CF.
 *
 * Source: SDM volume 2, the instructions' own pages; APM volume 3 for TZCNT and LZCNT.
 */
#include "isa/x86/exec.h"
#include "isa/x86/shift.h"

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static __always_inline u64 bit_result(enum bit_op k, u64 a, u64 mask)
{
	switch (k) {
	case BIT_SET: return a | mask;
	case BIT_RESET: return a & ~mask;
	default: return a ^ mask;
	}
}

/* With the bit number in a register, memory is a bit string: the number reaches anywhere. */
static u64 bit_string_ea(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	i64 bit = (i64)sign_extend(reg_read(cpu, op, size), size);
	u64 ea = op_ea(cpu, op) + (u64)(bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * size;

	return op->asize == 8 ? ea : zero_extend(ea, op->asize);
}

static __always_inline void do_bit(struct x86_cpu *cpu, const struct op *op, enum bit_op k)
{
	unsigned size = op->size;
	bool imm = op->form == FORM_RM_IMM;
	u64 bit = (imm ? op->imm : reg_read(cpu, op, size)) & (8 * size - 1);
	enum loc loc = op_loc(op);
	struct mem_rmw r;
	u64 ea, a;

	if (loc == LOC_REG) {
		a = gpr_read(cpu, op->rm, size);
	} else {
		ea = imm ? op_ea(cpu, op) : bit_string_ea(cpu, op, size);
		a = k == BIT_TEST ? mem_read(cpu, op->seg, ea, size)
				  : mem_rmw_begin(cpu, op->seg, ea, size, &r);
	}
	if (k != BIT_TEST) {
		while (!rmw_put(cpu, op, size, loc, &r, &a, bit_result(k, a, 1ull << bit)))
			;
	}
	flags_set_cf_of(cpu, a >> bit & 1, flag_of(cpu));
}

void exec_bt(struct x86_cpu *cpu, const struct op *op)
{
	do_bit(cpu, op, BIT_TEST);
}

void exec_bts(struct x86_cpu *cpu, const struct op *op)
{
	do_bit(cpu, op, BIT_SET);
}

void exec_btr(struct x86_cpu *cpu, const struct op *op)
{
	do_bit(cpu, op, BIT_RESET);
}

void exec_btc(struct x86_cpu *cpu, const struct op *op)
{
	do_bit(cpu, op, BIT_COMPLEMENT);
}

/* A source of zero leaves the destination alone, as both vendors do whatever the manual says. */
static void bit_scan(struct x86_cpu *cpu, const struct op *op, bool reverse)
{
	u64 a = rm_read(cpu, op, op->size), res;

	if (!a) {
		flags_logic(cpu, 0, op->size);
		return;
	}
	res = reverse ? 63 - __builtin_clzll(a) : __builtin_ctzll(a);
	reg_write(cpu, op, res, op->size);
	/* PF of the result but never ZF. */
	flags_logic(cpu, res | 0x100, 8);
}

void exec_bsf(struct x86_cpu *cpu, const struct op *op)
{
	bit_scan(cpu, op, false);
}

void exec_bsr(struct x86_cpu *cpu, const struct op *op)
{
	bit_scan(cpu, op, true);
}

static void count_zeros(struct x86_cpu *cpu, const struct op *op, bool leading)
{
	unsigned size = op->size;
	u64 a = rm_read(cpu, op, size), res;

	if (!a)
		res = 8 * size;
	else if (leading)
		res = __builtin_clzll(a) - (64 - 8 * size);
	else
		res = __builtin_ctzll(a);
	reg_write(cpu, op, res, size);
	flags_put(cpu, (flags_get(cpu) & FL_OF) | (a ? 0 : FL_CF) | (res ? 0 : FL_ZF));
}

void exec_tzcnt(struct x86_cpu *cpu, const struct op *op)
{
	count_zeros(cpu, op, false);
}

void exec_lzcnt(struct x86_cpu *cpu, const struct op *op)
{
	count_zeros(cpu, op, true);
}

void exec_popcnt(struct x86_cpu *cpu, const struct op *op)
{
	u64 a = rm_read(cpu, op, op->size);

	reg_write(cpu, op, __builtin_popcountll(a), op->size);
	flags_put(cpu, a ? 0 : FL_ZF);
}

/* Of a 16-bit register, undefined, both vendors make zero. */
void exec_bswap(struct x86_cpu *cpu, const struct op *op)
{
	unsigned r = op->form == FORM_REG ? op->reg : op->rm;
	u64 a = gpr_read(cpu, r, op->size), res = 0;

	if (op->size == 8)
		res = __builtin_bswap64(a);
	else if (op->size == 4)
		res = __builtin_bswap32((u32)a);
	gpr_write(cpu, r, res, op->size);
}

/* CRC-32C, reflected polynomial 0x82f63b78, four bits at a time. */
static const u32 crc32c_nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

void exec_crc32(struct x86_cpu *cpu, const struct op *op)
{
	unsigned dst_size = op->size == 8 || op->flags & OP_REX_W ? 8 : 4;
	u64 data = rm_read(cpu, op, op->size);
	u32 crc = (u32)gpr_read(cpu, op->reg, 4);
	unsigned i;

	for (i = 0; i < 2u * op->size; i++, data >>= 4)
		crc = crc >> 4 ^ crc32c_nibble[(crc ^ data) & 15];
	gpr_write(cpu, op->reg, crc, dst_size);
}
