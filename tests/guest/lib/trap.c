/* SPDX-License-Identifier: MIT */
/* trap.c - descriptor tables, traps, and contexts that run until the next one. */
#include "guest.h"

extern const u8 trap_stubs[];
enum { STUB_SIZE = 16 };

struct gate {
	u16 off0, sel;
	u8 ist, type;
	u16 off16;
#ifdef __x86_64__
	u32 off32, zero;
#endif
};

struct __attribute__((packed)) tss {
#ifdef __x86_64__
	u32 zero;
	u64 rsp[3], zero2, ist[7], zero3;
	u16 zero4, iomap;
#else
	u32 link;
	struct {
		u32 sp, ss;
	} stack[3];
	u32 rest[18];
	u16 trap, iomap;
#endif
	u8 io[8193];
};

u64 gdt[NR_GDT] __attribute__((aligned(16)));
struct gate idt[256] __attribute__((aligned(16)));
struct tss tss[MAX_CPUS] __attribute__((aligned(16)));
u8 ctx_stack[MAX_CPUS][16384] __attribute__((aligned(4096)));
u8 user_stack[MAX_CPUS][16384] __attribute__((aligned(4096)));
static u8 trap_stack[MAX_CPUS][16384] __attribute__((aligned(4096)));
static irq_fn *handlers[256];
static struct ctx *running[MAX_CPUS];
reg_t saved_sp[MAX_CPUS];
volatile reg_t fixup_ip, fixup_error;
volatile int fixup_vector;

_Noreturn void ctx_leave(reg_t sp);
void ctx_enter(const struct ctx *c, reg_t *saved);

unsigned this_cpu(void)
{
	reg_t tr;

	asm volatile("str %0" : "=r"(tr));
	return tr >= SEL_TSS ? (unsigned)(tr - SEL_TSS) / 16 : 0;
}

void *ring0_stack(void)
{
	return trap_stack[this_cpu()] + sizeof(trap_stack[0]);
}

const void *trap_entry(unsigned vector)
{
	return trap_stubs + STUB_SIZE * vector;
}

void set_gate(unsigned vector, const void *ip, u16 sel, unsigned type, unsigned dpl, unsigned ist)
{
	reg_t off = (reg_t)ip;

	idt[vector] = (struct gate){
		.off0 = (u16)off,
		.sel = sel,
		.ist = (u8)ist,
		.type = (u8)(0x80 | dpl << 5 | type),
		.off16 = (u16)(off >> 16),
#ifdef __x86_64__
		.off32 = (u32)(off >> 32),
#endif
	};
	barrier();
}

void default_gate(unsigned vector)
{
	bool outer = vector == BP || vector == OF || vector == BR || vector == DONE_VECTOR;

	set_gate(vector, trap_entry(vector), SEL_CODE, 14, outer ? 3 : 0, 0);
}

void on_vector(unsigned vector, irq_fn *fn)
{
	handlers[vector] = fn;
	barrier();
}

static void fill_gdt(void)
{
	u32 code = SEG_CODE_RX | SEG_4K, data = SEG_DATA_RW | SEG_4K | SEG_32;

	gdt[SEL_CODE / 8] = descriptor(0, 0xfffff, code | (GUEST_BITS == 64 ? SEG_64 : SEG_32));
	gdt[SEL_DATA / 8] = descriptor(0, 0xfffff, data);
	gdt[SEL_CODE32 / 8] = descriptor(0, 0xfffff, code | SEG_32);
	gdt[SEL_UCODE32 / 8] = descriptor(0, 0xfffff, code | SEG_32 | DPL(3));
	gdt[SEL_UDATA / 8] = descriptor(0, 0xfffff, data | DPL(3));
	gdt[SEL_UCODE64 / 8] = descriptor(0, 0xfffff, code | SEG_64 | DPL(3));
	gdt[SEL_CODE16 / 8] = descriptor(0, 0xffff, SEG_CODE_RX);
	gdt[SEL_DATA16 / 8] = descriptor(0, 0xffff, SEG_DATA_RW);
}

