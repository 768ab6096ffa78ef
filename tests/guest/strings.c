/* SPDX-License-Identifier: MIT */
/*
 * strings.c - repeated string instructions that fault in the middle: registers stand at the
 * element that faulted, and going on completes the work; both directions, both pages, ports.
 *
 * Source: SDM volume 2, "REP/REPE/REPZ/REPNE/REPNZ"; volume 3A, "Faults".
 *
 * qemu xchg-crossing: TCG reads first, as if that were not part of a write
 * qemu bts-far-bit: as before
 */
#include "paging.h"

#define VA TEST_VA
enum { PAGE = 4096, RW = PTE_P | PTE_W };

CODE(rep_movsb, "rep movsb\n" DONE_INSN)
CODE(rep_movsq, "rep movsq\n" DONE_INSN)
CODE(rep_stosl, "rep stosl\n" DONE_INSN)
CODE(rep_scasb, "repne scasb\n" DONE_INSN)
CODE(rep_cmpsb, "repe cmpsb\n" DONE_INSN)
CODE(rep_lodsw, "rep lodsw\n" DONE_INSN)
CODE(rep_outsb, "rep outsb\n" DONE_INSN)
CODE(rep_insb, "rep insb\n" DONE_INSN)
CODE(movs_plain, "movsq\n" DONE_INSN)
CODE(pusha_like, "push (%rsi)\n" DONE_INSN)
CODE(xchg_m, "xchg %rax, (%rdi)\n" DONE_INSN)
CODE(rmw, "add %eax, (%rdi)\n" DONE_INSN)
CODE(bt_m, "bts %rax, (%rdi)\n" DONE_INSN)
CODE(enter_, "enter $0, $0\n" DONE_INSN)
CODE(call_m, "call *(%rsi)\n" DONE_INSN)

static u8 *source, *sink;

/* VA: two pages of source, a hole behind; VA + 4 pages: the same to be written. */
static void layout(bool source_hole, bool sink_hole)
{
	for (unsigned i = 0; i < 2; i++) {
		map(VA + i * PAGE, (reg_t)source + i * PAGE, i && source_hole ? 0 : RW, LEVEL_4K);
		map(VA + (4 + i) * PAGE, (reg_t)sink + i * PAGE, i && sink_hole ? 0 : RW, LEVEL_4K);
	}
}

static struct ctx at(const u8 *code, u64 si, u64 di, u64 n)
{
	struct ctx c = ctx_kernel(code);

	c.si = si;
	c.di = di;
	c.cx = n;
	return c;
}

static void fill(void)
{
	for (unsigned i = 0; i < 2 * PAGE; i++) {
		source[i] = (u8)(i * 7 + (i >> 8));
		sink[i] = 0;
	}
}

static void copies(void)
{
	u64 from = VA + PAGE - 100, to = VA + 5 * PAGE - 40;
	struct ctx c;

	fill();
	layout(false, true);
	c = at(rep_movsb, from, to, 90);
	ctx_run(&c);
	check_trap("movsb-faults", &c, PF, PF_W, rep_movsb);
	check("movsb-cr2", c.cr2, VA + 5 * PAGE);
	check("movsb-rcx", c.cx, 50);
	check("movsb-rsi", c.si, from + 40);
	check("movsb-rdi", c.di, to + 40);
	layout(false, false);
	ctx_run(&c);
	check_done("movsb-goes-on", &c);
	check("movsb-copied", memcmp(sink + PAGE - 40, source + PAGE - 100, 90), 0);
	/* The source's fault; elements of 8 that cross. */
	fill();
	layout(true, false);
	c = at(rep_movsq, VA + PAGE - 20, VA + 4 * PAGE + 3, 5);
	ctx_run(&c);
	check_trap("movsq-source", &c, PF, 0, rep_movsq);
	check("movsq-source-cr2", c.cr2, VA + PAGE);
	check("movsq-source-rcx", c.cx, 3);
	/* Downwards. */
	fill();
	layout(false, false);
	map(VA + 4 * PAGE, (reg_t)sink, 0, LEVEL_4K);
	c = at(rep_movsb, VA + 200, VA + 5 * PAGE + 9, 30);
	c.flags |= FL_DF;
	ctx_run(&c);
	check_trap("down-faults", &c, PF, PF_W, rep_movsb);
	check("down-cr2", c.cr2, VA + 5 * PAGE - 1);
	check("down-rcx", c.cx, 20);
	map(VA + 4 * PAGE, (reg_t)sink, RW, LEVEL_4K);
	ctx_run(&c);
	check_done("down-goes-on", &c);
	check("down-copied", memcmp(sink + PAGE - 20, source + 171, 30), 0);
	/* Overlapping upwards repeats the first bytes. */
	fill();
	c = at(rep_movsb, VA + 10, VA + 13, 60);
	ctx_run(&c);
	check("overlap", source[70] == source[10 + (70 - 10) % 3] && source[72] == source[12], 1);
}

