/* SPDX-License-Identifier: MIT */
/*
 * decode_test.c - the table of instructions is consistent; what the decoder makes of chosen
 * encodings.  decode_zydis_test.c judges the rest.
 */
#include <stdio.h>

#include "isa/x86/insn.h"

static unsigned failures;

#define CHECK(cond, ...)                                       \
	do {                                                   \
		if (!(cond)) {                                 \
			printf("%s:%d: ", __FILE__, __LINE__); \
			printf(__VA_ARGS__);                   \
			printf(": %s\n", #cond);               \
			failures++;                            \
		}                                              \
	} while (0)

/* --- the table ------------------------------------------------------------------------------ */

static bool kind_needs_modrm(enum operand_kind k)
{
	switch (k) {
	case OK_RM:
	case OK_RM_REG:
	case OK_REG:
	case OK_MEM:
	case OK_SREG:
	case OK_CREG:
	case OK_DREG:
	case OK_VREG:
	case OK_VRM:
	case OK_VRM_REG:
	case OK_MMX:
	case OK_MMX_RM:
	case OK_MMX_RM_REG:
	case OK_STI: return true;
	default: return false;
	}
}

static bool is_rm(enum operand_kind k)
{
	return k == OK_RM || k == OK_MEM;
}

static unsigned nr_set(u32 v)
{
	return (unsigned)__builtin_popcount(v);
}

static void check_row(const struct insn *r)
{
	enum operand_kind dst = operands[r->dst].kind, src = operands[r->src].kind;
	const char *n = r->name;

	CHECK(n[0] && r->fn && r->ref && r->ref[0], "row of %02x %s", r->op, n);
	CHECK(r->dst < NR_OPERANDS && r->src < NR_OPERANDS && r->imm < NR_OPERANDS, "%s", n);
	CHECK(r->feature < NR_FEATURES, "%s", n);
	CHECK(!(r->fl_out & r->fl_undef) && !(r->fl_out & r->fl_maybe), "flags of %s", n);
	CHECK(nr_set(r->attr & (A_NO64 | A_ONLY64)) <= 1, "%s", n);
	CHECK(nr_set(r->attr & (A_DEF64 | A_FORCE64)) <= 1, "%s", n);
	CHECK(nr_set(r->attr & (A_RMW | A_WO)) <= 1, "%s", n);
	CHECK(nr_set(r->attr & (A_ENDS | A_SYNC)) <= 1, "%s", n);
	CHECK(nr_set(r->attr & (A_REXW | A_NOREXW)) <= 1, "%s", n);
	CHECK(nr_set(r->attr & (A_REXB | A_NOREXB)) <= 1, "%s", n);
	CHECK(!(r->attr & A_CPL0) || r->attr & A_UNTESTABLE, "%s", n);
	CHECK(!(r->attr & A_LOCK) || (is_rm(dst) && r->attr & A_RMW), "LOCK %s", n);
	CHECK(!(r->attr & (A_RMW | A_WO)) || r->dst != OPND__, "what does %s write", n);
	if (kind_needs_modrm(dst) || kind_needs_modrm(src))
		CHECK(r->mrm != MRM_NONE, "%s has no ModRM", n);
}

/* Is there a ModRM byte that fits both? */
static bool modrm_overlap(unsigned a, unsigned b)
{
	if ((a & MRM_MOD_REG && b & MRM_MOD_MEM) || (a & MRM_MOD_MEM && b & MRM_MOD_REG))
		return false;
	if (a & MRM_EXT && b & MRM_EXT && (a & 7) != (b & 7))
		return false;
	if (a & MRM_RM && b & MRM_RM && (a >> 3 & 7) != (b >> 3 & 7))
		return false;
	return true;
}

static bool attr_apart(u32 a, u32 b)
{
	return (a & A_NO64 && b & A_ONLY64) || (a & A_REXW && b & A_NOREXW) ||
	       (a & A_REXB && b & A_NOREXB);
}

/* Do VEX.W or the vector length tell them apart? */
static bool vex_apart(const struct insn *a, const struct insn *b)
{
	return (a->vex_w && b->vex_w && !(a->vex_w & b->vex_w)) ||
	       (a->vex_l && b->vex_l && !(a->vex_l & b->vex_l));
}

/* No encoding has two rows, but for a mandatory prefix that wins over PFX_ANY. */
static void check_pair(const struct insn *a, const struct insn *b)
{
	if (a->map != b->map || a->op != b->op)
		return;
	CHECK((a->mrm == MRM_NONE) == (b->mrm == MRM_NONE), "%s and %s: ModRM or not", a->name,
	      b->name);
	if (a->pfx != b->pfx || !modrm_overlap(a->mrm, b->mrm))
		return;
	CHECK(attr_apart(a->attr, b->attr) || attr_apart(b->attr, a->attr) || vex_apart(a, b),
	      "%s and %s have the same key %u %02x", a->name, b->name, a->map, a->op);
}

static void test_table(void)
{
	CHECK(insns[ROW_BAD].map == MAP_NONE && insns[ROW_TOO_LONG].map == MAP_NONE, "first rows");
	for (unsigned i = 0; i < nr_insns; i++) {
		check_row(&insns[i]);
		for (unsigned j = i + 1; j < nr_insns; j++)
			check_pair(&insns[i], &insns[j]);
	}
}

static void test_operands(void)
{
	for (unsigned i = 0; i < NR_OPERANDS; i++) {
		const struct operand_desc *o = &operands[i];

		CHECK(o->name && o->name[0], "operand %u", i);
		CHECK(o->kind != OK_REG || !o->mem, "%s", o->name);
		CHECK(o->kind != OK_RM || (o->size && o->mem), "%s", o->name);
	}
}

/* --- the decoder ----------------------------------------------------------------------------- */

#define OFF(reg) ((reg)*8)

/* Only fields named in a case are compared; those left out are 0 in both, or not looked at. */
struct expect {
	enum code_size cs;
	const char *bytes; /* hex */
	const char *name;
	enum op_form form;
	u8 size, reg, rm;
	u64 imm;
	unsigned flags; /* all but OP_EA_SLOW */
};

static const struct expect cases[] = {
	/* One function for all encodings. */
	{CODE64, "04fb", "add", FORM_RM_IMM, 1, 0, OFF(RAX), (u64)-5, 0},
	{CODE64, "4883c3fb", "add", FORM_RM_IMM, 8, 0, OFF(RBX), (u64)-5, OP_REX_W},
	{CODE64, "4991", "xchg", FORM_RM_REG, 8, OFF(RAX), OFF(R9), 0, OP_REX_W},
	{CODE64, "87d9", "xchg", FORM_RM_REG, 4, OFF(RBX), OFF(RCX), 0, 0},
	{CODE64, "41ffc7", "inc", FORM_RM, 4, 0, OFF(R15), 0, 0},
	{CODE32, "47", "inc", FORM_RM, 4, 0, OFF(RDI), 0, 0},
	{CODE64, "d1e0", "shl", FORM_RM_IMM, 4, 0, OFF(RAX), 1, 0},
	{CODE64, "d3e0", "shl", FORM_RM_IMM, 4, 0, OFF(RAX), 0, OP_CL},
	{CODE64, "0fa5c8", "shld", FORM_RM_REG_IMM, 4, OFF(RCX), OFF(RAX), 0, OP_CL},
	{CODE64, "69c810270000", "imul", FORM_REG_RM_IMM, 4, OFF(RCX), OFF(RAX), 10000, 0},
	/* Byte registers, with and without REX. */
	{CODE64, "88e0", "mov", FORM_RM_REG, 1, 1, OFF(RAX), 0, 0},
	{CODE64, "4088e0", "mov", FORM_RM_REG, 1, OFF(RSP), OFF(RAX), 0, 0},
	{CODE64, "b77f", "mov", FORM_RM_IMM, 1, 0, OFF(RBX) + 1, 0x7f, 0},
	{CODE64, "0fb6c4", "movzx", FORM_REG_RM, 4, 0, 1, 0, 0},
	/* Operand sizes. */
	{CODE64, "66b83412", "mov", FORM_RM_IMM, 2, 0, 0, 0x1234, OP_O32},
	{CODE64, "48b8f0debc9a78563412", "mov", FORM_RM_IMM, 8, 0, 0, 0x123456789abcdef0, OP_REX_W},
	{CODE64, "48c7c0ffffffff", "mov", FORM_RM_IMM, 8, 0, 0, ~0ull, OP_REX_W},
	{CODE16, "b83412", "mov", FORM_RM_IMM, 2, 0, 0, 0x1234, 0},
	{CODE64, "55", "push", FORM_RM, 8, 0, OFF(RBP), 0, 0},
	{CODE64, "6655", "push", FORM_RM, 2, 0, OFF(RBP), 0, OP_O32},
	{CODE64, "6aff", "push", FORM_IMM, 8, 0, 0, ~0ull, 0},
	{CODE64, "4898", "cbw", FORM_NONE, 8, 0, 0, 0, OP_REX_W},
	{CODE64, "480f20c0", "mov", FORM_RM_REG, 8, 0, 0, 0, OP_REX_W},
	{CODE64, "440f22c0", "mov", FORM_REG_RM, 8, 8, 0, 0, 0},
	{CODE32, "0f2200", "mov", FORM_REG_RM, 4, 0, 0, 0, 0}, /* mod is ignored */
	/* Near branches of 64-bit code have one size. */
	{CODE64, "66e810000000", "call", FORM_IMM, 8, 0, 0, 0x10, OP_O32},
	{CODE32, "66e81000", "call", FORM_IMM, 2, 0, 0, 0x10, OP_O32},
	{CODE64, "0f84f0ffffff", "jz", FORM_IMM, 8, 0, 0, (u64)-16, 0},
	{CODE64, "c3", "ret", FORM_NONE, 8, 0, 0, 0, 0},
	{CODE64, "c20800", "ret", FORM_IMM, 8, 0, 0, 8, 0},
	/* A REX not right before the opcode is ignored. */
	{CODE64, "4866b83412", "mov", FORM_RM_IMM, 2, 0, 0, 0x1234, OP_O32},
	{CODE64, "4840b878563412", "mov", FORM_RM_IMM, 4, 0, 0, 0x12345678, 0},
	/* Which prefix is mandatory. */
	{CODE64, "90", "nop", FORM_NONE, 4, 0, 0, 0, 0},
	{CODE64, "f390", "pause", FORM_NONE, 4, 0, 0, 0, 0},
	{CODE64, "4190", "xchg", FORM_RM_REG, 4, 0, OFF(R8), 0, 0},
	{CODE64, "0fbcc1", "bsf", FORM_REG_RM, 4, 0, OFF(RCX), 0, 0},
	{CODE64, "66f30fbcc1", "tzcnt", FORM_REG_RM, 2, 0, OFF(RCX), 0, OP_O32},
	{CODE64, "f20fbcc1", "bsf", FORM_REG_RM, 4, 0, OFF(RCX), 0, OP_REPNE},
	{CODE64, "66f20f38f1c1", "crc32", FORM_REG_RM, 2, 0, OFF(RCX), 0, OP_O32},
	{CODE64, "f2480f38f0c1", "crc32", FORM_REG_RM, 1, 0, OFF(RCX), 0, OP_REX_W},
	{CODE64, "f30f1efa", "nop", FORM_RM, 4, 0, OFF(RDX), 0, OP_REP},
	{CODE64, "f2f3a4", "movs", FORM_NONE, 1, 0, 0, 0, OP_REP},
	/* Immediates of their own kind. */
	{CODE64, "c8100002", "enter", FORM_IMM, 8, 0, 0, 0x20010, 0},
	{CODE32, "ea785634120800", "jmp", FORM_IMM, 4, 0, 0, 0x812345678, 0},
	{CODE16, "9a78563412", "call", FORM_IMM, 2, 0, 0, 0x123400005678, 0},
	{CODE64, "0fb208", "lss", FORM_REG_RM, 4, OFF(RCX), 0, SEG_SS, OP_MEM},
	{CODE32, "c408", "les", FORM_REG_RM, 4, OFF(RCX), 0, SEG_ES, OP_MEM},
	{CODE64, "e480", "in", FORM_RM_IMM, 1, 0, 0, 0x80, 0},
	/* Segment registers. */
	{CODE64, "8ed0", "mov", FORM_REG_RM, 2, SEG_SS, 0, 0, 0},
	{CODE64, "0fa8", "push", FORM_REG, 8, SEG_GS, 0, 0, 0},
	{CODE32, "1e", "push", FORM_REG, 4, SEG_DS, 0, 0, 0},
	/* LOCK. */
	{CODE64, "f0480fc70f", "cmpxchg16b", FORM_RM, 16, 0, 0, 0, OP_MEM | OP_LOCK | OP_REX_W},
	{CODE64, "f00107", "add", FORM_RM_REG, 4, 0, 0, 0, OP_MEM | OP_LOCK},
	{CODE64, "f001c0", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "f00307", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "f08b07", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "f03907", "bad", 0, 0, 0, 0, 0, 0},
	/* Not here. */
	{CODE64, "06", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "c4e0f977", "bad", 0, 0, 0, 0, 0, 0}, /* VEX without a map */
	{CODE64, "48c5f877", "bad", 0, 0, 0, 0, 0, 0}, /* REX before it */
	{CODE64, "62f17c", "bad", 0, 0, 0, 0, 0, 0},   /* EVEX */
	{CODE64, "8fe9", "bad", 0, 0, 0, 0, 0, 0},     /* XOP */
	{CODE64, "0f01c1", "bad", 0, 0, 0, 0, 0, 0},   /* VMCALL */
	{CODE64, "0f01d9", "bad", 0, 0, 0, 0, 0, 0},   /* VMMCALL */
	{CODE64, "0f20c8", "bad", 0, 0, 0, 0, 0, 0},   /* CR1 */
	{CODE64, "8ec8", "bad", 0, 0, 0, 0, 0, 0},     /* MOV CS */
	{CODE64, "8ef0", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "f30f54c0", "bad", 0, 0, 0, 0, 0, 0},
	{CODE64, "8dc0", "bad", 0, 0, 0, 0, 0, 0},
	/* Vectors: sizes are of the memory operand. */
	{CODE64, "660f6f07", "movdqa", FORM_REG_RM, 16, 0, 0, 0, OP_MEM | OP_O32},
	{CODE64, "f3440f104704", "movss", FORM_REG_RM, 4, 8, 0, 0, OP_MEM},
	{CODE64, "0f6fc1", "movq", FORM_REG_RM, 8, 0, 1, 0, 0},
};

static unsigned unhex(const char *hex, u8 *out)
{
	unsigned n = 0, b;

	while (sscanf(hex + 2 * n, "%2x", &b) == 1)
		out[n++] = (u8)b;
	return n;
}

/* The case itself, then with fewer bytes: it says so, or that it is no instruction anyway. */
static void check_case(const struct expect *x)
{
	u8 bytes[16] = {0};
	unsigned n = unhex(x->bytes, bytes);
	bool bad = !strcmp(x->name, "bad");
	struct op op;
	int len = x86_decode(bytes, 15, x->cs, 0x100, &op);

	CHECK(!strcmp(insns[op.row].name, x->name), "%s is %s", x->bytes, insns[op.row].name);
	CHECK(op.fn == insns[op.row].fn && op.off == 0x100, "%s", x->bytes);
	if (bad) {
		CHECK(len < 0 && op.row == ROW_BAD && op.len, "%s", x->bytes);
		return;
	}
	CHECK(len == (int)n && op.len == n, "%s has length %d", x->bytes, len);
	CHECK(op.form == x->form, "%s has form %u", x->bytes, op.form);
	CHECK(op.size == x->size, "%s has size %u", x->bytes, op.size);
	CHECK(op.reg == x->reg && op.rm == x->rm, "%s: reg %u rm %u", x->bytes, op.reg, op.rm);
	CHECK(op.imm == x->imm, "%s: imm %#llx", x->bytes, (unsigned long long)op.imm);
	CHECK((op.flags & ~OP_EA_SLOW) == x->flags, "%s: flags %#x", x->bytes, op.flags);
	for (unsigned i = 0; i < n; i++)
		CHECK(!x86_decode(bytes, i, x->cs, 0, &op), "%u bytes of %s", i, x->bytes);
}

static void test_cases(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
}

static const struct address {
	enum code_size cs;
	const char *bytes;
	u8 base, index, scale, seg, asize;
	i32 disp;
	bool slow;
} addresses[] = {
	{CODE64, "8b07", RDI, GPR_ZERO, 0, SEG_DS, 8, 0, false},
	{CODE64, "8b4508", RBP, GPR_ZERO, 0, SEG_SS, 8, 8, false},
	{CODE64, "418b4508", R13, GPR_ZERO, 0, SEG_DS, 8, 8, false},
	{CODE64, "8b0424", RSP, GPR_ZERO, 0, SEG_SS, 8, 0, false},
	{CODE64, "418b0424", R12, GPR_ZERO, 0, SEG_DS, 8, 0, false},
	{CODE64, "428b04a7", RDI, R12, 2, SEG_DS, 8, 0, false},
	{CODE64, "8b04c5f0ffffff", GPR_ZERO, RAX, 3, SEG_DS, 8, -16, false},
	{CODE64, "418b04c5f0ffffff", GPR_ZERO, RAX, 3, SEG_DS, 8, -16, false},
	{CODE64, "658b042528000000", GPR_ZERO, GPR_ZERO, 0, SEG_GS, 8, 0x28, false},
	{CODE64, "65368b07", RDI, GPR_ZERO, 0, SEG_GS, 8, 0, false}, /* 36 is ignored */
	{CODE64, "2e8b4500", RBP, GPR_ZERO, 0, SEG_SS, 8, 0, false},
	{CODE64, "678b07", RDI, GPR_ZERO, 0, SEG_DS, 4, 0, true},
	{CODE32, "8b4500", RBP, GPR_ZERO, 0, SEG_SS, 4, 0, true},
	{CODE32, "3e8b4500", RBP, GPR_ZERO, 0, SEG_DS, 4, 0, true},
	{CODE32, "8b0578563412", GPR_ZERO, GPR_ZERO, 0, SEG_DS, 4, 0x12345678, true},
	{CODE16, "8b42fe", RBP, RSI, 0, SEG_SS, 2, -2, true},
	{CODE16, "8b067856", GPR_ZERO, GPR_ZERO, 0, SEG_DS, 2, 0x5678, true},
	{CODE16, "678b0424", RSP, GPR_ZERO, 0, SEG_SS, 4, 0, true},
	/* GPR_PC is where the page begins: displacements count from there. */
	{CODE64, "8b0510000000", GPR_PC, GPR_ZERO, 0, SEG_DS, 8, 0x10 + 0x100 + 6, false},
	{CODE64, "c7051000000000000000", GPR_PC, GPR_ZERO, 0, SEG_DS, 8, 0x10 + 0x100 + 10, false},
	{CODE64, "8b05ffffff7f", GPR_PC, GPR_ZERO, 0, SEG_DS, 8, 0x7fffffff, true},
	{CODE64, "678b0510000000", GPR_PC, GPR_ZERO, 0, SEG_DS, 4, 0x10, true},
	/* moffs: the address is in imm. */
	{CODE64, "a1f0debc9a78563412", GPR_ZERO, GPR_ZERO, 0, SEG_DS, 8, 0, true},
	/* Strings name their source's segment. */
	{CODE64, "64a4", GPR_ZERO, GPR_ZERO, 0, SEG_FS, 8, 0, false},
	{CODE16, "2ea4", GPR_ZERO, GPR_ZERO, 0, SEG_CS, 2, 0, false},
};

static void test_addresses(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
		const struct address *a = &addresses[i];
		u8 bytes[16] = {0};
		unsigned n = unhex(a->bytes, bytes);
		struct op op;

		CHECK(x86_decode(bytes, 15, a->cs, 0x100, &op) == (int)n, "%s", a->bytes);
		CHECK(op.base == a->base && op.index == a->index && op.scale == a->scale,
		      "%s: base %u index %u scale %u", a->bytes, op.base, op.index, op.scale);
		CHECK(op.seg == a->seg && op.asize == a->asize, "%s: seg %u asize %u", a->bytes,
		      op.seg, op.asize);
		CHECK(op.disp == a->disp, "%s: disp %#x", a->bytes, (unsigned)op.disp);
		CHECK(!(op.flags & OP_EA_SLOW) == !a->slow, "%s", a->bytes);
	}
}

