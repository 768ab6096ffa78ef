/* SPDX-License-Identifier: MIT */
/*
 * fpu_test.c - every x87, MMX and SSE row against the host CPU (fpu_judge.h); what they raise,
 * by operand, mode and pending exception.
 */
#include <stdio.h>
#include <stdlib.h>

#include "isa/x86/fpu/fpu_judge.h"

static void one_case(const struct insn *in, unsigned len)
{
	static struct judge j;
	bool done;
	struct op op;

	cases++;
	judge_host(&j);
	done = run_guest(&op, len);
	if (&insns[op.row] != in)
		return explain(in, "the row", &j);
	compare(in, &j, !done && cpu->fault.vector == X86_XM);
	if (host_mxcsr_get() & ~MXCSR_FLAGS & ~MXCSR_MASKS)
		explain(in, "the host's MXCSR", &j);
}

/* Encode the row with random registers or [rdi]; returns the length. */
static unsigned encode(const struct insn *in, bool to_mem, unsigned imm)
{
	static const u8 prefix[] = {[PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2};
	unsigned reg = rnd() & 7, rm = rnd() & 7, n = 0;
	bool is_x87 = in->map == MAP_P1;
	u8 rex = 0x40 | (rnd() & 5), modrm;

	if (rnd() % 3 == 0)
		rex |= 8;
	if (in->mrm & MRM_EXT)
		reg = in->mrm & 7;
	if (in->mrm & MRM_RM)
		rm = in->mrm >> 3 & 7;
	if (to_mem)
		rex &= ~1, modrm = (u8)(reg << 3 | RDI);
	else
		modrm = (u8)(0xc0 | reg << 3 | rm);
	/* Not RSP, which is the judge's stack. */
	if (operands[in->dst].kind <= OK_REG || operands[in->src].kind <= OK_REG) {
		if (reg == RSP && !(in->mrm & MRM_EXT))
			rex |= 4;
		if (!to_mem && rm == RSP)
			rex |= 1;
	}
	if (in->pfx > PFX_NP)
		code[n++] = prefix[in->pfx];
	if (!is_x87 || rnd() % 2)
		code[n++] = is_x87 ? 0x40 : rex;
	if (in->map != MAP_P1)
		code[n++] = 0x0f;
	if (in->map == MAP_P38 || in->map == MAP_P3A)
		code[n++] = in->map == MAP_P38 ? 0x38 : 0x3a;
	code[n++] = in->op;
	if (in->mrm != MRM_NONE)
		code[n++] = modrm;
	if (in->imm == OPND_Ib)
		code[n++] = (u8)imm;
	code[n] = 0xc3;
	return n;
}

/* Rows that have tests of their own: what they store depends on more than the operands. */
static bool row_is_apart(const struct insn *in)
{
	return in->op == 0xae || in->op == 0xc7 || in->op == 0x9b || in->dst == OPND_Menv ||
	       in->src == OPND_Menv || in->dst == OPND_Msave || in->src == OPND_Msave;
}

static bool row_is_ours(const struct insn *in)
{
	return in->map != MAP_NONE && host_features.have[in->feature / 8] >> in->feature % 8 & 1 &&
	       (in->attr & (A_SSE | A_FPU)) && !row_is_apart(in);
}

static bool is_mem_kind(unsigned o)
{
	unsigned k = operands[o].kind;

	return k == OK_RM || k == OK_MEM || k == OK_VRM || k == OK_MMX_RM;
}

static bool is_reg_kind(unsigned o)
{
	return operands[o].kind != OK_MEM;
}

/* RDI so that an operand is likely to cross from one page to the other. */
static void straddle(void)
{
	cpu->st.gpr[RDI] = (u64)(uintptr_t)mem + PAGE - rnd() % 16;
	for (unsigned i = 0; i < 32; i += 16)
		random_vec(mem + PAGE - 16 + i);
}

static void row_cases(const struct insn *in, unsigned rounds, bool unmasked)
{
	bool mem_form = is_mem_kind(in->dst) || is_mem_kind(in->src);
	bool reg_form = is_reg_kind(in->dst) && is_reg_kind(in->src);

	if (in->mrm & MRM_MOD_REG)
		mem_form = false;
	if (in->mrm & MRM_MOD_MEM)
		reg_form = false;
	if (in->imm == OPND_Ib && !unmasked)
		rounds = rounds < 512 ? 512 : rounds;
	for (unsigned i = 0; i < rounds; i++) {
		case_seed = seed;
		random_state(unmasked);
		if (!(in->attr & A_ALIGN) && rnd() % 8 == 0)
			straddle();
		one_case(in, encode(in, mem_form && (!reg_form || rnd() & 1), i & 0xff));
	}
}

static void test_rows(bool unmasked)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		if (row_is_ours(&insns[i]))
			row_cases(&insns[i], 200, unmasked);
	}
}

/* --- faults --- */