static void others(void)
{
	struct ctx c;

	fill();
	layout(true, true);
	c = at(rep_stosl, 0, VA + 5 * PAGE - 10, 4);
	c.ax = 0x55667788;
	ctx_run(&c);
	check_trap("stosl-crossing", &c, PF, PF_W, rep_stosl);
	check("stosl-rcx", c.cx, 2);
	check("stosl-cr2", c.cr2, VA + 5 * PAGE);
	check("stosl-nothing-of-it", *(u16 *)(sink + PAGE - 2), 0);
	c = at(rep_scasb, 0, VA + 5 * PAGE - 30, 100);
	c.ax = 0x99;
	ctx_run(&c);
	check_trap("scasb", &c, PF, 0, rep_scasb);
	check("scasb-rcx", c.cx, 70);
	c = at(rep_cmpsb, VA + PAGE - 8, VA + PAGE - 8, 100);
	ctx_run(&c);
	check_trap("cmpsb", &c, PF, 0, rep_cmpsb);
	check("cmpsb-rcx", c.cx, 92);
	c = at(rep_lodsw, VA + PAGE - 6, 0, 100);
	ctx_run(&c);
	check("lodsw-rcx", c.vector << 16 | c.cx, PF << 16 | 97);
	c = at(rep_outsb, VA + PAGE - 6, 0, 100);
	c.dx = 0x80;
	ctx_run(&c);
	check("outsb-rcx", c.vector << 16 | c.cx, PF << 16 | 94);
	c = at(rep_insb, 0, VA + 5 * PAGE - 6, 100);
	c.dx = 0x80;
	ctx_run(&c);
	check("insb-rcx", c.vector << 16 | c.cx, PF << 16 | 94);
	check("insb-error", c.error, PF_W);
	c = at(rep_movsb, VA, 0x123456789000, 0);
	ctx_run(&c);
	check_done("rcx-0-touches-nothing", &c);
}

/* Others that read and write: a fault leaves no half of them. */
static void wholes(void)
{
	struct ctx c;

	fill();
	layout(true, true);
	c = at(movs_plain, VA + 100, VA + 5 * PAGE - 4, 0);
	ctx_run(&c);
	check_trap("movsq-crossing-sink", &c, PF, PF_W, movs_plain);
	check("movsq-nothing", *(u32 *)(sink + PAGE - 4), 0);
	check("movsq-rsi-stays", c.si, VA + 100);
	c = at(pusha_like, VA + PAGE, 0, 0);
	{
		reg_t sp = c.sp;

		ctx_run(&c);
		check_trap("push-memory", &c, PF, 0, pusha_like);
		check("push-memory-rsp", c.sp, sp);
	}
	c = at(xchg_m, 0, VA + 5 * PAGE - 4, 0);
	c.ax = 0x1111;
	ctx_run(&c);
	check_trap("xchg-crossing", &c, PF, PF_W, xchg_m);
	check("xchg-rax-stays", c.ax, 0x1111);
	map(VA + 4 * PAGE, (reg_t)sink, PTE_P, LEVEL_4K);
	c = at(rmw, 0, VA + 4 * PAGE, 0);
	c.flags |= FL_CF;
	ctx_run(&c);
	check_trap("add-read-only", &c, PF, PF_P | PF_W, rmw);
	check("add-flags-stay", c.flags & (FL_CF | FL_ZF), FL_CF);
	c = at(bt_m, 0, VA + 4 * PAGE, 0);
	c.ax = 8 * PAGE + 1;
	ctx_run(&c);
	check_trap("bts-far-bit", &c, PF, PF_W, bt_m);
	check("bts-cr2", c.cr2, VA + 5 * PAGE);
	c = at(call_m, VA + PAGE - 4, 0, 0);
	{
		reg_t sp = c.sp;

		ctx_run(&c);
		check_trap("call-memory", &c, PF, 0, call_m);
		check("call-memory-rsp", c.sp, sp);
	}
	c = ctx_user(enter_);
	c.sp = VA + 5 * PAGE + 8;
	c.bp = 0x77;
	ctx_run(&c);
	check("enter-faults", c.vector, PF);
	check("enter-keeps", c.bp == 0x77 && c.sp == VA + 5 * PAGE + 8, 1);
}

int main(void)
{
	source = page_alloc();
	page_alloc();
	sink = page_alloc();
	page_alloc();
	copies();
	others();
	wholes();
	return 0;
}
