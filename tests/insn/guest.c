/* SPDX-License-Identifier: MIT */
/*
 * guest.c - runs a case on an engine: a machine of one CPU in ring 3 of long mode, with
 * descriptor tables like those of Linux, the arena mapped as on the host, and a kernel in the
 * upper half that halts at every exception.
 */
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "insn/insn_test.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/counters.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/machine.h"

/* Guest-physical addresses; the kernel sees them at KERNEL + address. */
enum {
	RAM = 4 << 20,
	PML4 = 0x1000,
	PDPT_LOW = 0x2000,
	PD_LOW = 0x3000,
	PT_LOW = 0x4000,
	PDPT_HIGH = 0x5000,
	PD_HIGH = 0x6000,
	GDT = 0x8000,
	LDT = 0x8800,
	TSS = 0x9000,
	IDT = 0xa000,
	HANDLERS = 0xb000, /* vector n: a HLT at + 16 * n */
	STACK_TOP = 0xe000,
	ARENA_AT = 0x100000,
};

#define KERNEL 0xffff800000000000ull
#define NX (1ull << 63)

enum { SEL_KERNEL = SEL_KERNEL_CS, SEL_TSS = 0x40, SEL_LDT = 0x50, BUDGET = 200000 };

static struct machine m;
static struct machine_cfg cfg = {.nr_cpus = 1, .cpu = "x86-64-v2"};
static struct region region = {.name = "ram", .size = RAM, .kind = REGION_RAM};
static struct device dma = {.machine = &m, .id = "test"};
static struct x86_cpu *cpu;
static u8 *ram;

static struct {
	pthread_t thread;
	_Atomic u64 run; /* odd: one is under way */
	_Atomic bool stop;
} watchdog;

const u8 *guest_arena(void)
{
	return ram + ARENA_AT;
}

static void put64(u64 at, u64 val)
{
	st_le64(ram + at, val);
}

/* As segment descriptors lie in memory; attr as in struct seg. */
static u64 descriptor(u32 base, u32 limit, u32 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(attr >> 12) << 52 | (u64)(base >> 24) << 56;
}

static void make_tables(void)
{
	static const u64 gdt[] = {
		[SEL_KERNEL >> 3] = 0x00af9b000000ffff, [0x18 >> 3] = 0x00cf93000000ffff,
		[SEL_CS32 >> 3] = 0x00cffb000000ffff,	[SEL_DATA >> 3] = 0x00cff3000000ffff,
		[SEL_CS64 >> 3] = 0x00affb000000ffff,
	};

	memcpy(ram + GDT, gdt, sizeof(gdt));
	put64(LDT + 0, descriptor((u32)ARENA, 0xffff, 0xfb));
	put64(LDT + 8, descriptor((u32)ARENA, LIMIT_DATA16, 0xf3));
	put64(TSS + 4, KERNEL + STACK_TOP);
	put64(TSS + 36, KERNEL + STACK_TOP); /* IST 1 */
	ram[TSS + 102] = 0x68;		     /* no permission bitmap */
	for (unsigned v = 0; v < 256; v++) {
		u64 to = KERNEL + HANDLERS + 16 * v, dpl = v == 3 || v == 4 ? 3 : 0;

		ram[HANDLERS + 16 * v] = 0xf4;
		put64(IDT + 16 * v, (to & 0xffff) | SEL_KERNEL << 16 | 1ull << 32 |
					    (u64)(0x80 | dpl << 5 | DESC_INT32) << 40 |
					    (to >> 16 & 0xffff) << 48);
		put64(IDT + 16 * v + 8, to >> 32);
	}
}

struct vcpu *guest_vcpu(void)
{
	return &cpu->v;
}

