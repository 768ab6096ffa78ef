/* SPDX-License-Identifier: MIT */
/*
 * v86.c - virtual-8086 mode: entry by IRET, sensitive instructions by IOPL, interrupts by the
 * IDT and, with VME, by the redirection map; VIF and VIP, PVI, ports by the TSS's map.
 *
 * Source: SDM volume 3B, "8086 Emulation".
 *
 * bits: 32
 * qemu limit-64k: TCG does not check segment limits
 */
#include "guest.h"

enum { CODE_AT = 0x6000, STACK_AT = 0x7000, TSS_IOMAP = 102 };

CODE16(v_end, "int $0x40\n")
CODE16(v_int, "int $0x21\nnop\nint $0x40\n")
CODE16(v_cli, "cli\nint3\n")
CODE16(v_sti, "sti\nint3\n")
CODE16(v_pushf, "pushf\npop %ax\nint3\n")
CODE16(v_pushfd, "pushfl\nint3\n")
CODE16(v_popf, "push $0x0200\npopf\npushf\npop %ax\nint3\n")
CODE16(v_iret,
       "push $0x0202\npush %cs\npush $1f - v_iret + 0x6000\niret\n1: pushf\npop %ax\nint3\n")
CODE16(v_hlt, "hlt\n")
CODE16(v_in, "in $0x80, %al\nint3\n")
CODE16(v_segs, "mov $0x1234, %ax\nmov %ax, %ds\nmov %ds:0x10, %bx\nint3\n")
CODE16(v_limit, "mov $0xffff, %si\nmov (%si), %ax\nint3\n")
CODE16(v_int3, "int3\n")
CODE16(v_protected, "sldt %ax\nint3\n")
CODE16(v_handler, "mov $0x77, %bx\niret\n")
CODE16(v_int_done, "int $0x21\nint3\n")
CODE16(v_far, "lcall $0x600, $1f - v_far\nint3\n1: lret\n")

static struct ctx v86(const u8 *code, const u8 *end, u32 flags)
{
	struct ctx c = {.ip = CODE_AT, .flags = FL_1 | FL_VM | flags, .sp = 0x1000};

	memcpy((void *)CODE_AT, code, (size_t)(end - code));
	c.ss = (STACK_AT - 0x1000) >> 4;
	c.ds = c.es = 0x100;
	c.fs = 0x200;
	c.gs = 0x300;
	return c;
}
#define V86(code, flags) v86(code, code##_end, flags)

static u8 *own_tss(void)
{
	u64 d = gdt[SEL_TSS / 8];

	return (u8 *)(u32)((d >> 16 & 0xffffff) | (d >> 56) << 24);
}

static void entry(void)
{
	struct ctx c = V86(v_int3, FL_IOPL3);

	ctx_run(&c);
	check("enter-vector", c.vector, BP);
	check("enter-flags", c.flags & (FL_VM | FL_IOPL3), FL_VM | FL_IOPL3);
	check("enter-cs-ip", c.cs << 16 | c.ip, CODE_AT + 1);
	check("enter-segments", (c.ds & 0xffff) << 16 | (c.gs & 0xffff), 0x01000300);
	check("enter-sp", (c.ss & 0xffff) << 16 | (c.sp & 0xffff), 0x06001000);
	*(u16 *)0x12350 = 0xbeef;
	c = V86(v_segs, 0);
	ctx_run(&c);
	check("segments-shift", c.bx & 0xffff, 0xbeef);
	c = V86(v_limit, 0);
	ctx_run(&c);
	check("limit-64k", c.vector, GP);
	c = V86(v_protected, 0);
	ctx_run(&c);
	check("sldt", c.vector, UD);
	c = V86(v_far, FL_IOPL3);
	ctx_run(&c);
	check("far-call-and-back", c.vector << 16 | c.ip, BP << 16 | (CODE_AT + 6));
	/* The handler sees null data segments; a gate to ring 3 or to conforming code is #GP. */
	c = V86(v_int, FL_IOPL3);
	set_gate(0x21, trap_entry(0x21), SEL_CODE, 14, 3, 0);
	ctx_run(&c);
	check("int-through-idt", c.vector, 0x21);
	set_gate(0x21, trap_entry(0x21), SEL_UCODE32 & ~3, 14, 3, 0);
	c = V86(v_int, FL_IOPL3);
	ctx_run(&c);
	check("int-to-ring3", c.vector << 16 | c.error, GP << 16 | (SEL_UCODE32 & ~3));
	default_gate(0x21);
	c = V86(v_int, FL_IOPL3);
	ctx_run(&c);
	check("int-dpl", c.vector << 16 | c.error, GP << 16 | (0x21 * 8 + 2));
}

static void expect_gp(const char *name, const u8 *code, const u8 *end, unsigned iopl)
{
	struct ctx c = v86(code, end, iopl << 12);

	ctx_run(&c);
	check(name, c.vector << 16 | c.error, iopl == 3 ? BP << 16 : GP << 16);
}

