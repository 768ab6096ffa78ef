/* SPDX-License-Identifier: MIT */
/*
 * autopsy.c - why a CPU shut down, told so that a student understands: the chain of
 * exceptions, the instruction, the step of the page walk or the descriptor that failed.
 */
#include <inttypes.h>

#include "isa/x86/flags.h"
#include "isa/x86/inspect.h"
#include "isa/x86/priv.h"

static const struct {
	const char *mnemonic, *name;
} exceptions[32] = {
	[X86_DE] = {"#DE", "divide error"},
	[X86_DB] = {"#DB", "debug"},
	[X86_NMI] = {"NMI", "non-maskable interrupt"},
	[X86_BP] = {"#BP", "breakpoint"},
	[X86_OF] = {"#OF", "overflow"},
	[X86_BR] = {"#BR", "bound range"},
	[X86_UD] = {"#UD", "invalid opcode"},
	[X86_NM] = {"#NM", "no FPU"},
	[X86_DF] = {"#DF", "double fault"},
	[X86_TS] = {"#TS", "invalid TSS"},
	[X86_NP] = {"#NP", "segment not present"},
	[X86_SS] = {"#SS", "stack fault"},
	[X86_GP] = {"#GP", "general protection"},
	[X86_PF] = {"#PF", "page fault"},
	[X86_MF] = {"#MF", "x87 error"},
	[X86_AC] = {"#AC", "alignment"},
	[X86_MC] = {"#MC", "machine check"},
	[X86_XM] = {"#XM", "SIMD error"},
};

static void print_seg(FILE *f, const char *name, const struct seg *s)
{
	fprintf(f, "  %-4s %04x base %016" PRIx64 " limit %08x attr %04x%s\n", name, s->sel,
		s->base, s->limit, s->attr, s->attr & SEG_P ? "" : " (unusable)");
}