static void make_pages(void)
{
	static const u64 rights[] = {[RWX] = 7, [RW] = 7 | NX, [RO] = 5 | NX};

	put64(PML4, PDPT_LOW | 7);
	put64(PML4 + 8 * (KERNEL >> 39 & 511), PDPT_HIGH | 3);
	put64(PDPT_LOW + 8 * (ARENA >> 30), PD_LOW | 7);
	put64(PD_LOW + 8 * (ARENA >> 21 & 511), PT_LOW | 7);
	put64(PDPT_HIGH, PD_HIGH | 3);
	put64(PD_HIGH, 0x83);
	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		if (arena_rights[i] != ABSENT)
			put64(PT_LOW + 8 * i, (ARENA_AT + i * PAGE) | rights[arena_rights[i]]);
	}
}

u64 vector_components(void)
{
	u32 a, b, c, d, lo, hi;

	__cpuid(1, a, b, c, d);
	if (!(c >> 27 & 1)) /* OSXSAVE */
		return 3;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	lo &= 0xe7;
	return (lo & 0xe6) == 0xe6 ? lo : lo & 7;
}

static void make_cpu(void)
{
	struct cpu_state *st = &cpu->st;

	x86_isa.reset(&cpu->v, RESET_POWER_ON);
	st->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	st->cr3 = PML4;
	st->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE |
		  CR4_UMIP;
	st->star = (u64)0x23 << 48 | (u64)SEL_KERNEL << 32;
	st->lstar = KERNEL + HANDLERS + 16 * 255;
	st->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	st->xcr0 = vector_components();
	st->gdtr = (struct desc_table){KERNEL + GDT, 0x7f};
	st->idtr = (struct desc_table){KERNEL + IDT, 0xfff};
	st->tr = (struct seg){KERNEL + TSS, 0x67, SEL_TSS, SEG_P | DESC_TSS32_BUSY};
	st->ldtr = (struct seg){KERNEL + LDT, 15, SEL_LDT, SEG_P | DESC_LDT};
	cpu->v.ops->state_changed(&cpu->v);
}

/* The guest has what the host has of all that the table knows, whatever the CPU model. */
static void all_features(struct cpu_features *f)
{
	static const struct {
		u32 leaf, sub;
		u8 reg, bit;
	} bits[] = {
#define FEATURE(name, leaf, sub, reg, bit, doc) {leaf, sub, reg, bit},
#include "isa/x86/features.def"
#undef FEATURE
	};

	for (unsigned i = 0; i < nr_insns; i++) {
		unsigned n = insns[i].feature;
		u32 r[4] = {0};
		bool have = n == FEAT_BASE;

		if (!have &&
		    __get_cpuid_count(bits[n].leaf, bits[n].sub, &r[0], &r[1], &r[2], &r[3]))
			have = r[bits[n].reg] >> bits[n].bit & 1;
		f->have[n / 8] &= (u8) ~(1u << n % 8);
		f->have[n / 8] |= (u8)(have << n % 8);
	}
}

static bool die(const struct err *e)
{
	fprintf(stderr, "%s\n", e->msg);
	return false;
}

bool guest_translates(void)
{
	return !strcmp(m.engine->name, "jit");
}

struct translated_sink {
	struct counter_sink sink;
	u64 n;
};

static void take_translated(struct counter_sink *s, const char *name, const char *doc, double value)
{
	if (!strcmp(name, "translated"))
		container_of(s, struct translated_sink, sink)->n = (u64)value;
}

u64 guest_translated(void)
{
	struct translated_sink t = {{take_translated}, 0};

	m.engine->stats(&m, &t.sink);
	return t.n;
}

/* Ends a run without a budget that does not end: two looks later it is the same one. */
static void *watch(void *arg)
{
	struct timespec pause = {.tv_nsec = 20000000};

	for (u64 last = 0; !atomic_load(&watchdog.stop); nanosleep(&pause, NULL)) {
		u64 now = atomic_load(&watchdog.run);

		if (now & 1 && now == last)
			vcpu_raise(&cpu->v, VCPU_STOP);
		last = now;
	}
	return NULL;
}

