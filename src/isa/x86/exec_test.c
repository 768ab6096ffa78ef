/* SPDX-License-Identifier: MIT */
/*
 * exec_test.c - the integer exec functions against the host CPU.
 *
 * Each case is an instruction made from a template with random operands.  Its bytes run on
 * the host, its struct op runs through the exec function; registers, flags, memory, fault,
 * error code and fault address are compared.  Flags that a template names as undefined are
 * compared only where the host is an AMD, which the exec functions follow.
 *
 * exec_test [seed [case]]: a failing case is printed ready to run again.
 */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>

#include "isa/x86/exec_test.h"

enum { NR_CASES = 1000000 };

enum {		       /* template flags */
       BYTE = 1 << 0,  /* size 1; else 2, 4 or 8 */
       IMM8S = 1 << 1, /* a sign-extended byte */
       IMM8U = 1 << 2, /* a byte */
       IMMZ = 1 << 3,  /* the operand size's, at most 4 bytes */
       CL = 1 << 4,    /* shifts by CL */
       ONE = 1 << 5,   /* shifts by 1 */
       LOCKS = 1 << 6, /* may be locked */
       MEM_ONLY = 1 << 7,
       REG_ONLY = 1 << 8,
       NO16 = 1 << 9,
       STACK = 1 << 10,	  /* sizes 2 and 8; RSP and RBP point to memory */
       STRING = 1 << 11,  /* RSI and RDI point to memory; may repeat */
       SRC8 = 1 << 12,	  /* r/m is a byte, whatever the size */
       WIDE_A = 1 << 13,  /* RDX:RAX: often a number that a division survives */
       SAME_A = 1 << 14,  /* RAX: often what is in r/m */
       BITS = 1 << 15,	  /* reg is often a small number */
       SIZED_1 = 1 << 16, /* no sizes: size is that of the template's name */
       DST_Y = 1 << 17,	  /* reg is not sized by the source */
       COND = 1 << 18,	  /* sixteen of them, by condition */
       XLAT = 1 << 19,	  /* RBX points to memory */
       IMM24 = 1 << 20,	  /* that of ENTER */
       ALIGN16 = 1 << 21, /* memory is often aligned so */
};

/* tmpl.ext: or else the opcode's three bits in ModRM; OPREG: a register in the opcode */
enum { OPREG = -3, NO_MODRM = -2, REG = -1 };

#define SZAP (FL_SF | FL_ZF | FL_AF | FL_PF)
#define OSAP (FL_OF | FL_SF | FL_AF | FL_PF)
#define OSAPC (OSAP | FL_CF)
#define OSZAPC (OSAPC | FL_ZF)

struct tmpl {
	const char *name;
	exec_fn *fn;
	u32 opcode; /* mandatory prefix << 16 | escape bytes | opcode */
	int ext;
	u8 form;
	u32 flags;
	u16 undef;
};

