/* SPDX-License-Identifier: MIT */
/*
 * gdb.c - the registers as gdb numbers them, and the target description that says so.
 *
 * Feature and register names are gdb's (GDB manual, "i386 Features"); the control registers
 * have a feature of their own, under QEMU's names.  What the CPU would refuse with #GP is
 * refused here, so that no state comes up that an engine need not cope with.
 */
#include <setjmp.h>

#include "isa/x86/fpu/fpu.h"
#include "isa/x86/inspect.h"
#include "isa/x86/priv.h"
#include "sundog/isa.h"
#include "sundog/machine.h"

#define R64(name) "<reg name=\"" name "\" bitsize=\"64\" type=\"int64\"/>"
#define R64H(name) "<reg name=\"" name "\" bitsize=\"64\" type=\"uint64\" group=\"system\"/>"
#define RPTR(name, to) "<reg name=\"" name "\" bitsize=\"64\" type=\"" to "\"/>"
#define R32(name) "<reg name=\"" name "\" bitsize=\"32\" type=\"int32\"/>"
#define RST(n) "<reg name=\"st" n "\" bitsize=\"80\" type=\"i387_ext\"/>"
#define RFP(name) "<reg name=\"" name "\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
#define RXMM(n) "<reg name=\"xmm" n "\" bitsize=\"128\" type=\"vec128\"/>"
#define FIELD(name, n) "<field name=\"" name "\" start=\"" #n "\" end=\"" #n "\"/>"
#define VECTOR(id, type, n) "<vector id=\"" id "\" type=\"" type "\" count=\"" #n "\"/>"

enum { /* in the order of the description below */
       G_GPR = 0,
       G_RIP = 16,
       G_RFLAGS,
       G_SEG, /* cs ss ds es fs gs */
       G_ST = G_SEG + 6,
       G_FPU = G_ST + 8, /* fctrl fstat ftag fiseg fioff foseg fooff fop */
       G_XMM = G_FPU + 8,
       G_MXCSR = G_XMM + 16,
       G_FS_BASE,
       G_GS_BASE,
       G_SYSTEM, /* k_gs_base cr0 cr2 cr3 cr4 cr8 efer */
       NR_REGS = G_SYSTEM + 7,
};
_Static_assert((int)NR_REGS == (int)X86_GDB_NR_REGS, "as announced");