static void sensitive(void)
{
	struct ctx c;

	expect_gp("cli-iopl0", v_cli, v_cli_end, 0);
	expect_gp("cli-iopl3", v_cli, v_cli_end, 3);
	expect_gp("sti-iopl0", v_sti, v_sti_end, 0);
	expect_gp("pushf-iopl0", v_pushf, v_pushf_end, 0);
	expect_gp("pushf-iopl3", v_pushf, v_pushf_end, 3);
	expect_gp("pushfd-iopl0", v_pushfd, v_pushfd_end, 0);
	expect_gp("popf-iopl2", v_popf, v_popf_end, 2);
	expect_gp("popf-iopl3", v_popf, v_popf_end, 3);
	expect_gp("iret-iopl0", v_iret, v_iret_end, 0);
	expect_gp("iret-iopl3", v_iret, v_iret_end, 3);
	expect_gp("int-iopl0", v_int, v_int_end, 0);
	c = V86(v_hlt, FL_IOPL3);
	ctx_run(&c);
	check("hlt", c.vector << 16 | c.error, GP << 16);
	c = V86(v_popf, FL_IOPL3);
	ctx_run(&c);
	check("popf-iopl3-sets-if", c.ax & (FL_IF | FL_IOPL3), FL_IF | FL_IOPL3);
	/* INT3 needs no IOPL. */
	c = V86(v_int3, 0);
	ctx_run(&c);
	check("int3-iopl0", c.vector, BP);
}

static void ports(void)
{
	u8 *t = own_tss();
	u16 map = *(u16 *)(t + TSS_IOMAP);
	struct ctx c = V86(v_in, 0);

	ctx_run(&c);
	check("port-allowed", c.vector, BP);
	t[map + 0x80 / 8] |= 1;
	c = V86(v_in, FL_IOPL3);
	ctx_run(&c);
	check("port-forbidden-whatever-iopl", c.vector << 16 | c.error, GP << 16);
	t[map + 0x80 / 8] &= ~1;
	*(u16 *)(t + TSS_IOMAP) = 0xffff;
	c = V86(v_in, 0);
	ctx_run(&c);
	check("no-map", c.vector, GP);
	*(u16 *)(t + TSS_IOMAP) = map;
}

/* The redirection map lies below the I/O map. */
static void vme(void)
{
	u8 *t = own_tss();
	u16 map = *(u16 *)(t + TSS_IOMAP);
	struct ctx c;

	memcpy((void *)0x5000, v_handler, (size_t)(v_handler_end - v_handler));
	*(volatile u32 *)(0x21 * 4) = 0x05000000;
	*(u16 *)(t + TSS_IOMAP) = map + 64;
	memset(t + map, 0, 32);
	write_cr4(read_cr4() | CR4_VME);
	c = V86(v_int_done, 0);
	ctx_run(&c);
	check("vme-redirected", c.vector, BP);
	check("vme-handler-ran", c.bx & 0xffff, 0x77);
	check("vme-came-back", c.ip, CODE_AT + 3);
	t[map + 32 + 0x21 / 8] |= 1 << (0x21 & 7);
	c = V86(v_int_done, 0);
	ctx_run(&c);
	check("vme-not-redirected-iopl0", c.vector << 16 | c.error, GP << 16);
	t[map + 32 + 0x21 / 8] &= ~(1 << (0x21 & 7));
	c = V86(v_sti, 0);
	ctx_run(&c);
	check("vme-sti-vif", c.flags & (FL_VIF | FL_IF), FL_VIF);
	c = V86(v_cli, FL_VIF);
	ctx_run(&c);
	check("vme-cli-vif", c.flags & FL_VIF, 0);
	c = V86(v_sti, FL_VIP);
	ctx_run(&c);
	check("vme-sti-vip", c.vector << 16 | c.error, GP << 16);
	c = V86(v_pushf, FL_VIF);
	ctx_run(&c);
	check("vme-pushf", c.ax & (FL_IF | FL_IOPL3), FL_IF | FL_IOPL3);
	c = V86(v_popf, 0);
	ctx_run(&c);
	check("vme-popf-vif", c.flags & (FL_VIF | FL_IF), FL_VIF);
	c = V86(v_popf, FL_VIP);
	ctx_run(&c);
	check("vme-popf-vip", c.vector << 16 | c.error, GP << 16);
	c = V86(v_pushfd, 0);
	ctx_run(&c);
	check("vme-pushfd", c.vector << 16 | c.error, GP << 16);
	c = V86(v_iret, 0);
	ctx_run(&c);
	check("vme-iret-vif", c.flags & (FL_VIF | FL_IF), FL_VIF);
	write_cr4(read_cr4() & ~CR4_VME);
	*(u16 *)(t + TSS_IOMAP) = map;
}

CODE(p_sti, "sti\nint3\n")
CODE(p_cli, "cli\nint3\n")

/* The same for ring 3 of protected mode. */
static void pvi(void)
{
	struct ctx c;

	c = ctx_user(p_sti);
	ctx_run(&c);
	check("no-pvi-sti", c.vector, GP);
	write_cr4(read_cr4() | CR4_PVI);
	c = ctx_user(p_sti);
	ctx_run(&c);
	check("pvi-sti", c.flags & (FL_VIF | FL_IF), FL_VIF);
	c = ctx_user(p_cli);
	c.flags |= FL_VIF | FL_IF;
	ctx_run(&c);
	check("pvi-cli", c.flags & (FL_VIF | FL_IF), FL_IF);
	c = ctx_user(p_sti);
	c.flags |= FL_VIP;
	ctx_run(&c);
	check("pvi-sti-vip", c.vector << 16 | c.error, GP << 16);
	write_cr4(read_cr4() & ~CR4_PVI);
}

int main(void)
{
	entry();
	sensitive();
	ports();
	if (!cpu_has(1, 0, EDX, 1) || is_tcg()) {
		skip("vme", "the CPU has none, or is TCG, which says so and has little");
		return 0;
	}
	vme();
	pvi();
	return 0;
}