void x86_dump(struct vcpu *v, FILE *f)
{
	static const char *const gprs[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
					   "R8",  "R9",	 "R10", "R11", "R12", "R13", "R14", "R15"};
	static const char *const activity[] = {"running", "halted", "waits for SIPI", "shut down"};
	static const char *const segs[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
	const struct cpu_state *st = v->state;

	for (unsigned i = 0; i < NR_GPRS; i++)
		fprintf(f, "  %-3s %016" PRIx64 "%s", gprs[i], st->gpr[i], i % 4 == 3 ? "\n" : "");
	fprintf(f, "  RIP %016" PRIx64 "  RFLAGS %08" PRIx64 "  CPL %u, %u-bit code, %s\n", st->rip,
		st->rflags, x86_cpu(v)->cpl, 16 << x86_cpu(v)->code_size,
		activity[st->activity & 3]);
	for (unsigned i = 0; i < NR_SEGS; i++)
		print_seg(f, segs[i], &st->seg[i]);
	print_seg(f, "LDTR", &st->ldtr);
	print_seg(f, "TR", &st->tr);
	fprintf(f, "  GDTR %016" PRIx64 " limit %04x   IDTR %016" PRIx64 " limit %04x\n",
		st->gdtr.base, st->gdtr.limit, st->idtr.base, st->idtr.limit);
	fprintf(f,
		"  CR0 %08" PRIx64 "  CR2 %016" PRIx64 "  CR3 %016" PRIx64 "  CR4 %08" PRIx64
		"  EFER %04" PRIx64 "\n",
		st->cr0, st->cr2, st->cr3, st->cr4, st->efer);
}

static void print_insn(struct vcpu *v, FILE *f, u64 rip)
{
	struct x86_cpu *cpu = x86_cpu(v);
	u64 lin = rip + cpu->seg_base[SEG_CS];
	char text[128];
	u8 bytes[15];
	unsigned n = x86_peek(cpu, lin, bytes, sizeof(bytes)), len;

	if (!n) {
		fprintf(f, "     at %#" PRIx64 ": no memory is mapped there\n", rip);
		return;
	}
	len = x86_disasm(v, lin, bytes, n, text, sizeof(text));
	fprintf(f, "     at %#" PRIx64 ": %s   (", rip, text);
	for (unsigned i = 0; i < len && i < n; i++)
		fprintf(f, "%s%02x", i ? " " : "", bytes[i]);
	fprintf(f, ")\n");
}

/* The page walk of a page fault, to the entry that said no. */
static void print_walk(struct x86_cpu *cpu, FILE *f, const struct x86_fault *fault)
{
	struct page_walk w = {0};
	int r;

	fprintf(f, "     %s %s %#" PRIx64 ": %s\n", fault->error & PF_U ? "user" : "kernel",
		fault->error & PF_I   ? "fetched from"
		: fault->error & PF_W ? "wrote to"
				      : "read from",
		fault->cr2,
		fault->error & PF_RSVD ? "a paging entry has a reserved bit set"
		: fault->error & PF_P  ? "the page is there, but not with this right"
				       : "no page is mapped there");
	r = x86_walk(cpu, fault->cr2, MEM_READ, false, false, WALK_PEEK, &w);
	for (unsigned i = 0; i < w.nr_steps; i++) {
		const struct walk_step *s = &w.step[i];

		fprintf(f, "       %-5s [%#" PRIx64 "] = %016" PRIx64 "%s%s%s%s%s\n", s->level,
			s->entry_gpa, s->entry, s->entry & 1 ? " present" : " NOT PRESENT",
			s->entry & 2 ? " writable" : " read-only",
			s->entry & 4 ? " user" : " kernel-only",
			s->entry >> 63 ? " no-execute" : "",
			i + 1 == w.nr_steps && r && s->entry & 1 ? " <- stops here" : "");
	}
}

/* A selector error code: what it names, and the descriptor there. */
static void print_selector(struct x86_cpu *cpu, FILE *f, u32 error)
{
	bool idt = error & 2, ldt = !idt && error & 4;
	const struct desc_table *gdtr = &cpu->st.gdtr;
	u64 base = idt ? cpu->st.idtr.base : ldt ? cpu->st.ldtr.base : gdtr->base;
	u32 limit = idt ? cpu->st.idtr.limit : ldt ? cpu->st.ldtr.limit : gdtr->limit;
	unsigned index = error >> 3 & 0x1fff, size = idt && cpu->long_mode ? 16 : 8;
	u64 raw = 0;

	if (!(error & ~1u))
		return;
	fprintf(f, "     error code %04x: entry %u of the %s", error, index,
		idt   ? "IDT"
		: ldt ? "LDT"
		      : "GDT");
	if ((u64)index * size + size - 1 > limit)
		fprintf(f, ", which ends before it (limit %#x)\n", limit);
	else if (x86_peek(cpu, base + (u64)index * size, &raw, 8) < 8)
		fprintf(f, ", which is not mapped\n");
	else
		fprintf(f, " = %016" PRIx64 ": type %u%s, DPL %u%s\n", raw, desc_type(raw),
			desc_is_seg(raw) ? " (segment)" : " (system)", desc_dpl(raw),
			desc_present(raw) ? "" : ", NOT PRESENT");
}

/* The gate that it would go through. */
static void print_gate(struct x86_cpu *cpu, FILE *f, u8 vector)
{
	const struct desc_table *idtr = &cpu->st.idtr;
	unsigned size = cpu->long_mode ? 16 : cpu->st.cr0 & CR0_PE ? 8 : 4;
	u64 raw[2] = {0};

	if ((u64)vector * size + size - 1 > idtr->limit)
		fprintf(f, "     the IDT (limit %#x) has no entry %u: was LIDT executed?\n",
			idtr->limit, vector);
	else if (x86_peek(cpu, idtr->base + (u64)vector * size, raw, size) < size)
		fprintf(f, "     IDT entry %u at %#" PRIx64 " is not mapped.\n", vector,
			idtr->base + (u64)vector * size);
	else
		fprintf(f, "     IDT entry %u: %016" PRIx64 "%s\n", vector, raw[0],
			size > 4 && !desc_present(raw[0]) ? " (NOT PRESENT)" : "");
}

static void print_fault(struct vcpu *v, FILE *f, unsigned n, const struct x86_fault *fault, u64 rip)
{
	struct x86_cpu *cpu = x86_cpu(v);
	const char *mnemonic = fault->vector < 32 ? exceptions[fault->vector].mnemonic : NULL;

	fprintf(f, "  %u. ", n);
	if (mnemonic)
		fprintf(f, "%s, %s", mnemonic, exceptions[fault->vector].name);
	else
		fprintf(f, "interrupt %u", fault->vector);
	fprintf(f, n > 1 ? ", while the one before was being delivered\n" : "\n");
	print_insn(v, f, rip);
	if (fault->vector == X86_PF)
		print_walk(cpu, f, fault);
	else if (fault->has_error)
		print_selector(cpu, f, fault->error);
	print_gate(cpu, f, fault->vector);
}

void x86_autopsy(struct vcpu *v, FILE *f)
{
	struct x86_cpu *cpu = x86_cpu(v);

	fprintf(f, "\nvCPU %u: triple fault. The exceptions that led to it, first to last:\n",
		v->index);
	for (unsigned i = 0; i < cpu->nr_history; i++)
		print_fault(v, f, i + 1, &cpu->history[i].fault, cpu->history[i].rip);
	fprintf(f, "Registers:\n");
	x86_dump(v, f);
}