/* The host's signals are for the thread that runs the cases. */
static bool start_watchdog(void)
{
	sigset_t all, before;
	bool ok;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = !pthread_create(&watchdog.thread, NULL, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

bool guest_init(const char *engine)
{
	size_t name_len = strcspn(engine, ",");
	struct err e = {.msg = "cannot make the guest"};
	struct vcpu *v;

	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return die(&e);
	region.host = ram;
	m.cfg = &cfg;
	m.isa = &x86_isa;
	m.ram = ram;
	m.ram_size = RAM;
	m.mem = as_new("mem", 1ull << 40);
	m.pio = as_new("pio", 1 << 16);
	cfg.engine = engine;
	for (unsigned i = 0; engines[i] && !m.engine; i++)
		if (strlen(engines[i]->name) == name_len &&
		    !strncmp(engines[i]->name, engine, name_len))
			m.engine = engines[i];
	if (!m.engine)
		return die(&(struct err){.msg = "no such engine"});
	if (as_map(m.mem, &region) || clock_init(&m, &e) || x86_isa.features(&m, cfg.cpu, &e))
		return die(&e);
	all_features(m.features);
	v = x86_isa.vcpu_new(&m, 0, &e);
	if (!v)
		return die(&e);
	cpu = x86_cpu(v);
	v->ops = m.engine;
	if (v->ops->init(&m, &e) || v->ops->vcpu_init(v, &e))
		return die(&e);
	make_tables();
	make_pages();
	make_cpu();
	return !guest_translates() || start_watchdog();
}

void guest_fini(void)
{
	if (guest_translates()) {
		atomic_store(&watchdog.stop, true);
		pthread_join(watchdog.thread, NULL);
	}
	m.engine->vcpu_destroy(&cpu->v);
	x86_isa.vcpu_free(&cpu->v);
	m.engine->destroy(&m);
	clock_destroy(&m);
	as_free(m.mem);
	as_free(m.pio);
	free(m.features);
	munmap(ram, RAM);
}

void guest_forget(void)
{
	/* DMA over all of the code pages kills what was made from them. */
	u8 page[PAGE];

	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		memcpy(page, ram + ARENA_AT + i * PAGE, PAGE);
		if (dma_write(&dma, ARENA_AT + i * PAGE, page, PAGE))
			abort();
	}
	make_cpu();
}

void guest_put_data(const u8 image[ARENA_SIZE], const struct test_case *c)
{
	for (unsigned i = 0; i < ARENA_PAGES; i++)
		if (arena_rights[i] == RW || arena_rights[i] == RO)
			memcpy(ram + ARENA_AT + i * PAGE, image + i * PAGE, PAGE);
	for (unsigned i = 0; i < c->nr_data_pokes; i++)
		if (arena_rights[c->pokes[i].off / PAGE] == RW)
			memcpy(ram + ARENA_AT + c->pokes[i].off, c->pokes[i].bytes,
			       c->pokes[i].len);
}

void guest_put(const u8 image[ARENA_SIZE], const struct test_case *c)
{
	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		if (arena_rights[i] == RWX &&
		    dma_write(&dma, ARENA_AT + i * PAGE, image + i * PAGE, PAGE))
			abort();
		if (arena_rights[i] == RW || arena_rights[i] == RO)
			memcpy(ram + ARENA_AT + i * PAGE, image + i * PAGE, PAGE);
	}
	for (unsigned i = 0; i < c->nr_pokes; i++) {
		if (dma_write(&dma, ARENA_AT + c->pokes[i].off, c->pokes[i].bytes, c->pokes[i].len))
			abort();
	}
}

static void set_seg(enum seg_reg reg, u16 sel, u64 base)
{
	struct desc d = {.raw = ld_le64(ram + (sel & 4 ? LDT : GDT) + (sel & ~7u))};

	cpu->st.seg[reg] = sel & ~3 ? x86_desc_seg(&d, sel) : (struct seg){.sel = sel};
	if (reg >= SEG_FS)
		cpu->st.seg[reg].base = base;
}

