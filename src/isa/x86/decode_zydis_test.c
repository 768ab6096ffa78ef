/* SPDX-License-Identifier: MIT */
/*
 * decode_zydis_test.c - the decoder against Zydis: lengths, mnemonics, operands.
 *
 *   decode_zydis_test [SEED [COUNT]]      every row of the table, then random bytes, in
 *                                         16-, 32- and 64-bit code
 *   decode_zydis_test --hex BITS BYTES    one case, as printed by a failure
 *   decode_zydis_test --elf FILE          all code of a 64- or 32-bit ELF file (a vmlinux)
 *
 * Differences that are accepted, with the reason, are those of is_accepted() and of the
 * mnemonics in aliases[].
 */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "isa/x86/insn.h"

struct tc {
	enum code_size cs;
	u8 bytes[32];
	unsigned avail;
	unsigned page_off;

	struct op op;
	int len;
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	bool z_ok;
	ZyanStatus z_status;
	char why[160];
};

static const unsigned code_bits[] = {16, 32, 64};

/* Our names and Zydis's, where they differ. */
static const struct {
	const char *ours;
	const char *theirs[8]; /* any of these */
} aliases[] = {
	{"fndisi", {"fdisi8087_nop"}},
	{"fneni", {"feni8087_nop"}},
	{"fnsetpm", {"fsetpm287_nop"}},
	{"fstp", {"fstpnce"}},
	{"fxrstor", {"fxrstor64"}},
	{"fxsave", {"fxsave64"}},
	{"kmovd", {"kmovq"}},
	{"movd", {"movq"}},
	{"nop", {"prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2"}},
	{"pextrd", {"pextrq"}},
	{"pinsrd", {"pinsrq"}},
	{"prefetchw", {"prefetch", "prefetchwt1"}},
	{"retf", {"ret"}},
	{"vmovd", {"vmovq"}},
	{"vpbroadcastd", {"vpbroadcastq"}},
	{"xrstor", {"xrstor64"}},
	{"xsave", {"xsave64"}},
	{"xrstors", {"xrstors64"}},
	{"xsaves", {"xsaves64"}},
	{"xsavec", {"xsavec64"}},
	{"xsaveopt", {"xsaveopt64"}},
};

/* One instruction for us, for Zydis one name for each size (1, 2, 4, 8) of operand or address. */
static const struct {
	const char *ours;
	bool by_asize;
	const char *theirs[4];
} sized_names[] = {
	{"cbw", false, {"", "cbw", "cwde", "cdqe"}},
	{"cmps", false, {"cmpsb", "cmpsw", "cmpsd", "cmpsq"}},
	{"cwd", false, {"", "cwd", "cdq", "cqo"}},
	{"ins", false, {"insb", "insw", "insd", ""}},
	{"iret", false, {"", "iret", "iretd", "iretq"}},
	{"jcxz", true, {"", "jcxz", "jecxz", "jrcxz"}},
	{"lods", false, {"lodsb", "lodsw", "lodsd", "lodsq"}},
	{"movs", false, {"movsb", "movsw", "movsd", "movsq"}},
	{"outs", false, {"outsb", "outsw", "outsd", ""}},
	{"popa", false, {"", "popa", "popad", ""}},
	{"popf", false, {"", "popf", "popfd", "popfq"}},
	{"pusha", false, {"", "pusha", "pushad", ""}},
	{"pushf", false, {"", "pushf", "pushfd", "pushfq"}},
	{"scas", false, {"scasb", "scasw", "scasd", "scasq"}},
	{"stos", false, {"stosb", "stosw", "stosd", "stosq"}},
};

/* --- one case ------------------------------------------------------------------------------- */