/* No port is forbidden to outer rings by the map, unless a test says so. */
static void init_tss(unsigned cpu)
{
	struct tss *t = &tss[cpu];
	reg_t top = (reg_t)trap_stack[cpu] + sizeof(trap_stack[0]);

	memset(t, 0, sizeof(*t));
#ifdef __x86_64__
	t->rsp[0] = top;
#else
	t->stack[0].sp = top;
	t->stack[0].ss = SEL_DATA;
#endif
	t->iomap = offsetof(struct tss, io);
	t->io[sizeof(t->io) - 1] = 0xff;
	gdt[SEL_TSS / 8 + 2 * cpu] = descriptor((u32)(reg_t)t, sizeof(*t) - 1, 0x89);
	barrier();
	asm volatile("ltr %w0" ::"r"(SEL_TSS + 16 * cpu) : "memory");
}

void cpu_init(unsigned cpu)
{
	struct table_reg g = {sizeof(gdt) - 1, (reg_t)gdt}, i = {sizeof(idt) - 1, (reg_t)idt};

	if (cpu == 0) {
		outb(0x21, 0xff); /* firmware leaves timers running */
		outb(0xa1, 0xff);
		fill_gdt();
		for (unsigned v = 0; v < 256; v++)
			default_gate(v);
	}
	asm volatile("lgdt %0" ::"m"(g));
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs" ::"r"(
		SEL_DATA));
#ifdef __x86_64__
	asm volatile("pushq %0; pushq $1f; lretq; 1:" ::"i"(SEL_CODE) : "memory");
#else
	asm volatile("pushl %0; pushl $1f; lret; 1:" ::"i"(SEL_CODE) : "memory");
#endif
	asm volatile("lidt %0" ::"m"(i));
	init_tss(cpu);
}

struct ctx ctx_kernel(const void *ip)
{
	unsigned cpu = this_cpu();

	return (struct ctx){
		.ip = (reg_t)ip,
		.cs = SEL_CODE,
		.flags = FL_1,
		.sp = (reg_t)ctx_stack[cpu] + sizeof(ctx_stack[0]) - 64,
		.ss = SEL_DATA,
		.ds = SEL_DATA,
		.es = SEL_DATA,
		.fs = SEL_DATA,
		.gs = SEL_DATA,
	};
}

struct ctx ctx_user(const void *ip)
{
	struct ctx c = ctx_kernel(ip);

	c.cs = GUEST_BITS == 64 ? SEL_UCODE64 : SEL_UCODE32;
	c.ss = c.ds = c.es = c.fs = c.gs = SEL_UDATA;
	c.sp = (reg_t)user_stack[this_cpu()] + sizeof(user_stack[0]) - 64;
	return c;
}

void ctx_run(struct ctx *c)
{
	unsigned cpu = this_cpu();

	running[cpu] = c;
	ctx_enter(c, &saved_sp[cpu]);
	running[cpu] = NULL;
	barrier();
}

static _Noreturn void unexpected(const struct ctx *c)
{
	print("FAIL unexpected vector %lx error %lx at %lx (cs %lx flags %lx sp %lx cr2 %lx)\n",
	      c->vector, c->error, c->ip, c->cs, c->flags, c->sp, (reg_t)read_cr2());
	give_up("unexpected trap");
}

/* From the stubs, with what they and the CPU have pushed; a return goes on behind the trap. */
void trap_c(struct ctx *frame)
{
	unsigned cpu = this_cpu();
	struct ctx *c = running[cpu];

	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
		return;
	}
	if (fixup_ip) {
		fixup_vector = (int)frame->vector;
		fixup_error = frame->error;
		frame->ip = fixup_ip;
		fixup_ip = 0;
		return;
	}
	if (!c)
		unexpected(frame);
#ifdef __x86_64__
	memcpy(c, frame, offsetof(struct ctx, es));
#else
	bool vm = frame->flags & FL_VM, outer = vm || (frame->cs & 3);
	size_t pushed = vm	? offsetof(struct ctx, cr2)
			: outer ? offsetof(struct ctx, es)
				: offsetof(struct ctx, sp);
	const u32 *segs = (const u32 *)frame - 4;

	memcpy(c, frame, pushed);
	if (!vm) {
		c->gs = segs[0];
		c->fs = segs[1];
		c->es = segs[2];
		c->ds = segs[3];
	}
	if (!outer) {
		c->sp = (reg_t)&frame->sp;
		c->ss = SEL_DATA;
		asm volatile("mov %%ss, %0" : "=r"(c->ss));
	}
#endif
	c->cr2 = read_cr2();
	ctx_leave(saved_sp[cpu]);
}