const char x86_gdb_target_xml[] =
	"<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
	"<target><architecture>i386:x86-64</architecture>"
	"<feature name=\"org.gnu.gdb.i386.core\">"
	"<flags id=\"i386_eflags\" size=\"4\">" FIELD("CF", 0) FIELD("", 1) FIELD("PF", 2) FIELD(
		"AF", 4) FIELD("ZF", 6) FIELD("SF", 7) FIELD("TF", 8) FIELD("IF", 9) FIELD("DF", 10)
		FIELD("OF", 11) FIELD("NT", 14) FIELD("RF", 16) FIELD("VM", 17) FIELD(
			"AC", 18) FIELD("VIF",
					19) FIELD("VIP",
						  20) FIELD("ID",
							    21) "</flags>" R64("rax") R64("rbx")
			R64("rcx") R64("rdx") R64("rsi") R64("rdi") RPTR("rbp", "data_ptr") RPTR(
				"rsp", "data_ptr") R64("r8") R64("r9") R64("r10") R64("r11")
				R64("r12") R64("r13") R64("r14") R64("r15") RPTR("rip", "code_ptr") "<reg name=\"eflags\" bitsize=\"32\" type=\"i386_eflags\"/>" R32(
					"cs") R32("ss") R32("ds") R32("es")
					R32("fs") R32("gs") RST("0") RST("1") RST("2") RST(
						"3") RST("4") RST("5") RST("6") RST("7")
						RFP("fctrl") RFP("fstat") RFP("ftag") RFP("fiseg") RFP(
							"fioff") RFP("foseg") RFP("foo"
										  "ff")
							RFP("fop") "</feature>"
								   "<feature "
								   "name=\"org.gnu.gdb.i386."
								   "sse\">" VECTOR(
									   "v4f",
									   "ieee_single",
									   4) VECTOR("v2d", "ieee_double",
										     2)
									   VECTOR("v16i8", "int8", 16) VECTOR(
										   "v8i16",
										   "int16",
										   8) VECTOR("v4i3"
											     "2",
											     "int3"
											     "2",
											     4)
										   VECTOR(
											   "v2i64",
											   "int64",
											   2) "<uni"
											      "on "
											      "id="
											      "\"ve"
											      "c128"
											      "\"><"
											      "fiel"
											      "d "
											      "name"
											      "=\"v"
											      "4_"
											      "floa"
											      "t\" "
											      "type"
											      "=\"v"
											      "4f\""
											      "/>"
											      "<fie"
											      "ld "
											      "name"
											      "=\"v"
											      "2_"
											      "doub"
											      "le\""
											      " typ"
											      "e="
											      "\"v2"
											      "d\"/"
											      "><"
											      "fiel"
											      "d "
											      "name"
											      "=\"v"
											      "16_"
											      "int8"
											      "\" "
											      "type"
											      "=\"v"
											      "16i8"
											      "\"/>"
											      "<fie"
											      "ld "
											      "name"
											      "=\"v"
											      "8_"
											      "int1"
											      "6\" "
											      "type"
											      "=\"v"
											      "8i16"
											      "\"/"
											      "><"
											      "fiel"
											      "d "
											      "name"
											      "=\"v"
											      "4_"
											      "int3"
											      "2\" "
											      "type"
											      "=\"v"
											      "4i32"
											      "\"/>"
											      "<fie"
											      "ld "
											      "name"
											      "=\"v"
											      "2_"
											      "int6"
											      "4\" "
											      "type"
											      "=\"v"
											      "2i64"
											      "\"/"
											      "><"
											      "fiel"
											      "d "
											      "name"
											      "=\"u"
											      "int1"
											      "28\""
											      " typ"
											      "e="
											      "\"ui"
											      "nt12"
											      "8\"/"
											      "></"
											      "unio"
											      "n"
											      ">" RXMM("0") RXMM("1") RXMM(
												      "2") RXMM("3") RXMM("4")
												      RXMM("5") RXMM("6") RXMM(
													      "7") RXMM("8")
													      RXMM("9") RXMM(
														      "10")
														      RXMM(
															      "11") RXMM("12") RXMM("13") RXMM("14") RXMM("15") "<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/></feature>"
																						"<feature name=\"org.gnu.gdb.i386.segments\">" R64("fs_base") R64("gs_base") "</feature>"
																															     "<feature name=\"org.sundog.i386.system\">" R64H("k_gs_base") R64H("cr0") R64H("cr2") R64H("cr3") R64H("cr4") R64H(
																																     "cr8")
																																     R64H("efer") "</feature></target>";

static const u8 gprs[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
			    R8,	 R9,  R10, R11, R12, R13, R14, R15};
static const u8 segs[6] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};

enum { SYS_KGS, SYS_CR0, SYS_CR2, SYS_CR3, SYS_CR4, SYS_CR8, SYS_EFER };
enum { FPU_CTRL, FPU_STAT, FPU_TAG, FPU_ISEG, FPU_IOFF, FPU_OSEG, FPU_OOFF, FPU_OP };

/* --- reading ------------------------------------------------------------------------------- */

static u32 read_fpu(const struct x87_state *x, unsigned n)
{
	switch (n) {
	case FPU_CTRL: return x->fcw;
	case FPU_STAT: return x->fsw;
	case FPU_TAG: return x87_full_tags(x);
	case FPU_ISEG: return x->fcs;
	case FPU_IOFF: return (u32)x->fip;
	case FPU_OSEG: return x->fds;
	case FPU_OOFF: return (u32)x->fdp;
	default: return x->fop;
	}
}