static void print_case(const struct tc *t)
{
	printf("%s\n  rerun: decode_zydis_test --hex %u ", t->why, code_bits[t->cs]);
	for (unsigned i = 0; i < (t->avail < 15 ? t->avail : 15); i++)
		printf("%02x", t->bytes[i]);
	printf("\n  sundog: %s len %d form %u size %u reg %u rm %u base %u index %u scale %u "
	       "disp %#x imm %#llx seg %u asize %u flags %#x\n",
	       insns[t->op.row].name, t->len, t->op.form, t->op.size, t->op.reg, t->op.rm,
	       t->op.base, t->op.index, t->op.scale, (unsigned)t->op.disp,
	       (unsigned long long)t->op.imm, t->op.seg, t->op.asize, t->op.flags);
	if (!t->z_ok) {
		printf("  zydis: status %#x\n", t->z_status);
		return;
	}
	printf("  zydis: %s len %u", ZydisMnemonicGetString(t->zi.mnemonic), t->zi.length);
	for (unsigned i = 0; i < t->zi.operand_count; i++) {
		const ZydisDecodedOperand *o = &t->zo[i];

		printf("; %s%u",
		       o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT   ? "e"
		       : o->visibility == ZYDIS_OPERAND_VISIBILITY_IMPLICIT ? "i"
									    : "h",
		       o->size);
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			printf(" %s", ZydisRegisterGetString(o->reg.value));
		if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			printf(" imm %#llx", (unsigned long long)o->imm.value.u);
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			printf(" mem %s:%s+%s*%u+%#llx", ZydisRegisterGetString(o->mem.segment),
			       ZydisRegisterGetString(o->mem.base),
			       ZydisRegisterGetString(o->mem.index), o->mem.scale,
			       (unsigned long long)o->mem.disp.value);
	}
	printf(" ext %s\n", ZydisISAExtGetString(t->zi.meta.isa_ext));
}

#define DIFF(t, ...) (snprintf((t)->why, sizeof((t)->why), __VA_ARGS__), false)

static ZydisRegister zydis_gpr(unsigned off, unsigned size)
{
	unsigned n = off / 8;

	switch (size) {
	case 1:
		if (off % 8)
			return ZYDIS_REGISTER_AH + n;
		return n < 4   ? ZYDIS_REGISTER_AL + n
		       : n < 8 ? ZYDIS_REGISTER_SPL + n - 4
			       : ZYDIS_REGISTER_R8B + n - 8;
	case 2: return ZYDIS_REGISTER_AX + n;
	case 4: return ZYDIS_REGISTER_EAX + n;
	default: return ZYDIS_REGISTER_RAX + n;
	}
}

static ZydisRegister zydis_vec(unsigned n, unsigned bytes)
{
	return (bytes > 32   ? ZYDIS_REGISTER_ZMM0
		: bytes > 16 ? ZYDIS_REGISTER_YMM0
			     : ZYDIS_REGISTER_XMM0) +
	       n;
}

/* VSIB: as many indices as elements, or half of a vector of them. */
static ZydisRegister zydis_vsib(const struct op *op)
{
	unsigned index = op->opcode & 1 ? 8 : 4, elem = op->size > index ? op->size : index;

	return zydis_vec(op->index, (16u << op->vl) / elem * index);
}

static ZydisRegister zydis_slot(unsigned slot, unsigned asize)
{
	if (slot == GPR_ZERO)
		return ZYDIS_REGISTER_NONE;
	if (slot == GPR_PC)
		return asize == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
	return zydis_gpr(slot * 8, asize);
}

static bool same_reg(struct tc *t, const ZydisDecodedOperand *o, ZydisRegister want)
{
	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return DIFF(t, "not a register for Zydis");
	if (o->reg.value != want)
		return DIFF(t, "register %s here, %s for Zydis", ZydisRegisterGetString(want),
			    ZydisRegisterGetString(o->reg.value));
	return true;
}

static bool same_mem(struct tc *t, const ZydisDecodedOperand *o, enum operand token)
{
	const struct op *op = &t->op;
	unsigned bytes = x86_operand_bytes(op, t->cs, token);
	unsigned shift = 64 - 8 * op->asize;
	u64 disp = (u64)(i64)op->disp;

	if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || !(op->flags & OP_MEM))
		return DIFF(t, "memory for one only");
	if (operands[token].kind == OK_MOFFS)
		disp = op->imm;
	if (op->base == GPR_PC && !(op->flags & OP_EA_SLOW))
		disp -= (u64)op->off + op->len;
	/* Zydis 4.0 takes REX.B for a base where there is none, with 67 only; CPUs do not. */
	if (op->asize == 4 && op->base == GPR_ZERO && o->mem.base == ZYDIS_REGISTER_R13D &&
	    op->modrm < 0x40)
		return true;
	if (o->mem.base != zydis_slot(op->base, op->asize) ||
	    o->mem.index != (operands[token].kind == OK_VSIB ? zydis_vsib(op)
							     : zydis_slot(op->index, op->asize)))
		return DIFF(t, "base or index differ");
	if (op->index != GPR_ZERO && o->mem.scale != 1 << op->scale && op->asize != 2)
		return DIFF(t, "scale differs");
	if (disp << shift != (u64)o->mem.disp.value << shift)
		return DIFF(t, "displacement differs");
	if (!strncmp(insns[op->row].name, "cl", 2))
		bytes = 0; /* CLFLUSH, CLWB: a byte is checked, a line is written back */
	if (!strcmp(insns[op->row].name, "movsxd") && op->size == 2)
		bytes = 4; /* 2 on CPUs, for Zydis still 4 */
	if (bytes && o->mem.type == ZYDIS_MEMOP_TYPE_MEM && o->size != bytes * 8)
		return DIFF(t, "%u bytes of memory, %u for Zydis", bytes, o->size / 8);
	if (o->mem.type == ZYDIS_MEMOP_TYPE_MEM && o->mem.segment != ZYDIS_REGISTER_ES + op->seg)
		return DIFF(t, "segment differs");
	return true;
}