/* clang-format off */
#define ALU(name, n, undef)                                                                   \
	{#name, exec_##name, (n) * 8 + 0, REG, FORM_RM_REG, BYTE | LOCKS * ((n) < 7), undef}, \
	{#name, exec_##name, (n) * 8 + 1, REG, FORM_RM_REG, LOCKS * ((n) < 7), undef},        \
	{#name, exec_##name, (n) * 8 + 2, REG, FORM_REG_RM, BYTE, undef},                     \
	{#name, exec_##name, (n) * 8 + 3, REG, FORM_REG_RM, 0, undef},                        \
	{#name, exec_##name, 0x80, n, FORM_RM_IMM, BYTE | IMM8S | LOCKS * ((n) < 7), undef},  \
	{#name, exec_##name, 0x81, n, FORM_RM_IMM, IMMZ | LOCKS * ((n) < 7), undef},          \
	{#name, exec_##name, 0x83, n, FORM_RM_IMM, IMM8S | LOCKS * ((n) < 7), undef}

#define SHIFT(name, n, undef)                                               \
	{#name, exec_##name, 0xc0, n, FORM_RM_IMM, BYTE | IMM8U, undef},    \
	{#name, exec_##name, 0xc1, n, FORM_RM_IMM, IMM8U, undef},           \
	{#name, exec_##name, 0xd0, n, FORM_RM_IMM, BYTE | ONE, (undef) & FL_AF}, \
	{#name, exec_##name, 0xd1, n, FORM_RM_IMM, ONE, (undef) & FL_AF},   \
	{#name, exec_##name, 0xd2, n, FORM_RM, BYTE | CL, undef},           \
	{#name, exec_##name, 0xd3, n, FORM_RM, CL, undef}

#define BIT(name, op, n, locks)                                                      \
	{#name, exec_##name, 0x0f00 + (op), REG, FORM_RM_REG, BITS | (locks), OSAP}, \
	{#name, exec_##name, 0x0fba, n, FORM_RM_IMM, IMM8U | (locks), OSAP}
/* clang-format on */

static const struct tmpl templates[] = {
	ALU(add, 0, 0),
	ALU(or, 1, FL_AF),
	ALU(adc, 2, 0),
	ALU(sbb, 3, 0),
	ALU(and, 4, FL_AF),
	ALU(sub, 5, 0),
	ALU(xor, 6, FL_AF),
	ALU(cmp, 7, 0),
	{"test", exec_test, 0x84, REG, FORM_RM_REG, BYTE, FL_AF},
	{"test", exec_test, 0x85, REG, FORM_RM_REG, 0, FL_AF},
	{"test", exec_test, 0xf6, 0, FORM_RM_IMM, BYTE | IMM8S, FL_AF},
	{"test", exec_test, 0xf7, 0, FORM_RM_IMM, IMMZ, FL_AF},
	{"inc", exec_inc, 0xfe, 0, FORM_RM, BYTE | LOCKS, 0},
	{"inc", exec_inc, 0xff, 0, FORM_RM, LOCKS, 0},
	{"dec", exec_dec, 0xfe, 1, FORM_RM, BYTE | LOCKS, 0},
	{"dec", exec_dec, 0xff, 1, FORM_RM, LOCKS, 0},
	{"not", exec_not, 0xf6, 2, FORM_RM, BYTE | LOCKS, 0},
	{"not", exec_not, 0xf7, 2, FORM_RM, LOCKS, 0},
	{"neg", exec_neg, 0xf6, 3, FORM_RM, BYTE | LOCKS, 0},
	{"neg", exec_neg, 0xf7, 3, FORM_RM, LOCKS, 0},
	{"adcx", exec_adcx, 0x660f38f6, REG, FORM_REG_RM, NO16, 0},
	{"adox", exec_adox, 0xf30f38f6, REG, FORM_REG_RM, NO16, 0},
	SHIFT(rol, 0, FL_OF),
	SHIFT(ror, 1, FL_OF),
	SHIFT(rcl, 2, FL_OF),
	SHIFT(rcr, 3, FL_OF),
	SHIFT(shl, 4, FL_OF | FL_AF | FL_CF),
	SHIFT(shr, 5, FL_OF | FL_AF | FL_CF),
	SHIFT(shl, 6, FL_OF | FL_AF | FL_CF),
	SHIFT(sar, 7, FL_OF | FL_AF),
	{"shld", exec_shld, 0x0fa4, REG, FORM_RM_REG_IMM, IMM8U, FL_OF | FL_AF},
	{"shld", exec_shld, 0x0fa5, REG, FORM_RM_REG, CL, FL_OF | FL_AF},
	{"shrd", exec_shrd, 0x0fac, REG, FORM_RM_REG_IMM, IMM8U, FL_OF | FL_AF},
	{"shrd", exec_shrd, 0x0fad, REG, FORM_RM_REG, CL, FL_OF | FL_AF},
	{"mul", exec_mul, 0xf6, 4, FORM_RM, BYTE, SZAP},
	{"mul", exec_mul, 0xf7, 4, FORM_RM, 0, SZAP},
	{"imul1", exec_imul1, 0xf6, 5, FORM_RM, BYTE, SZAP},
	{"imul1", exec_imul1, 0xf7, 5, FORM_RM, 0, SZAP},
	{"imul2", exec_imul2, 0x0faf, REG, FORM_REG_RM, 0, SZAP},
	{"imul3", exec_imul3, 0x69, REG, FORM_REG_RM_IMM, IMMZ, SZAP},
	{"imul3", exec_imul3, 0x6b, REG, FORM_REG_RM_IMM, IMM8S, SZAP},
	{"div", exec_div, 0xf6, 6, FORM_RM, BYTE | WIDE_A, OSZAPC},
	{"div", exec_div, 0xf7, 6, FORM_RM, WIDE_A, OSZAPC},
	{"idiv", exec_idiv, 0xf6, 7, FORM_RM, BYTE | WIDE_A, OSZAPC},
	{"idiv", exec_idiv, 0xf7, 7, FORM_RM, WIDE_A, OSZAPC},
	BIT(bt, 0xa3, 4, 0),
	BIT(bts, 0xab, 5, LOCKS),
	BIT(btr, 0xb3, 6, LOCKS),
	BIT(btc, 0xbb, 7, LOCKS),
	{"bsf", exec_bsf, 0x0fbc, REG, FORM_REG_RM, BITS, OSAPC},
	{"bsr", exec_bsr, 0x0fbd, REG, FORM_REG_RM, BITS, OSAPC},
	{"tzcnt", exec_tzcnt, 0xf3000fbc, REG, FORM_REG_RM, BITS, OSAP},
	{"lzcnt", exec_lzcnt, 0xf3000fbd, REG, FORM_REG_RM, BITS, OSAP},
	{"popcnt", exec_popcnt, 0xf3000fb8, REG, FORM_REG_RM, BITS, 0},
	{"crc32", exec_crc32, 0xf20f38f0, REG, FORM_REG_RM, BYTE | DST_Y, 0},
	{"crc32", exec_crc32, 0xf20f38f1, REG, FORM_REG_RM, DST_Y, 0},
	{"mov", exec_mov, 0x88, REG, FORM_RM_REG, BYTE, 0},
	{"mov", exec_mov, 0x89, REG, FORM_RM_REG, 0, 0},
	{"mov", exec_mov, 0x8a, REG, FORM_REG_RM, BYTE, 0},
	{"mov", exec_mov, 0x8b, REG, FORM_REG_RM, 0, 0},
	{"mov", exec_mov, 0xc6, 0, FORM_RM_IMM, BYTE | IMM8S, 0},
	{"mov", exec_mov, 0xc7, 0, FORM_RM_IMM, IMMZ, 0},
	{"movzx8", exec_movzx8, 0x0fb6, REG, FORM_REG_RM, SRC8, 0},
	{"movzx16", exec_movzx16, 0x0fb7, REG, FORM_REG_RM, 0, 0},
	{"movsx8", exec_movsx8, 0x0fbe, REG, FORM_REG_RM, SRC8, 0},
	{"movsx16", exec_movsx16, 0x0fbf, REG, FORM_REG_RM, 0, 0},
	{"movsx32", exec_movsx32, 0x63, REG, FORM_REG_RM, 0, 0},
	{"lea", exec_lea, 0x8d, REG, FORM_REG_RM, MEM_ONLY, 0},
	{"xchg", exec_xchg, 0x86, REG, FORM_RM_REG, BYTE | LOCKS, 0},
	{"xchg", exec_xchg, 0x87, REG, FORM_RM_REG, LOCKS, 0},
	{"xadd", exec_xadd, 0x0fc0, REG, FORM_RM_REG, BYTE | LOCKS, 0},
	{"xadd", exec_xadd, 0x0fc1, REG, FORM_RM_REG, LOCKS, 0},
	{"cmpxchg", exec_cmpxchg, 0x0fb0, REG, FORM_RM_REG, BYTE | LOCKS | SAME_A, 0},
	{"cmpxchg", exec_cmpxchg, 0x0fb1, REG, FORM_RM_REG, LOCKS | SAME_A, 0},
	{"cmpxchg8b", exec_cmpxchg8b, 0x0fc7, 1, FORM_RM, MEM_ONLY | LOCKS | SAME_A, 0},
	{"cmpxchg16b", exec_cmpxchg16b, 0x0fc7, 1, FORM_RM, MEM_ONLY | LOCKS | SAME_A | ALIGN16, 0},
	{"setcc", exec_setcc, 0x0f90, 0, FORM_RM, BYTE | COND, 0},
	{"cmovcc", exec_cmovcc, 0x0f40, REG, FORM_REG_RM, COND, 0},
	{"bswap", exec_bswap, 0x0fc8, OPREG, FORM_RM, REG_ONLY, 0},
	{"xlat", exec_xlat, 0xd7, NO_MODRM, FORM_NONE, XLAT | SIZED_1, 0},
	{"movbe", exec_movbe, 0x0f38f0, REG, FORM_REG_RM, MEM_ONLY, 0},
	{"movbe", exec_movbe, 0x0f38f1, REG, FORM_RM_REG, MEM_ONLY, 0},
	{"movnti", exec_movnti, 0x0fc3, REG, FORM_RM_REG, MEM_ONLY | NO16, 0},
	{"cbw", exec_cbw, 0x98, NO_MODRM, FORM_NONE, 0, 0},
	{"cwd", exec_cwd, 0x99, NO_MODRM, FORM_NONE, 0, 0},
	{"lahf", exec_lahf, 0x9f, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"sahf", exec_sahf, 0x9e, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"cmc", exec_cmc, 0xf5, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"clc", exec_clc, 0xf8, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"stc", exec_stc, 0xf9, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"cld", exec_cld, 0xfc, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"std", exec_std, 0xfd, NO_MODRM, FORM_NONE, SIZED_1, 0},
	{"clflush", exec_clflush, 0x0fae, 7, FORM_RM, MEM_ONLY | SIZED_1, 0},
	{"push", exec_push, 0xff, 6, FORM_RM, STACK, 0},
	{"push", exec_push, 0x68, NO_MODRM, FORM_IMM, STACK | IMMZ, 0},
	{"push", exec_push, 0x6a, NO_MODRM, FORM_IMM, STACK | IMM8S, 0},
	{"pop", exec_pop, 0x8f, 0, FORM_RM, STACK, 0},
	{"push", exec_push, 0x50, OPREG, FORM_RM, STACK | REG_ONLY, 0},
	{"pop", exec_pop, 0x58, OPREG, FORM_RM, STACK | REG_ONLY, 0},
	{"enter", exec_enter, 0xc8, NO_MODRM, FORM_IMM, STACK | IMM24, 0},
	{"pushf", exec_pushf, 0x9c, NO_MODRM, FORM_NONE, STACK, 0},
	{"leave", exec_leave, 0xc9, NO_MODRM, FORM_NONE, STACK, 0},
	{"movs", exec_movs, 0xa4, NO_MODRM, FORM_NONE, STRING | BYTE, 0},
	{"movs", exec_movs, 0xa5, NO_MODRM, FORM_NONE, STRING, 0},
	{"cmps", exec_cmps, 0xa6, NO_MODRM, FORM_NONE, STRING | BYTE, 0},
	{"cmps", exec_cmps, 0xa7, NO_MODRM, FORM_NONE, STRING, 0},
	{"stos", exec_stos, 0xaa, NO_MODRM, FORM_NONE, STRING | BYTE, 0},
	{"stos", exec_stos, 0xab, NO_MODRM, FORM_NONE, STRING, 0},
	{"lods", exec_lods, 0xac, NO_MODRM, FORM_NONE, STRING | BYTE, 0},
	{"lods", exec_lods, 0xad, NO_MODRM, FORM_NONE, STRING, 0},
	{"scas", exec_scas, 0xae, NO_MODRM, FORM_NONE, STRING | BYTE, 0},
	{"scas", exec_scas, 0xaf, NO_MODRM, FORM_NONE, STRING, 0},
};

static u64 rng;

static u64 rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dull;
}

/* Numbers that matter more often than chance has them. */
static u64 rnd_val(void)
{
	u64 r = rnd() >> 8;

	switch (rnd() >> 60) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return r & 0xff;
	case 3: return -(r & 0xff);
	case 4: return 1ull << (r & 63);
	case 5: return (1ull << (r & 63)) - 1;
	case 6: return 0x8000000080008080ull;
	case 7: return 0x7fffffff7fff7f7full;
	case 8: return (u64)(i32)rnd();
	default: return rnd();
	}
}

struct test_case {
	const struct tmpl *t;
	u8 bytes[15];
	unsigned len;
	struct op op;
	struct regs in;
};

static void put(struct test_case *c, u64 val, unsigned n)
{
	for (; n; n--, val >>= 8)
		c->bytes[c->len++] = (u8)val;
}

/* Somewhere in the buffer: anywhere, across pages, at the ends. */
static u64 rnd_addr(void)
{
	u64 base = (u64)(uintptr_t)test_buf, r = rnd() >> 8;

	switch (rnd() >> 61) {
	case 0: return base + 4096 - (r & 15);
	case 1: return base + BUF - (r & 15);
	case 2: return base - (r & 15);
	case 3: return base + (r & 0x1ff8);
	default: return base + r % (BUF - 16);
	}
}

static u8 byte_reg(unsigned r, bool rex)
{
	return (u8)(!rex && r >= 4 && r < 8 ? (r - 4) * 8 + 1 : r * 8);
}

static void make_regs(struct test_case *c)
{
	u64 base = (u64)(uintptr_t)test_buf, *g = c->in.gpr;
	u32 fl = c->t->flags;
	unsigned i;

	for (i = 0; i < 16; i++)
		g[i] = rnd_val();
	c->in.flags = (rnd() & FL_ARITH) | FL_FIXED | FL_IF;
	if (fl & (STRING | SIZED_1) && rnd() & 1)
		c->in.flags |= FL_DF;
	if (fl & STACK) {
		g[RSP] = base + 4096 + (rnd() >> 50) % 4096;
		g[RBP] = rnd_addr();
		if (rnd() % 8 == 0)
			g[RSP] = rnd_addr();
	}
	if (fl & XLAT)
		g[RBX] = rnd_addr();
	if (fl & STRING) {
		g[RSI] = rnd_addr();
		g[RDI] = rnd() & 1 ? rnd_addr() : g[RSI] + (rnd() >> 40) % 64 - 32;
		g[RCX] = rnd() & 1 ? (rnd() >> 40) % 64 : (rnd() >> 40) % 5000;
	}
	if (fl & WIDE_A && rnd() & 1) {
		g[RDX] = rnd() & 1 ? 0 : rnd() & 7;
		if (rnd() & 1)
			g[RDX] = (u64)((i64)g[RAX] >> 63);
	}
}

static u64 immediate(const struct test_case *c, unsigned *n)
{
	u32 fl = c->t->flags;

	if (fl & IMM24) {
		*n = 3;
		return (rnd() >> 52) % (rnd() & 1 ? 64 : 4096) |
		       (rnd() >> 40) % (rnd() & 1 ? 4 : 33) << 16;
	}
	*n = fl & (IMM8S | IMM8U) ? 1 : !(fl & IMMZ) ? 0 : c->op.size == 2 ? 2 : 4;
	if (!*n)
		return fl & ONE ? 1 : 0;
	return fl & IMM8U ? (u8)rnd_val() : sign_extend(rnd_val(), *n);
}

static void make_operands(struct test_case *c, bool mem, bool rex, unsigned reg, unsigned rm)
{
	const struct tmpl *t = c->t;
	struct op *op = &c->op;
	u64 val;

	op->reg = op->size == 1 && !(t->flags & DST_Y) ? byte_reg(reg, rex) : (u8)(reg * 8);
	if (!mem) {
		op->rm = op->size == 1 || t->flags & SRC8 ? byte_reg(rm, rex) : (u8)(rm * 8);
		return;
	}
	op->flags |= OP_MEM;
	op->base = rm;
	op->index = GPR_ZERO;
	op->disp = (i8)rnd();
	if (rm == RSP)
		c->in.gpr[RSP] &= ~7ull;
	else
		c->in.gpr[rm] = rnd_addr() - (u64)(i64)op->disp;
	if (t->flags & SAME_A && rnd() & 1) {
		val = c->in.gpr[rm] + (u64)(i64)op->disp;
		if (t->flags & ALIGN16) {
			c->in.gpr[rm] -= val & 15;
			val &= ~15ull;
		}
		if (range_fits(val - (u64)(uintptr_t)test_buf, 16, BUF)) {
			if (t->flags & ALIGN16)
				c->in.gpr[RDX] = ld_le64((u8 *)(uintptr_t)val + 8);
			val = ld_le64((void *)(uintptr_t)val);
			c->in.gpr[RAX] = t->fn == exec_cmpxchg8b ? (u32)val : val;
			if (t->fn == exec_cmpxchg8b)
				c->in.gpr[RDX] = val >> 32;
		}
	}
}

static void make_prefixes(struct test_case *c, bool rep)
{
	struct op *op = &c->op;

	if (op->flags & OP_LOCK)
		put(c, 0xf0, 1);
	if (op->size == 2)
		put(c, 0x66, 1);
	if (op->asize == 4)
		put(c, 0x67, 1);
	if (c->t->opcode >> 24)
		put(c, c->t->opcode >> 24, 1);
	if (rep) {
		op->flags |= rnd() & 1 ? OP_REP : OP_REPNE;
		put(c, op->flags & OP_REP ? 0xf3 : 0xf2, 1);
	}
}

static unsigned pick_size(const struct tmpl *t)
{
	if (t->flags & BYTE)
		return 1;
	if (t->flags & SIZED_1)
		return 8;
	if (t->flags & STACK)
		return rnd() & 1 ? 8 : 2;
	if (t->flags & NO16)
		return rnd() & 1 ? 8 : 4;
	return 2u << (rnd() >> 8) % 3;
}

static void make_case(struct test_case *c, const struct tmpl *t)
{
	unsigned reg = rnd() & 15, rm = rnd() & 15, n;
	bool mem = !(t->flags & REG_ONLY) && (t->flags & MEM_ONLY || rnd() & 1);
	bool modrm = t->ext > NO_MODRM, w;
	struct op *op = &c->op;
	u32 opc = t->opcode & 0xffffff;
	u8 rex;

	if (t->flags & COND)
		opc |= (rnd() >> 20) & 15;
	if (t->ext == OPREG)
		opc |= rm & 7;
	*c = (struct test_case){.t = t};
	*op = (struct op){.fn = t->fn, .form = t->form, .seg = SEG_DS, .opcode = (u8)opc};
	op->size = pick_size(t);
	op->asize = rnd() % 8 ? 8 : 4;
	make_regs(c);
	if (mem && t->flags & STACK && rnd() & 1)
		rm = RSP;
	else if (mem) /* no SIB byte, no displacement of its own */
		rm = (u8[]){RBX, RSI, RDI, R8, R11, R13}[(rnd() >> 8) % 6];
	/* A bit number in memory reaches no further than the guard pages, for our own sake. */
	if (t->flags & BITS && (mem || rnd() & 1))
		c->in.gpr[reg] = rnd() & 1 ? (u64)(i8)rnd() : (u64)(i16)rnd();
	w = op->size == 8 && !(t->flags & (STACK | SIZED_1)) && t->fn != exec_cmpxchg8b;
	w |= t->fn == exec_cmpxchg16b;
	if (t->fn == exec_cmpxchg16b || t->fn == exec_cmpxchg8b)
		op->size = 8;
	rex = (w ? 8 : 0) | (t->ext == REG && reg >= 8 ? 4 : 0) |
	      (t->ext != NO_MODRM && rm >= 8 ? 1 : 0);
	if (rex || rnd() % 4 == 0)
		rex |= 0x40;
	if (t->ext != NO_MODRM)
		make_operands(c, mem, rex, reg, rm);
	if (op->flags & OP_MEM && op->base == RSP)
		op->seg = SEG_SS;
	if (op->asize == 4)
		op->flags |= OP_EA_SLOW;
	if (mem && t->flags & LOCKS && rnd() & 1)
		op->flags |= OP_LOCK;
	if (t->flags & CL)
		op->flags |= OP_CL;
	make_prefixes(c, t->flags & STRING && rnd() % 4);
	if (rex)
		put(c, rex, 1);
	for (n = opc >> 16 ? 3 : opc >> 8 ? 2 : 1; n; n--)
		put(c, opc >> (8 * n - 8), 1);
	if (modrm) {
		n = t->ext == REG ? reg & 7 : t->ext;
		put(c, (op->flags & OP_MEM ? 0x40 : 0xc0) | n << 3 | (rm & 7), 1);
		if (op->flags & OP_MEM && rm == RSP)
			put(c, 0x24, 1);
		if (op->flags & OP_MEM)
			put(c, (u8)op->disp, 1);
	}
	op->imm = immediate(c, &n);
	put(c, op->imm, n);
	op->len = (u8)c->len;
}

static bool same(const struct outcome *a, const struct outcome *b, u64 flag_mask)
{
	return !memcmp(a->r.gpr, b->r.gpr, sizeof(a->r.gpr)) && a->vector == b->vector &&
	       a->error == b->error && a->addr == b->addr &&
	       !((a->r.flags ^ b->r.flags) & flag_mask);
}

static void print_outcome(const char *who, const struct outcome *o)
{
	unsigned i;

	printf("%s: vector %d error %llx addr %llx flags %llx\n", who, o->vector,
	       (long long)o->error, (long long)o->addr, (long long)o->r.flags);
	for (i = 0; i < 16; i++)
		printf("%16llx%c", (long long)o->r.gpr[i], i % 4 == 3 ? '\n' : ' ');
}

static u8 image[BUF], host_mem[BUF];

static void print_failure(const struct test_case *c, u64 seed, const struct outcome *host,
			  const struct outcome *ours)
{
	unsigned i;

	printf("FAIL %s size %u: exec_test SEED %#llx:", c->t->name, c->op.size, (long long)seed);
	for (i = 0; i < c->len; i++)
		printf(" %02x", c->bytes[i]);
	printf("%s\n", test_slow ? " (slow memory)" : "");
	print_outcome("in  ", &(struct outcome){.r = c->in, .vector = -1});
	print_outcome("host", host);
	print_outcome("ours", ours);
	for (i = 0; i < BUF; i++) {
		if (host_mem[i] != test_buf[i]) {
			printf("memory at %p: host %02x ours %02x\n", (void *)(test_buf + i),
			       host_mem[i], test_buf[i]);
			break;
		}
	}
}

/* Double shifts by a word's width (OF) or more (all) are undefined; we do as an AMD does. */
static bool undefined(const struct test_case *c, bool amd)
{
	u64 n = c->t->flags & CL ? c->in.gpr[RCX] : c->op.imm;

	if ((c->t->fn == exec_shld || c->t->fn == exec_shrd) && c->op.size == 2 && !amd)
		return (n & 31) >= 16;
	return false;
}

static bool run_case(u64 seed, bool amd)
{
	struct outcome host, ours;
	struct test_case c;
	u64 mask;

	rng = (seed ^ seed >> 29) * 0xbf58476d1ce4e5b9ull;
	rng ^= rng >> 32;
	rnd();
	test_slow = (rnd() >> 8) % 4 == 0;
	memcpy(test_buf, image, BUF);
	make_case(&c, &templates[(rnd() >> 8) % ARRAY_SIZE(templates)]);
	if (undefined(&c, amd))
		return true;
	mask = (FL_ARITH | FL_DF | FL_IF) & ~(u64)(amd ? 0 : c.t->undef);

	test_host_run(c.bytes, c.len, &c.in, &host);
	if (!amd && host.vector >= 0)
		mask &= ~(u64)FL_ARITH; /* CMPS, SCAS: Intel restores the flags */
	memcpy(host_mem, test_buf, BUF);
	memcpy(test_buf, image, BUF);
	test_guest_run(&c.op, &c.in, &ours);
	if (same(&host, &ours, mask) && !memcmp(host_mem, test_buf, BUF))
		return true;
	/* It has two operands that may fault: hosts differ in which one they read first. */
	if (c.t->fn == exec_cmps && host.vector >= 0 && ours.vector >= 0)
		return true;
	print_failure(&c, seed, &host, &ours);
	return false;
}

static bool host_is_amd(void)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_AMD_ebx;
}

int main(int argc, char **argv)
{
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, failed = 0, i;
	bool amd = host_is_amd();

	test_host_init();
	test_guest_init();
	rng = seed;
	for (i = 0; i < BUF; i++) /* few distinct bytes: comparisons go on for a while */
		image[i] = rnd() % 4 ? 0x41 : (u8)(rnd() >> 8);
	if (argc > 2) {
		test_guest_forget();
		return !run_case(strtoull(argv[2], NULL, 0), amd);
	}
	for (i = 0; i < NR_CASES && failed < 20; i++) {
		if (i % 64 == 0)
			test_guest_forget();
		failed += !run_case((seed << 32) + i + 1, amd);
	}
	printf("%llu cases, %llu failed\n", (long long)i, (long long)failed);
	return failed != 0;
}