static u64 read_system(struct x86_cpu *cpu, unsigned n)
{
	switch (n) {
	case SYS_KGS: return cpu->st.kernel_gs_base;
	case SYS_CR0: return cpu->st.cr0;
	case SYS_CR2: return cpu->st.cr2;
	case SYS_CR3: return cpu->st.cr3;
	case SYS_CR4: return cpu->st.cr4;
	case SYS_CR8: return cpu->v.lapic_ops ? cpu->v.lapic_ops->get_tpr(&cpu->v) >> 4 : 0;
	default: return cpu->st.efer;
	}
}

static unsigned put32(u8 *buf, u32 val)
{
	st_le32(buf, val);
	return 4;
}

static unsigned put64(u8 *buf, u64 val)
{
	st_le64(buf, val);
	return 8;
}

unsigned x86_gdb_read_reg(struct vcpu *v, unsigned n, u8 *buf)
{
	struct x86_cpu *cpu = x86_cpu(v);
	const struct cpu_state *st = &cpu->st;

	if (n < G_RIP)
		return put64(buf, st->gpr[gprs[n]]);
	if (n == G_RIP)
		return put64(buf, st->rip);
	if (n == G_RFLAGS)
		return put32(buf, (u32)st->rflags);
	if (n < G_ST)
		return put32(buf, st->seg[segs[n - G_SEG]].sel);
	if (n < G_FPU) {
		st_le64(buf, st->x87.st[n - G_ST].mant);
		st_le16(buf + 8, st->x87.st[n - G_ST].sexp);
		return 10;
	}
	if (n < G_XMM)
		return put32(buf, read_fpu(&st->x87, n - G_FPU));
	if (n < G_MXCSR) {
		memcpy(buf, st->v[n - G_XMM].b, 16);
		return 16;
	}
	if (n == G_MXCSR)
		return put32(buf, st->mxcsr);
	if (n < G_SYSTEM)
		return put64(buf, st->seg[n == G_FS_BASE ? SEG_FS : SEG_GS].base);
	if (n < NR_REGS)
		return put64(buf, read_system(cpu, n - G_SYSTEM));
	return 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static void write_fpu(struct x87_state *x, unsigned n, u32 val)
{
	switch (n) {
	case FPU_CTRL: x->fcw = (u16)((val & 0x1f3f) | 0x40); break;
	case FPU_STAT: x->fsw = (u16)val; break;
	case FPU_TAG: x->ftw = x87_abridge((u16)val); break;
	case FPU_ISEG: x->fcs = (u16)val; break;
	case FPU_IOFF: x->fip = (x->fip & ~0xffffffffull) | val; break;
	case FPU_OSEG: x->fds = (u16)val; break;
	case FPU_OOFF: x->fdp = (x->fdp & ~0xffffffffull) | val; break;
	default: x->fop = val & 0x7ff; break;
	}
	x->fsw = fsw_summary(x->fsw, x->fcw);
}

/* As the guest would write it, or not at all. */
static bool write_control(struct x86_cpu *cpu, unsigned n, u64 val)
{
	if (setjmp(cpu->on_fault))
		return false;
	switch (n) {
	case SYS_CR0: x86_write_cr0(cpu, val); break;
	case SYS_CR3: x86_write_cr3(cpu, val); break;
	case SYS_CR4: x86_write_cr4(cpu, val); break;
	default:
		return x86_write_efer(cpu, (val & ~(u64)EFER_LMA) | (cpu->st.efer & EFER_LMA)) == 0;
	}
	return true;
}

static bool write_system(struct x86_cpu *cpu, unsigned n, u64 val)
{
	switch (n) {
	case SYS_KGS:
		if (!x86_canonical(val))
			return false;
		cpu->st.kernel_gs_base = val;
		return true;
	case SYS_CR2: cpu->st.cr2 = val; return true;
	case SYS_CR8:
		if (val > 15 || !cpu->v.lapic_ops)
			return false;
		cpu->v.lapic_ops->set_tpr(&cpu->v, (u8)(val << 4));
		return true;
	default: return write_control(cpu, n, val);
	}
}

/* A data segment with sel's descriptor; CS and SS only where that cannot change the ring. */
static bool write_seg(struct x86_cpu *cpu, enum seg_reg reg, u32 val)
{
	struct seg *s = &cpu->st.seg[reg];
	u64 table = val & 4 ? cpu->st.ldtr.base : cpu->st.gdtr.base;
	u32 limit = val & 4 ? cpu->st.ldtr.limit : cpu->st.gdtr.limit;
	struct desc d = {.sel = (u16)val};
	u8 raw[8];

	if (val > 0xffff || val == s->sel)
		return val == s->sel;
	if (!x86_protected(cpu)) {
		s->sel = (u16)val;
		s->base = (u64)val << 4;
		return true;
	}
	if (reg == SEG_CS || reg == SEG_SS)
		return false;
	if (x86_null_sel((u16)val)) {
		*s = (struct seg){.sel = (u16)val};
		return true;
	}
	if (!range_fits(val & ~7u, 8, (u64)limit + 1) ||
	    x86_peek(cpu, table + (val & ~7u), raw, 8) != 8)
		return false;
	d.raw = ld_le64(raw);
	if (!desc_is_seg(d.raw) || !desc_present(d.raw) ||
	    (desc_is_code(d.raw) && !(desc_type(d.raw) & SEG_RW)))
		return false;
	*s = x86_desc_seg(&d, (u16)val);
	return true;
}

static bool write_flags(struct x86_cpu *cpu, u32 val)
{
	const u32 known = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_AC |
			  FL_VIF | FL_VIP | FL_ID;

	/* VM is left alone: it would need the segments to go with it. */
	cpu->st.rflags = (cpu->st.rflags & FL_VM) | (val & known) | FL_FIXED;
	return true;
}

static bool write_base(struct x86_cpu *cpu, enum seg_reg reg, u64 val)
{
	if (!x86_canonical(val))
		return false;
	cpu->st.seg[reg].base = val;
	return true;
}

static bool write_mxcsr(struct x86_cpu *cpu, u32 val)
{
	if (val >> 16)
		return false;
	cpu->st.mxcsr = val;
	return true;
}

static bool write_rip(struct x86_cpu *cpu, u64 val)
{
	if (cpu->code64 ? !x86_canonical(val) : val >> 32)
		return false;
	/* A change says that it is to run there: no halt goes on. */
	if (cpu->st.rip != val && cpu->st.activity == CPU_HALTED)
		cpu->st.activity = CPU_RUNNING;
	cpu->st.rip = val;
	return true;
}

unsigned x86_gdb_write_reg(struct vcpu *v, unsigned n, const u8 *buf)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct cpu_state *st = &cpu->st;

	if (n < G_RIP) {
		st->gpr[gprs[n]] = ld_le64(buf);
		return 8;
	}
	if (n == G_RIP)
		return write_rip(cpu, ld_le64(buf)) ? 8 : 0;
	if (n == G_RFLAGS)
		return write_flags(cpu, ld_le32(buf)) ? 4 : 0;
	if (n < G_ST)
		return write_seg(cpu, segs[n - G_SEG], ld_le32(buf)) ? 4 : 0;
	if (n < G_FPU) {
		st->x87.st[n - G_ST].mant = ld_le64(buf);
		st->x87.st[n - G_ST].sexp = ld_le16(buf + 8);
		return 10;
	}
	if (n < G_XMM) {
		write_fpu(&st->x87, n - G_FPU, ld_le32(buf));
		return 4;
	}
	if (n < G_MXCSR) {
		memcpy(st->v[n - G_XMM].b, buf, 16);
		return 16;
	}
	if (n == G_MXCSR)
		return write_mxcsr(cpu, ld_le32(buf)) ? 4 : 0;
	if (n < G_SYSTEM)
		return write_base(cpu, n == G_FS_BASE ? SEG_FS : SEG_GS, ld_le64(buf)) ? 8 : 0;
	if (n < NR_REGS)
		return write_system(cpu, n - G_SYSTEM, ld_le64(buf)) ? 8 : 0;
	return 0;
}