static void load(const struct regs *r)
{
	struct cpu_state *st = &cpu->st;

	memcpy(st->gpr, r->gpr, sizeof(r->gpr));
	st->rip = r->rip;
	st->rflags = r->rflags | FL_FIXED | FL_IF;
	set_seg(SEG_CS, r->cs, 0);
	set_seg(SEG_SS, r->ss, 0);
	set_seg(SEG_DS, r->ds, 0);
	set_seg(SEG_ES, r->es, 0);
	set_seg(SEG_FS, r->fs, r->fs_base);
	set_seg(SEG_GS, r->gs, r->gs_base);
	memcpy(st->v, r->v, sizeof(st->v));
	memcpy(st->kmask, r->k, sizeof(st->kmask));
	x86_fxrstor_image(st, r->fx, true);
	st->kernel_gs_base = ARENA + PAGE_DATA * PAGE;
	st->activity = CPU_RUNNING;
	st->irq_shadow = st->shadow_is_movss = false;
	st->dr6 = 0xffff0ff0;
	st->pending_db = 0;
	x86_mode_changed(cpu);
}

static bool has_error_code(unsigned vector)
{
	return vector == X86_DF || (vector >= X86_TS && vector <= X86_PF) || vector == X86_AC;
}

/* It stands in a handler, behind the HLT: the frame on the stack is the case's end. */
static void take_frame(struct outcome *out)
{
	const struct cpu_state *st = &cpu->st;
	unsigned vector = (unsigned)(st->rip - KERNEL - HANDLERS) / 16;
	const u8 *frame;

	out->vector = (int)vector;
	out->error = 0;
	if (!range_fits(st->gpr[RSP] - KERNEL, 64, RAM)) /* SYSCALL leaves the stack as it is */
		return;
	frame = ram + (st->gpr[RSP] - KERNEL);
	if (has_error_code(vector)) {
		out->error = (u32)ld_le64(frame);
		frame += 8;
	}
	out->cr2 = st->cr2;
	memcpy(out->r.gpr, st->gpr, sizeof(out->r.gpr));
	out->r.rip = ld_le64(frame);
	out->r.cs = (u16)ld_le64(frame + 8);
	out->r.rflags = ld_le64(frame + 16);
	out->r.gpr[RSP] = ld_le64(frame + 24);
	out->r.ss = (u16)ld_le64(frame + 32);
}

void guest_run(const struct test_case *c, struct outcome *out)
{
	struct cpu_state *st = &cpu->st;
	enum vcpu_exit why;

	load(&c->in);
	if (guest_translates()) {
		atomic_store(&cpu->v.pending, 0);
		atomic_fetch_add(&watchdog.run, 1);
		why = m.engine->run(&cpu->v, 0);
		atomic_fetch_add(&watchdog.run, 1);
	} else {
		why = m.engine->run(&cpu->v, BUDGET);
	}
	*out = (struct outcome){.vector = VECTOR_TIMEOUT};
	if (why == VCPU_EXIT_HALTED && range_fits(st->rip - KERNEL - HANDLERS, 1, 4096))
		take_frame(out);
	else if (why != VCPU_EXIT_KICKED)
		out->vector = -2 - (int)why;
	out->r.ds = st->seg[SEG_DS].sel;
	out->r.es = st->seg[SEG_ES].sel;
	out->r.fs = st->seg[SEG_FS].sel;
	out->r.gs = st->seg[SEG_GS].sel;
	out->r.fs_base = st->seg[SEG_FS].base;
	out->r.gs_base = st->seg[SEG_GS].base;
	x86_fxsave_image(st, out->r.fx, true);
	memcpy(out->r.v, st->v, sizeof(st->v));
	memcpy(out->r.k, st->kmask, sizeof(st->kmask));
	for (unsigned i = 0; i < 16; i++)
		memset(out->r.v[i].b, 0, 16);
	if (out->vector < 0)
		make_cpu();
}

unsigned guest_disasm(const struct test_case *c, u64 rip, const u8 *bytes, unsigned len, char *text,
		      size_t size)
{
	u8 code_size = cpu->code_size;
	unsigned n;

	cpu->code_size = mode_code_size(c->mode);
	n = x86_isa.disasm(&cpu->v, rip, bytes, len, text, size);
	cpu->code_size = code_size;
	return n;
}