/* Fifteen bytes are an instruction, sixteen are not, however few are there to be read. */
static void test_length_limit(void)
{
	u8 bytes[32];
	struct op op;

	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = 0x90;
	CHECK(x86_decode(bytes, 15, CODE64, 0, &op) == 15, "15 bytes");
	bytes[14] = 0x66;
	bytes[15] = 0x90;
	CHECK(x86_decode(bytes, 16, CODE64, 0, &op) < 0 && op.row == ROW_TOO_LONG, "16 bytes");
	CHECK(x86_decode(bytes, 15, CODE64, 0, &op) < 0 && op.row == ROW_TOO_LONG, "16, 15 seen");
	CHECK(x86_decode(bytes, 14, CODE64, 0, &op) == 0, "14 prefixes, more to come");
	CHECK(x86_decode(bytes, 0, CODE64, 0, &op) == 0, "no byte at all");
}

/* What TZCNT is without BMI1; what anything else is without its feature. */
static void test_without_feature(void)
{
	static const u8 tzcnt[15] = {0xf3, 0x0f, 0xbc, 0xc1};
	static const u8 popcnt[15] = {0xf3, 0x0f, 0xb8, 0xc1};
	struct op op;

	x86_decode(tzcnt, 15, CODE64, 0, &op);
	x86_op_without_feature(&op);
	CHECK(!strcmp(insns[op.row].name, "bsf") && op.fn == insns[op.row].fn, "tzcnt");
	CHECK(op.flags & OP_REP && op.len == 4, "tzcnt");
	x86_decode(popcnt, 15, CODE64, 0, &op);
	x86_op_without_feature(&op);
	CHECK(op.row == ROW_BAD && op.len == 4, "popcnt");
}

int main(void)
{
	test_table();
	test_operands();
	test_cases();
	test_addresses();
	test_length_limit();
	test_without_feature();
	printf("%u rows, %u failures\n", nr_insns, failures);
	return failures != 0;
}