static bool same_imm(struct tc *t, const ZydisDecodedOperand *o, enum operand token)
{
	unsigned bytes = x86_operand_bytes(&t->op, t->cs, token);
	u64 v = t->op.imm;

	if (operands[token].kind == OK_FAR_PTR) {
		if (o->type != ZYDIS_OPERAND_TYPE_POINTER || o->ptr.segment != v >> 32 ||
		    o->ptr.offset != (u32)v)
			return DIFF(t, "far pointer differs");
		return true;
	}
	if (o->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return DIFF(t, "not an immediate for Zydis");
	if (operands[token].kind == OK_IMM_ENTER) /* Zydis has two operands */
		return v == (o[0].imm.value.u | o[1].imm.value.u << 16) || DIFF(t, "ENTER differs");
	if (!bytes || operands[token].kind != OK_IMM)
		bytes = 8;
	if ((v ^ o->imm.value.u) << (64 - 8 * bytes))
		return DIFF(t, "immediate %#llx here, %#llx for Zydis", (unsigned long long)v,
			    (unsigned long long)o->imm.value.u);
	return true;
}

static bool same_operand(struct tc *t, const ZydisDecodedOperand *o, enum operand token,
			 bool acc_reg)
{
	const struct operand_desc *desc = &operands[token];
	const struct op *op = &t->op;
	unsigned size = x86_operand_bytes(op, t->cs, token);

	switch ((enum operand_kind)desc->kind) {
	case OK_RM:
		if (op->flags & OP_MEM)
			return same_mem(t, o, token);
		return same_reg(t, o, zydis_gpr(op->rm, size));
	case OK_OPREG:
	case OK_RM_REG: return same_reg(t, o, zydis_gpr(op->rm, size));
	case OK_REG: return same_reg(t, o, zydis_gpr(op->reg, size));
	case OK_MEM:
	case OK_MOFFS: return same_mem(t, o, token);
	case OK_IMM:
	case OK_IMM_SX:
	case OK_IMM_ENTER:
	case OK_REL:
	case OK_FAR_PTR:
	case OK_ONE: return same_imm(t, o, token);
	case OK_SREG:
	case OK_SREG_OP: return same_reg(t, o, ZYDIS_REGISTER_ES + op->reg);
	case OK_CREG: return same_reg(t, o, ZYDIS_REGISTER_CR0 + op->reg);
	case OK_DREG: return same_reg(t, o, ZYDIS_REGISTER_DR0 + op->reg);
	case OK_ACC: return same_reg(t, o, zydis_gpr(acc_reg ? op->reg : op->rm, size));
	case OK_COUNT:
		if (!(op->flags & OP_CL))
			return DIFF(t, "no OP_CL");
		return same_reg(t, o, ZYDIS_REGISTER_CL);
	case OK_PORT: return same_reg(t, o, ZYDIS_REGISTER_DX);
	case OK_XMM0: return same_reg(t, o, ZYDIS_REGISTER_XMM0);
	case OK_STR_SRC:
		if (o->mem.segment != ZYDIS_REGISTER_ES + op->seg ||
		    o->mem.base != zydis_slot(RSI, op->asize))
			return DIFF(t, "string source differs");
		if (o->size != size * 8)
			return DIFF(t, "string size differs");
		return true;
	case OK_STR_DST:
		if (o->mem.base != zydis_slot(RDI, op->asize))
			return DIFF(t, "string destination differs");
		if (o->size != size * 8)
			return DIFF(t, "string size differs");
		return true;
	case OK_VREG: return same_reg(t, o, zydis_vec(op->reg, size));
	case OK_VRM:
	case OK_VRM_REG:
		if (op->flags & OP_MEM)
			return same_mem(t, o, token);
		return same_reg(t, o, zydis_vec(op->rm, size));
	case OK_VVVV: return same_reg(t, o, zydis_vec(op->vvvv, size));
	case OK_GVVVV: return same_reg(t, o, zydis_gpr(op->vvvv, size));
	case OK_IS4: return same_reg(t, o, zydis_vec(op->imm >> 4 & 15, size));
	case OK_VSIB: return same_mem(t, o, token);
	case OK_KREG: return same_reg(t, o, ZYDIS_REGISTER_K0 + op->reg);
	case OK_KVVVV: return same_reg(t, o, ZYDIS_REGISTER_K0 + op->vvvv);
	case OK_KRM:
	case OK_KRM_REG:
		if (op->flags & OP_MEM)
			return same_mem(t, o, token);
		return same_reg(t, o, ZYDIS_REGISTER_K0 + op->rm);
	case OK_MMX: return same_reg(t, o, ZYDIS_REGISTER_MM0 + op->reg);
	case OK_MMX_RM:
	case OK_MMX_RM_REG:
		if (op->flags & OP_MEM)
			return same_mem(t, o, token);
		return same_reg(t, o, ZYDIS_REGISTER_MM0 + op->rm);
	case OK_ST0: return same_reg(t, o, ZYDIS_REGISTER_ST0);
	case OK_STI: return same_reg(t, o, ZYDIS_REGISTER_ST0 + op->rm);
	case OK_SEG_NR: return same_reg(t, o, ZYDIS_REGISTER_ES + (unsigned)op->imm);
	case OK_NONE: break;
	}
	return true;
}

/* Is vvvv written behind the source? */
static bool vvvv_is_last(const struct insn *row)
{
	static const char *const names[] = {"bextr", "bzhi", "sarx", "shlx", "shrx"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(row->name, names[i]))
			return true;
	return operands[row->src].kind == OK_VSIB;
}

static bool same_operands(struct tc *t)
{
	const struct insn *row = &insns[t->op.row];
	const bool out_imm = !strcmp(row->name, "out") && row->imm != OPND__,
		   late = vvvv_is_last(row);
	const u8 tokens[] = {out_imm ? row->imm : row->dst, late ? row->src : row->vvvv,
			     late ? row->vvvv : row->src, out_imm ? OPND__ : row->imm};
	unsigned z = 0;

	if (!strcmp(row->name, "nop") || !strncmp(row->name, "prefetch", 8))
		return true; /* not read */

	for (unsigned i = 0; i < ARRAY_SIZE(tokens); i++) {
		bool acc_reg = i == 2 && operands[row->dst].kind != OK_PORT;

		if (tokens[i] == OPND__)
			continue;
		if (tokens[i] == OPND_ST0 &&
		    (z == t->zi.operand_count || t->zo[z].type != ZYDIS_OPERAND_TYPE_REGISTER ||
		     t->zo[z].reg.value != ZYDIS_REGISTER_ST0))
			continue; /* hidden for Zydis */
		if (z < t->zi.operand_count && t->zo[z].encoding == ZYDIS_OPERAND_ENCODING_MASK) {
			if (!same_reg(t, &t->zo[z++], ZYDIS_REGISTER_K0 + (t->op.evex & EVEX_AAA)))
				return false;
		}
		if (z == t->zi.operand_count)
			return DIFF(t, "Zydis has fewer operands");
		if (!same_operand(t, &t->zo[z], tokens[i], acc_reg))
			return false;
		z++;
	}
	return true;
}

static bool same_name(const struct op *op, const char *theirs)
{
	const char *ours = insns[op->row].name;

	if (!strcmp(ours, theirs))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(sized_names); i++) {
		unsigned size = sized_names[i].by_asize ? op->asize : op->size;

		if (!strcmp(ours, sized_names[i].ours))
			return !strcmp(theirs, sized_names[i].theirs[__builtin_ctz(size)]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (strcmp(ours, aliases[i].ours))
			continue;
		for (unsigned k = 0; k < ARRAY_SIZE(aliases[i].theirs) && aliases[i].theirs[k]; k++)
			if (!strcmp(theirs, aliases[i].theirs[k]))
				return true;
	}
	return false;
}

static bool same(struct tc *t)
{
	if (!t->z_ok && t->z_status == ZYDIS_STATUS_NO_MORE_DATA)
		return t->len == 0 || DIFF(t, "Zydis wants more bytes");
	if (!t->z_ok && t->z_status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return t->op.row == ROW_TOO_LONG || DIFF(t, "too long for Zydis");
	if (!t->z_ok)
		return t->len < 0 || DIFF(t, "not an instruction for Zydis");
	if (t->len < 0)
		return DIFF(t, "an instruction for Zydis");
	if (t->len != t->zi.length)
		return DIFF(t, "length %d here, %u for Zydis", t->len, t->zi.length);
	if (!same_name(&t->op, ZydisMnemonicGetString(t->zi.mnemonic)))
		return DIFF(t, "name %s here, %s for Zydis", insns[t->op.row].name,
			    ZydisMnemonicGetString(t->zi.mnemonic));
	return same_operands(t);
}

/* Extensions that no Sundog guest has: #UD. */
static bool is_unsupported(const ZydisDecodedInstruction *zi)
{
	static const u8 exts[] = {
		ZYDIS_ISA_EXT_AMX_BF16,
		ZYDIS_ISA_EXT_AMX_INT8,
		ZYDIS_ISA_EXT_AMX_TILE,
		ZYDIS_ISA_EXT_AMD3DNOW,
		ZYDIS_ISA_EXT_AMD_INVLPGB,
		ZYDIS_ISA_EXT_CET,
		ZYDIS_ISA_EXT_FMA4,
		ZYDIS_ISA_EXT_AVX_VNNI,
		ZYDIS_ISA_EXT_KNC,
		ZYDIS_ISA_EXT_KNCE,
		ZYDIS_ISA_EXT_KNCV,
		ZYDIS_ISA_EXT_XOP,
		ZYDIS_ISA_EXT_CLZERO,
		ZYDIS_ISA_EXT_ENQCMD,
		ZYDIS_ISA_EXT_HRESET,
		ZYDIS_ISA_EXT_KEYLOCKER,
		ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
		ZYDIS_ISA_EXT_MCOMMIT,
		ZYDIS_ISA_EXT_MONITORX,
		ZYDIS_ISA_EXT_MOVDIR,
		ZYDIS_ISA_EXT_MPX,
		ZYDIS_ISA_EXT_PADLOCK,
		ZYDIS_ISA_EXT_PCONFIG,
		ZYDIS_ISA_EXT_PKU,
		ZYDIS_ISA_EXT_PT,
		ZYDIS_ISA_EXT_RDPRU,
		ZYDIS_ISA_EXT_RTM,
		ZYDIS_ISA_EXT_SERIALIZE,
		ZYDIS_ISA_EXT_SGX,
		ZYDIS_ISA_EXT_SGX_ENCLV,
		ZYDIS_ISA_EXT_SMX,
		ZYDIS_ISA_EXT_SNP,
		ZYDIS_ISA_EXT_SSE4A,
		ZYDIS_ISA_EXT_SVM,
		ZYDIS_ISA_EXT_TDX,
		ZYDIS_ISA_EXT_TSX_LDTRK,
		ZYDIS_ISA_EXT_UINTR,
		ZYDIS_ISA_EXT_VMFUNC,
		ZYDIS_ISA_EXT_VTX,
		ZYDIS_ISA_EXT_WAITPKG,
		ZYDIS_ISA_EXT_XSAVES,
	};

	if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    zi->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
	    zi->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return true;
	static const char *const sets[] = {"AVX512_FP16", "AVX512ER", "AVX512PF", "AVX512_4",
					   "AVX512_VP2INTERSECT"};
	const char *set = ZydisISASetGetString(zi->meta.isa_set);

	for (unsigned i = 0; i < ARRAY_SIZE(exts); i++)
		if (zi->meta.isa_ext == exts[i])
			return true;
	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		if (!strncmp(set, sets[i], strlen(sets[i])))
			return true;
	return false;
}

static bool is_accepted(const struct tc *t)
{
	if (t->len < 0 && t->z_ok && is_unsupported(&t->zi))
		return true;
	/* We may see that it is no instruction before we see that it is too long. */
	if (t->op.row == ROW_BAD && t->z_status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return true;
	/* Rounding of what has 32 bits anyway outside 64-bit code: CPUs take it. */
	if (t->cs != CODE64 && t->op.evex & EVEX_B &&
	    (!strcmp(insns[t->op.row].name, "vcvtusi2sd") ||
	     !strcmp(insns[t->op.row].name, "vcvtsi2sd")))
		return true;
	/* F3 90 with REX.B: CPUs do XCHG. */
	if (t->z_ok && t->zi.mnemonic == ZYDIS_MNEMONIC_PAUSE &&
	    !strcmp(insns[t->op.row].name, "xchg"))
		return true;
	if (t->op.row == ROW_BAD && t->z_ok) {
		switch (t->zi.mnemonic) {
		case ZYDIS_MNEMONIC_RSM: return true; /* no SMM */
		case ZYDIS_MNEMONIC_VPEXTRD:
		case ZYDIS_MNEMONIC_VPEXTRQ:
		case ZYDIS_MNEMONIC_VPINSRD:
		case ZYDIS_MNEMONIC_VPINSRQ:
			return t->cs != CODE64; /* with W: AMD's do not ignore it */
		case ZYDIS_MNEMONIC_SYSCALL:
		case ZYDIS_MNEMONIC_SYSRET: return t->cs != CODE64; /* there on AMD only */
		default: break;
		}
	}
	return false;
}

static ZydisDecoder decoders[3];

static void init_decoders(void)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} m[] = {{ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		 {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		 {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};

	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoderInit(&decoders[i], m[i].mode, m[i].stack);
		/* Without these features the opcodes are hint NOPs. */
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	}
}

static bool run_case(struct tc *t)
{
	t->len = x86_decode(t->bytes, t->avail, t->cs, t->page_off, &t->op);
	t->z_status = ZydisDecoderDecodeFull(&decoders[t->cs], t->bytes, t->avail, &t->zi, t->zo);
	t->z_ok = ZYAN_SUCCESS(t->z_status);
	if (same(t) || is_accepted(t))
		return true;
	/* One may know earlier that it is no instruction: is it none with all bytes, too? */
	if (t->avail < 16 && !t->z_ok &&
	    (t->z_status == ZYDIS_STATUS_NO_MORE_DATA ? t->op.row == ROW_BAD : t->len == 0)) {
		t->avail = 16;
		return run_case(t);
	}
	return false;
}

/* --- where cases come from -------------------------------------------------------------------- */

static u64 rng_state;

static u32 rng(void)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(rng_state >> 33);
}

/* Random bytes, with prefixes and opcode maps more often than chance has them. */
static void random_case(struct tc *t)
{
	static const u8 prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36,
				      0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x44};
	unsigned n = 0;

	t->cs = rng() % 4 ? rng() % 3 : CODE64;
	while (rng() % 3 == 0 && n < 8)
		t->bytes[n++] = prefixes[rng() % ARRAY_SIZE(prefixes)];
	if (rng() % 4 == 0)
		t->bytes[n++] = 0x40 | (rng() & 15);
	if (rng() % 4 == 0) {
		t->bytes[n++] = (u8[]){0xc4, 0xc5, 0x62}[rng() % 3];
		if (t->bytes[n - 1] != 0xc5)
			t->bytes[n++] = (rng() & 0xf0) | (1 + rng() % 3);
	} else if (rng() % 2) {
		t->bytes[n++] = 0x0f;
	}
	if (n && t->bytes[n - 1] == 0x0f && rng() % 4 == 0)
		t->bytes[n++] = rng() % 2 ? 0x38 : 0x3a;
	while (n < sizeof(t->bytes))
		t->bytes[n++] = (u8)rng();
	t->avail = rng() % 8 ? 16 : 1 + rng() % 15;
	t->page_off = rng() % 4096;
}

/* A VEX or EVEX prefix for the row, with a segment before it or not; now and then a wrong one. */
static unsigned vex_prefix(struct tc *t, const struct insn *row)
{
	static const u8 pp[] = {[PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3};
	unsigned n = 0, w = row->vex_w ? row->vex_w == W_W1 : rng() & 1;
	unsigned vvvv = row->vvvv == OPND__ && rng() % 16 ? 15 : rng() & 15, l;
	bool evex = map_is_evex(row->map);

	do
		l = rng() % (evex ? 3 : 2);
	while (row->vex_l && !(row->vex_l >> l & 1));
	if (rng() % 4 == 0)
		t->bytes[n++] = rng() & 1 ? 0x65 : 0x67;
	if (evex) {
		unsigned k = row->evex & EV_MUST ? 1 + rng() % 7 : row->evex & EV_K ? rng() & 7 : 0;

		t->bytes[n++] = 0x62;
		t->bytes[n++] =
			(u8)((t->cs == CODE64 ? rng() & 0xf0 : 0xf0) | (row->map - MAP_E2 + 1));
		t->bytes[n++] = (u8)(w << 7 | vvvv << 3 | 4 | pp[row->pfx]);
		t->bytes[n++] = (u8)(l << 5 | 8 | k | (rng() % 4 ? 0 : rng() & 0x98));
		return n;
	}
	if (row->map == MAP_V2 && !w && rng() & 1) {
		t->bytes[n++] = 0xc5;
		t->bytes[n++] = (u8)((t->cs == CODE64 ? rng() & 0x80 : 0x80) | vvvv << 3 | l << 2 |
				     pp[row->pfx]);
		if (t->cs != CODE64)
			t->bytes[n - 1] |= 0x40;
		return n;
	}
	t->bytes[n++] = 0xc4;
	t->bytes[n++] = (u8)((t->cs == CODE64 ? rng() & 0xe0 : 0xe0) | (row->map - MAP_V2 + 1));
	t->bytes[n++] = (u8)(w << 7 | vvvv << 3 | l << 2 | pp[row->pfx]);
	return n;
}

/* An encoding of this row, with random prefixes and operands. */
static void row_case(struct tc *t, const struct insn *row, enum code_size cs)
{
	static const u8 prefixes[] = {0x67, 0x2e, 0x64, 0x65, 0x36, 0x66, 0xf0};
	static const u8 pfx_byte[] = {[PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2};
	unsigned rex = 0, nr_pfx = row->pfx == PFX_ANY ? 6 : 5, modrm;
	unsigned n = 0;

	t->cs = cs;
	if (row->attr & A_LOCK)
		nr_pfx = 7;
	while (rng() % 3 == 0 && n < 3)
		t->bytes[n++] = prefixes[rng() % nr_pfx];
	if (pfx_byte[row->pfx])
		t->bytes[n++] = pfx_byte[row->pfx];
	if (cs == CODE64 && rng() % 2)
		rex = 0x40 | (rng() & 15);
	if (row->attr & (A_REXW | A_REXB) && cs == CODE64)
		rex |= row->attr & A_REXW ? 0x48 : 0x41;
	if (rex)
		t->bytes[n++] = (u8)rex;
	if (row->map >= MAP_V2) {
		n = vex_prefix(t, row);
	} else {
		if (row->map != MAP_P1)
			t->bytes[n++] = 0x0f;
		if (row->map == MAP_P38 || row->map == MAP_P3A)
			t->bytes[n++] = row->map == MAP_P38 ? 0x38 : 0x3a;
	}
	t->bytes[n++] = row->op;
	modrm = rng() & 0xff;
	if (row->mrm & MRM_MOD_REG)
		modrm |= 0xc0;
	if (row->mrm & MRM_MOD_MEM && modrm >= 0xc0)
		modrm &= 0xbf;
	if (row->mrm & MRM_EXT)
		modrm = (modrm & ~0x38u) | (row->mrm & 7) << 3;
	if (row->mrm & MRM_RM)
		modrm = (modrm & ~7u) | (row->mrm >> 3 & 7);
	if (operands[row->src].kind == OK_VSIB || operands[row->dst].kind == OK_VSIB)
		modrm = (modrm & 0x38) | (rng() & 0x40) | 4;
	if (row->mrm != MRM_NONE)
		t->bytes[n++] = (u8)modrm;
	while (n < sizeof(t->bytes))
		t->bytes[n++] = (u8)rng();
	t->avail = 16;
	t->page_off = rng() % 4096;
}

enum { MAX_SHOWN = 40, CASES_PER_ROW = 200 };

/* Every row of the table is reached and means for Zydis what it means for us. */
static int all_rows(u64 seed)
{
	unsigned bad = 0;

	rng_state = seed;
	for (unsigned r = ROW_TOO_LONG + 1; r < nr_insns; r++) {
		unsigned hits = 0;

		for (unsigned i = 0; i < 3 * CASES_PER_ROW && bad < MAX_SHOWN; i++) {
			struct tc t = {0};

			row_case(&t, &insns[r], i % 3);
			if (!run_case(&t)) {
				print_case(&t);
				bad++;
			}
			hits += t.z_ok && t.len > 0 && t.op.row == r;
		}
		if (!hits && bad < MAX_SHOWN) {
			printf("no encoding found of row %u (%s)\n", r, insns[r].name);
			bad++;
		}
	}
	printf("%u rows, %u bad\n", nr_insns, bad);
	return bad != 0;
}

static int random_cases(u64 seed, unsigned count)
{
	unsigned bad = 0;

	rng_state = seed;
	for (unsigned i = 0; i < count && bad < MAX_SHOWN; i++) {
		struct tc t = {0};

		random_case(&t);
		if (!run_case(&t)) {
			print_case(&t);
			bad++;
		}
	}
	printf("seed %llu: %u random cases, %u bad\n", (unsigned long long)seed, count, bad);
	return bad != 0;
}

static int hex_case(unsigned bits, const char *hex)
{
	struct tc t = {.cs = bits == 16 ? CODE16 : bits == 32 ? CODE32 : CODE64};
	unsigned b;

	while (t.avail < sizeof(t.bytes) && sscanf(hex + 2 * t.avail, "%2x", &b) == 1)
		t.bytes[t.avail++] = (u8)b;
	if (run_case(&t))
		strcpy(t.why, "same");
	print_case(&t);
	return 0;
}

/* Linear sweep, by Zydis's lengths; a byte at a time where it finds no instruction. */
static int sweep(const u8 *text, size_t size, enum code_size cs)
{
	unsigned bad = 0;
	size_t n = 0;

	for (size_t off = 0; off < size && bad < MAX_SHOWN;) {
		struct tc t = {.cs = cs, .page_off = off & 0xfff};

		t.avail = size - off < 16 ? (unsigned)(size - off) : 16;
		memcpy(t.bytes, text + off, t.avail);
		if (!run_case(&t)) {
			printf("at offset %#zx of a section: ", off);
			print_case(&t);
			bad++;
		}
		off += t.z_ok ? t.zi.length : 1;
		n++;
	}
	printf("section of %zu instructions, %u bad\n", n, bad);
	return bad != 0;
}

static u8 *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	u8 *p = NULL;
	long n;

	if (!f)
		return NULL;
	if (!fseek(f, 0, SEEK_END) && (n = ftell(f)) > 0 && (p = malloc((size_t)n))) {
		rewind(f);
		*size = fread(p, 1, (size_t)n, f);
	}
	fclose(f);
	return p;
}

/* Section i of a little-endian ELF file of either class, its header within the file. */
static Elf64_Shdr section(const u8 *p, bool elf64, u64 shoff, unsigned i)
{
	Elf64_Shdr sh;
	Elf32_Shdr sh32;

	if (elf64) {
		memcpy(&sh, p + shoff + i * sizeof(sh), sizeof(sh));
		return sh;
	}
	memcpy(&sh32, p + shoff + i * sizeof(sh32), sizeof(sh32));
	return (Elf64_Shdr){.sh_type = sh32.sh_type,
			    .sh_flags = sh32.sh_flags,
			    .sh_offset = sh32.sh_offset,
			    .sh_size = sh32.sh_size};
}

static int elf_text(const char *path)
{
	size_t size = 0;
	u8 *p = read_file(path, &size);
	bool elf64 = p && size > EI_CLASS && p[EI_CLASS] == ELFCLASS64;
	u64 shoff, n;
	int rc = 0;

	if (!p || size < sizeof(Elf64_Ehdr) || memcmp(p, ELFMAG, SELFMAG))
		goto bad;
	shoff = elf64 ? ((Elf64_Ehdr *)p)->e_shoff : ((Elf32_Ehdr *)p)->e_shoff;
	n = elf64 ? ((Elf64_Ehdr *)p)->e_shnum : ((Elf32_Ehdr *)p)->e_shnum;
	if (!range_fits(shoff, n * (elf64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)), size))
		goto bad;
	for (unsigned i = 0; i < n && !rc; i++) {
		Elf64_Shdr sh = section(p, elf64, shoff, i);

		if (sh.sh_type == SHT_PROGBITS && sh.sh_flags & SHF_EXECINSTR &&
		    range_fits(sh.sh_offset, sh.sh_size, size))
			rc = sweep(p + sh.sh_offset, sh.sh_size, elf64 ? CODE64 : CODE32);
	}
	free(p);
	return rc;
bad:
	fprintf(stderr, "%s: cannot be read as ELF\n", path);
	free(p);
	return 2;
}

int main(int argc, char **argv)
{
	u64 seed;

	init_decoders();
	if (argc == 4 && !strcmp(argv[1], "--hex"))
		return hex_case((unsigned)atoi(argv[2]), argv[3]);
	if (argc == 3 && !strcmp(argv[1], "--elf"))
		return elf_text(argv[2]);
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	return all_rows(seed) | random_cases(seed, argc > 2 ? (unsigned)atoi(argv[2]) : 2000000);
}