static void test_faults(void)
{
	u64 base = (u64)(uintptr_t)mem, end = base + 2 * PAGE;

	for (unsigned i = 0; i < nr_insns; i++) {
		const struct insn *in = &insns[i];
		unsigned len, size = 0;

		if (!row_is_ours(in) || in->mrm & MRM_MOD_REG)
			continue;
		if (is_mem_kind(in->dst))
			size = operands[in->dst].mem;
		if (is_mem_kind(in->src))
			size = operands[in->src].mem;
		if (!size)
			continue;
		random_state(false);
		len = encode(in, true, 0);
		check(faults_at(base + 8, len, in->attr & A_ALIGN ? X86_GP : 0xff), in->name);
		random_state(false);
		memcpy(mem_before, mem, 2 * PAGE);
		check(faults_at(end - (in->attr & A_ALIGN ? 0 : 1), len, size == 1 ? 0xff : X86_PF),
		      in->name);
		check(size == 1 || !memcmp(mem_before, mem, 2 * PAGE), "a faulting store");
	}
}

static u8 vector_of(const char *name)
{
	const struct insn *in = row_named(name);
	struct op op;

	return run_guest(&op, encode(in, is_mem_kind(in->src) || is_mem_kind(in->dst), 0))
		       ? 0xff
		       : cpu->fault.vector;
}

static unsigned ferr_raised;
static bool ferr_level;

static void on_ferr(void *sink, unsigned pin, bool level)
{
	ferr_raised += level;
	ferr_level = level;
}

static void test_modes(void)
{
	static const struct {
		u64 cr0, cr4;
		u8 fadd, fwait, fnop_free, mmx, sse;
	} t[] = {
		{CR0_NE, CR4_OSFXSR, 0xff, 0xff, 0xff, 0xff, 0xff},
		{CR0_NE | CR0_TS, CR4_OSFXSR, X86_NM, 0xff, X86_NM, X86_NM, X86_NM},
		{CR0_NE | CR0_TS | CR0_MP, CR4_OSFXSR, X86_NM, X86_NM, X86_NM, X86_NM, X86_NM},
		{CR0_NE | CR0_EM, CR4_OSFXSR, X86_NM, 0xff, X86_NM, X86_UD, X86_UD},
		{CR0_NE, 0, 0xff, 0xff, 0xff, 0xff, X86_UD},
		{CR0_NE | CR0_TS, 0, X86_NM, 0xff, X86_NM, X86_NM, X86_UD},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		random_state(false);
		cpu->st.cr0 = t[i].cr0;
		cpu->st.cr4 = t[i].cr4;
		check(vector_of("fadd") == t[i].fadd, "fadd by CR0 and CR4");
		check(vector_of("fwait") == t[i].fwait, "fwait by CR0 and CR4");
		check(vector_of("fnstcw") == t[i].fnop_free, "fnstcw by CR0 and CR4");
		check(vector_of("emms") == t[i].mmx, "emms by CR0 and CR4");
		check(vector_of("addps") == t[i].sse, "addps by CR0 and CR4");
	}
	/* An exception is pending. */
	cpu->st.cr0 = CR0_NE;
	cpu->st.cr4 = CR4_OSFXSR;
	random_state(false);
	cpu->st.x87.fsw |= FSW_ZE | FSW_ES;
	cpu->st.x87.fcw &= ~FSW_ZE;
	check(vector_of("fadd") == X86_MF, "#MF at fadd");
	check(vector_of("fwait") == X86_MF, "#MF at fwait");
	check(vector_of("emms") == X86_MF, "#MF at emms");
	check(vector_of("fnstcw") == 0xff, "no #MF at fnstcw");
	check(vector_of("addps") == 0xff, "no #MF at addps");
	cpu->st.cr0 = 0;
	cpu->v.fpu_error = (struct irq_line){.set = on_ferr};
	check(vector_of("fwait") == 0xff && ferr_raised == 1, "FERR with CR0.NE clear");
	check(vector_of("fnclex") == 0xff && !x87_pending(&cpu->st.x87) && !ferr_level, "fnclex");
	cpu->v.fpu_error = (struct irq_line){0};
	cpu->st.cr0 = CR0_NE;

	/* #XM is #UD unless the system asked for it. */
	random_state(false);
	memset(cpu->st.v, 0, sizeof(cpu->st.v));
	memset(mem, 0, 2 * PAGE);
	cpu->st.mxcsr = 0;
	check(vector_of("divps") == X86_UD, "unmasked division without OSXMMEXCPT");
	check(cpu->st.mxcsr == 1, "MXCSR.IE");
	cpu->st.cr4 |= CR4_OSXMMEXCPT;
	cpu->st.mxcsr = 0;
	check(vector_of("divps") == X86_XM, "unmasked division");
	cpu->st.cr0 = CR0_PE | CR0_NE;
	cpu->st.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
}

int main(int argc, char **argv)
{
	judge_init(argc, argv);
	test_rows(false);
	test_rows(true);
	test_faults();
	test_modes();
	return judge_verdict();
}
