/* SPDX-License-Identifier: MIT */
/* guests.c - the kinds of hostile guest. */
#include "hostile/hostile.h"
#include "sundog/types.h"

/* --- any bytes, any instructions -------------------------------------------------------------- */

static void memory_bytes(struct guest *g)
{
	put_random(g, 0, 0x80000);
	if (rng_below(&g->rng, 2))
		put_tables(g);
	put_random(g, AT_CODE, CODE_SIZE);
}

static void memory_stream(struct guest *g)
{
	struct code c = {g, AT_CODE, AT_CODE + CODE_SIZE - 16};

	put_tables(g);
	put_random(g, AT_DATA, 0x10000);
	while (c.at < c.end - 32) {
		emit_any(&c, &g->rng, g->size);
		if (!rng_below(&g->rng, 40) && g->size != CODE16)
			emit_jmp(&c, AT_CODE + rng_below(&g->rng, CODE_SIZE));
	}
	c.end += 16;
	emit_jmp(&c, AT_CODE);
}

static void enter_any(struct guest *g, unsigned cpu)
{
	struct cpu_state *st = &x86_cpu(g->m->vcpus[cpu])->st;
	struct rng *r = &g->cpu_rng[cpu];

	if (g->size == CODE16)
		enter_real(g, cpu);
	else
		enter_mode(g, cpu, g->size, rng_below(r, 3) == 0);
	if (!rng_below(r, 4))
		st->rflags |= rng_next(r) & (FL_TF | FL_AC | FL_DF | FL_NT | FL_IOPL);
	if (!rng_below(r, 4) && g->size == CODE32)
		st->rflags |= FL_VM;
	for (unsigned i = 0; !rng_below(r, 4) && i < 4; i++) {
		st->dr[i] = rng_odd(r) & 0xffffff;
		st->dr7 |= rng_next(r) & 0xffff00ff & ~(u32)(2 << (16 + 4 * i));
	}
	if (st->rflags & FL_VM)
		for (unsigned i = 0; i < NR_SEGS; i++)
			st->seg[i] = (struct seg){AT_CODE, 0xffff, AT_CODE >> 4,
						  SEG_P | SEG_S | SEG_DPL | SEG_RW | SEG_A};
	st->rip = st->rflags & FL_VM ? rng_below(r, 0x10000) : st->rip;
}

/* --- 64-bit programs in ring 0 --------------------------------------------------------------- */

static void enter_start(struct guest *g, unsigned cpu)
{
	struct cpu_state *st = &x86_cpu(g->m->vcpus[cpu])->st;

	enter_mode(g, cpu, CODE64, false);
	st->rip = AT_CODE + 0x4000 * cpu;
}

static void set_64(struct guest *g)
{
	if (g->size != CODE64) /* others may be looking */
		g->size = CODE64;
}

/* A program for each vCPU, made of pieces, that never ends. */
static void programs(struct guest *g, void (*piece)(struct code *c, struct rng *r))
{
	set_64(g);
	put_tables(g);
	for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
		u64 start = AT_CODE + 0x4000 * cpu;
		struct code c = {g, start, start + 0x4000 - PIECE};

		while (c.at + PIECE < c.end) {
			piece(&c, &g->rng);
			emit_align(&c);
		}
		c.end += PIECE;
		emit_jmp(&c, start);
	}
}

static u64 some_port(struct rng *r)
{
	static const u16 ports[] = {0x20,  0x21,  0xa0,	 0xa1,	0x40,  0x41,  0x42,  0x43,  0x60,
				    0x61,  0x64,  0x70,	 0x71,	0x80,  0x92,  0xe9,  0x2f8, 0x2f9,
				    0x2fb, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x4d0, 0x4d1, 0x505,
				    0x510, 0x511, 0x514, 0x518, 0x600, 0x604, 0x608, 0x620, 0xcf8,
				    0xcfc, 0xe0,  0xe8,	 0x3ff, 0x20c, 0xffff};

	return rng_below(r, 8) ? ports[rng_below(r, ARRAY_SIZE(ports))] + rng_below(r, 4)
			       : rng_next(r) & 0xffff;
}

static u64 some_register(struct rng *r)
{
	static const u64 pages[] = {0xfec00000, 0xfed00000, 0xfee00000, 0xb0000000, 0xb0008000,
				    0xb00f8000, 0xc0000000, 0xa0000,	0xffff0000, 0xfed40000};
	u64 off = rng_below(r, 4) ? 16 * rng_below(r, 64) : rng_below(r, 4096);

	return pages[rng_below(r, ARRAY_SIZE(pages))] + off;
}

static void piece_port(struct code *c, struct rng *r)
{
	emit_mov(c, RDX, some_port(r));
	emit_mov(c, RAX, rng_odd(r));
	switch (rng_below(r, 8)) {
	case 0: EMIT(c, "\xec"); break;
	case 1: EMIT(c, "\x66\xed"); break;
	case 2: EMIT(c, "\xed"); break;
	case 3: EMIT(c, "\x66\xef"); break;
	case 4: EMIT(c, "\xef"); break;
	case 5: /* rep insb or outsd */
		emit_mov(c, RCX, rng_below(r, 300));
		emit_mov(c, RDI, AT_DATA + rng_below(r, 0x10000));
		emit_mov(c, RSI, rng_odd(r) & 0xffffff);
		if (rng_below(r, 2))
			EMIT(c, "\xf3\x6c");
		else
			EMIT(c, "\xf3\x6f");
		break;
	default: EMIT(c, "\xee"); break;
	}
}

/* fw_cfg's DMA: any control word, length and address. */
static void piece_dma(struct code *c, struct rng *r)
{
	u8 desc[16];
	u64 at = AT_DATA + 16 * rng_below(r, 256);

	st_be32(desc, (u32)(rng_next(r) & (rng_below(r, 2) ? 0x1f : 0xff00001f)));
	st_be32(desc + 4, (u32)rng_odd(r));
	st_be64(desc + 8, rng_odd(r));
	put(c->g, at, desc, sizeof(desc));
	emit_mov(c, RDX, 0x518);
	emit_mov(c, RAX, __builtin_bswap32((u32)at));
	EMIT(c, "\xef");
}

static void piece_mmio(struct code *c, struct rng *r)
{
	static const char ops[][6] = {
		"\x02\x88\x03",		/* mov [rbx], al */
		"\x03\x66\x89\x03",	/* ax */
		"\x02\x89\x03",		/* eax */
		"\x02\x89\x03",		/* as it is the usual one */
		"\x03\x48\x89\x03",	/* rax */
		"\x02\x8b\x03",		/* mov eax, [rbx] */
		"\x03\x48\x8b\x03",	/* rax */
		"\x03\xf0\xff\x03",	/* lock inc dword [rbx] */
		"\x04\xf0\x48\x01\x03", /* lock add [rbx], rax */
		"\x03\x0f\x11\x03",	/* movups [rbx], xmm0 */
		"\x02\xdd\x03",		/* fld qword [rbx] */
		"\x02\xff\x33",		/* push [rbx] */
	};
	const char *op = ops[rng_below(r, ARRAY_SIZE(ops))];

	emit_mov(c, RBX, some_register(r));
	emit_mov(c, RAX, rng_odd(r));
	if (!rng_below(r, 16)) {
		emit_mov(c, RDI, some_register(r));
		emit_mov(c, RCX, rng_below(r, 3000));
		EMIT(c, "\xf3\xaa");
		return;
	}
	emit(c, op + 1, (size_t)op[0]);
}

static void piece_device(struct code *c, struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0: piece_dma(c, r); break;
	case 1:
	case 2:
	case 3: piece_port(c, r); break;
	default: piece_mmio(c, r); break;
	}
}

static void memory_devices(struct guest *g)
{
	programs(g, piece_device);
}

static void piece_msr(struct code *c, struct rng *r)
{
	static const u32 bases[] = {0x0,    0x10,	0x1b,	    0x3a,	0x6e0,
				    0x8b,   0xc1,	0xfe,	    0x174,	0x179,
				    0x1a0,  0x1d9,	0x200,	    0x250,	0x277,
				    0x2ff,  0x400,	0x800,	    0x830,	0x832,
				    0x4000, 0x4b564d00, 0xc0000080, 0xc0000100, 0xc0010000};

	emit_mov(c, RCX, bases[rng_below(r, ARRAY_SIZE(bases))] + rng_below(r, 16));
	emit_mov(c, RAX, rng_odd(r));
	emit_mov(c, RDX, rng_below(r, 2) ? 0 : rng_odd(r));
	if (rng_below(r, 4))
		EMIT(c, "\x0f\x30");
	else
		EMIT(c, "\x0f\x32");
	if (!rng_below(r, 16)) { /* mov cr0, cr3, cr4 */
		static const char *const crs[] = {"\x0f\x22\xc0", "\x0f\x22\xd8", "\x0f\x22\xe0"};

		emit(c, crs[rng_below(r, 3)], 3);
	}
}

static void memory_msrs(struct guest *g)
{
	programs(g, piece_msr);
}

/* The interrupt command register: INIT, SIPI, NMI, fixed, to anyone. */
static void piece_ipi(struct code *c, struct rng *r)
{
	static const u32 icr[] = {0x4500, 0x4620,  0x4625,  0x463f,  0x4400,  0x4031,
				  0x40ff, 0xc4500, 0xc4620, 0xc4400, 0x84035, 0x8500};

	emit_mov(c, RBX, 0xfee00310);
	emit_mov(c, RAX, rng_below(r, 5) << 24);
	EMIT(c, "\x89\x03");
	emit_mov(c, RBX, 0xfee00300);
	emit_mov(c, RAX, icr[rng_below(r, ARRAY_SIZE(icr))]);
	EMIT(c, "\x89\x03");
	if (!rng_below(r, 8))
		EMIT(c, "\xfb\xf4"); /* sti; hlt */
}

static void memory_ipis(struct guest *g)
{
	programs(g, piece_ipi);
}

/* Everything that ticks, as often as it can, and a vCPU that halts in between. */
static void piece_timer(struct code *c, struct rng *r)
{
	static const struct {
		u64 at;
		u32 val;
	} mmio[] = {
		{0xfee000f0, 0x1ff}, {0xfee003e0, 0xb},	 {0xfee00320, 0x20040},
		{0xfee00380, 1},     {0xfed00010, 3},	 {0xfed00100, 0x4c},
		{0xfed00108, 1},     {0xfec00000, 0x14}, {0xfec00010, 0x45},
		{0xfee000b0, 0},     {0xfed00010, 1},	 {0xfec00010, 0x8045},
	};
	static const u16 ports[][2] = {{0x43, 0x34}, {0x40, 1},	  {0x40, 0},	{0x70, 0x0a},
				       {0x71, 0x21}, {0x70, 0xb}, {0x71, 0x72}, {0x70, 0xc},
				       {0x21, 0},    {0xa1, 0},	  {0x20, 0x20}};

	if (rng_below(r, 2)) {
		unsigned i = (unsigned)rng_below(r, ARRAY_SIZE(mmio));

		emit_mov(c, RBX, mmio[i].at);
		emit_mov(c, RAX, mmio[i].val);
		EMIT(c, "\x89\x03");
	} else {
		unsigned i = (unsigned)rng_below(r, ARRAY_SIZE(ports));

		emit_mov(c, RDX, ports[i][0]);
		emit_mov(c, RAX, ports[i][1]);
		EMIT(c, "\xee");
	}
	if (!rng_below(r, 8))
		EMIT(c, "\xfb\x90\xf4");
	if (!rng_below(r, 8)) { /* wrmsr TSC_DEADLINE, 1 */
		emit_mov(c, RCX, 0x6e0);
		emit_mov(c, RAX, 1);
		EMIT(c, "\x31\xd2\x0f\x30");
	}
}

static void memory_timers(struct guest *g)
{
	programs(g, piece_timer);
	for (unsigned v = 32; v < 256; v++) { /* with an end of interrupt */
		struct code c = {g, AT_HANDLERS + 16 * v, AT_HANDLERS + 16 * v + 16};

		EMIT(&c, "\xc7\x04\x25\xb0\x00\xe0\xfe\0\0\0\0\x48\xcf");
	}
}

/* Code that writes code: its own, the others', across pages, through another address. */
static void piece_smc(struct code *c, struct rng *r)
{
	u64 to = AT_CODE + rng_below(r, CODE_SIZE);

	if (!rng_below(r, 4))
		to = (to | 0xfff) - rng_below(r, 8);
	if (!rng_below(r, 4))
		to = c->at + rng_below(r, 40); /* just ahead */
	switch (rng_below(r, 6)) {
	case 0: /* what is there, so that it stays code */
		emit_mov(c, RSI, to);
		emit_mov(c, RDI, to);
		emit_mov(c, RCX, rng_below(r, 64));
		EMIT(c, "\xf3\xa4");
		break;
	case 1:
		emit_mov(c, RBX, to);
		EMIT(c, "\xf0\x48\x0f\xba\x33\x07"); /* lock btr qword [rbx], 7 */
		break;
	case 2:
		emit_mov(c, RBX, to);
		EMIT(c, "\xf0\x48\x83\x03\x00"); /* lock add qword [rbx], 0 */
		break;
	case 3: EMIT(c, "\x0f\x01\x3c\x25\0\0\x02\0"); break; /* invlpg [AT_CODE] */
	default:
		emit_mov(c, RBX, to);
		emit_mov(c, RAX, rng_below(r, 2) ? 0x90909090 : rng_next(r));
		EMIT(c, "\x88\x03");
		break;
	}
}

static void memory_smc(struct guest *g)
{
	programs(g, piece_smc);
}

static u64 some_piece(struct rng *r)
{
	return AT_CODE + PIECE * rng_below(r, CODE_SIZE / PIECE);
}

/* Any instructions, many times over, and every way from one place to another. */
static void piece_graph(struct code *c, struct rng *r)
{
	u64 start = c->at, to = some_piece(r);

	for (unsigned n = (unsigned)rng_below(r, 4); n && c->at < start + PIECE - 40; n--)
		emit_any(c, r, CODE64);
	if (c->at > start + PIECE - 24)
		return; /* on into the next one */
	switch (rng_below(r, 12)) {
	case 0:
	case 1:
		EMIT(c, "\x0f");
		emit_val(c, 0x80 + rng_below(r, 16), 1); /* jcc */
		emit_val(c, to - (c->at + 4), 4);
		break;
	case 2:
		EMIT(c, "\xff\xc9\x0f\x85"); /* dec ecx; jnz to the begin */
		emit_val(c, start - (c->at + 4), 4);
		break;
	case 3:
		EMIT(c, "\xe8");
		emit_val(c, to - (c->at + 4), 4);
		break;
	case 4: EMIT(c, "\xc3"); break;
	case 5:
		emit_mov(c, RAX, rng_below(r, 16) ? to : rng_odd(r));
		EMIT(c, "\xff\xe0"); /* jmp rax */
		break;
	case 6:
		emit_mov(c, RBX, to);
		EMIT(c, "\x53\xc3"); /* push rbx; ret */
		break;
	case 7: /* a register that instructions may use as a base */
		emit_mov(c, (unsigned)rng_below(r, 16), rng_below(r, 2) ? AT_DATA : rng_odd(r));
		break;
	case 8:
		EMIT(c, "\xc6\x04\x25"); /* mov byte [to], */
		emit_val(c, to + rng_below(r, PIECE), 4);
		emit_val(c, rng_below(r, 2) ? 0x90 : rng_next(r), 1);
		break;
	case 9: EMIT(c, "\x0f\x20\xd8\x0f\x22\xd8"); break; /* mov rax, cr3; mov cr3, rax */
	default: emit_jmp(c, to);
	}
}

static void memory_graph(struct guest *g)
{
	programs(g, piece_graph);
	for (u64 at = AT_STACKS; at < AT_STACKS + 0x10000; at += 8) /* where RET finds its way */
		put_val(g, at, some_piece(&g->rng), 8);
}

static void enter_graph(struct guest *g, unsigned cpu)
{
	struct cpu_state *st = &x86_cpu(g->m->vcpus[cpu])->st;
	struct rng *r = &g->cpu_rng[cpu];

	enter_mode(g, cpu, CODE64, rng_below(r, 2));
	st->rip = some_piece(r);
	st->cr4 |= rng_below(r, 2) ? CR4_PCIDE : 0;
}

/* Entries of the page tables change while they are walked; some tables are no memory. */
static void piece_tables(struct code *c, struct rng *r)
{
	u64 entry = AT_PT + 8 * rng_below(r, 512);

	if (!rng_below(r, 32))
		entry = AT_PDPT + 8 * rng_below(r, 16);
	switch (rng_below(r, 5)) {
	case 0: /* touch two pages at once, locked */
		emit_mov(c, RBX, (0x60000 + (rng_next(r) & 0xff000)) - 3);
		EMIT(c, "\xf0\x48\xff\x03");
		break;
	case 1:
		EMIT(c, "\x0f\x20\xd8\x0f\x22\xd8"); /* mov rax, cr3; mov cr3, rax */
		break;
	case 2:
		emit_mov(c, RBX, 0x60000 + (rng_next(r) & 0xfffff));
		EMIT(c, "\x48\x8b\x03");
		break;
	default:
		emit_mov(c, RBX, 0x60000 + 4096 * rng_below(r, 256) > 0 ? entry : 0);
		emit_mov(c, RAX, rng_below(r, 2) ? rng_odd(r) | 3 : (entry - AT_PT) * 512 + 7);
		/* Those of code, stacks and tables stay. */
		if (entry >= AT_PDPT + 8 * 4 && (entry < AT_PT || entry >= AT_PT + 8 * 0x60))
			EMIT(c, "\x48\x89\x03");
		break;
	}
}

static void memory_tables(struct guest *g)
{
	programs(g, piece_tables);
	/* The second GiB's page directory is the HPET, the third's is nothing at all. */
	put_val(g, AT_PDPT + 8, 0xfed00007, 8);
	put_val(g, AT_PDPT + 16, 0xc0000007, 8);
}

/* More code than the block cache holds, on several vCPUs, with stores into it. */
static void memory_flood(struct guest *g)
{
	static const char *const fill[] = {"\x90", "\xf8", "\xf9", "\xfc"};

	set_64(g);
	put_tables(g);
	for (u64 page = 0x200000; page < 0x600000; page += 0x1000) {
		struct code c = {g, page, page + 0x1000};

		while (c.at < c.end - 64)
			emit(&c, fill[rng_below(&g->rng, 4)], 1);
		emit_mov(&c, RBX, 0x200000 + rng_below(&g->rng, 0x400000));
		if (!rng_below(&g->rng, 16))
			EMIT(&c, "\xc6\x03\x90"); /* mov byte [rbx], 0x90 */
		emit_jmp(&c, page + 0x1000 < 0x600000 ? page + 0x1000 : 0x200000);
	}
	for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
		struct code c = {g, AT_CODE + 0x4000 * cpu, AT_CODE + CODE_SIZE};

		emit_jmp(&c, 0x200000 + 0x100000 * cpu);
	}
}

/* --- ends ------------------------------------------------------------------------------------- */

static void memory_halt(struct guest *g)
{
	struct code c = {g, AT_CODE, AT_CODE + CODE_SIZE};

	set_64(g);
	put_tables(g);
	while (c.at < c.end - 16)
		EMIT(&c, "\xfa\xf4\xeb\xfc"); /* cli; 1: hlt; jmp 1b */
}

static void memory_spin(struct guest *g)
{
	static const char *const loops[] = {"\xeb\xfe\x90\x90", "\xf3\xa4\xeb\xfc",
					    "\xf3\xaa\xeb\xfc", "\xf0\xff\x03\xeb"};
	struct code c = {g, AT_CODE, AT_CODE + CODE_SIZE};

	set_64(g);
	put_tables(g);
	while (c.at < c.end - 16)
		emit(&c, loops[rng_below(&g->rng, 4)], 4);
}

/* Resets by every way there is, and triple faults. */
static void memory_resets(struct guest *g)
{
	programs(g, piece_device);
	for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
		struct code c = {g, AT_CODE + 0x4000 * cpu, AT_CODE + CODE_SIZE};

		switch (rng_below(&g->rng, 4)) {
		case 0: EMIT(&c, "\xb0\xfe\xe6\x64\xeb\xfe"); break;
		case 1: EMIT(&c, "\x66\xba\xf9\x0c\xb0\x06\xee\xeb\xfe"); break;
		case 2: EMIT(&c, "\xb0\x01\xe6\x92\xeb\xfe"); break;
		default: EMIT(&c, "\x0f\x01\x1c\x25\0\0\x08\0\xcc"); break; /* lidt; int3 */
		}
	}
}

const struct guest_kind guest_kinds[] = {
	{"bytes", 1, true, memory_bytes, enter_any},
	{"stream", 1, true, memory_stream, enter_any},
	{"devices", 1, true, memory_devices, enter_start},
	{"msrs", 1, true, memory_msrs, enter_start},
	{"ipis", 2, true, memory_ipis, enter_start},
	{"timers", 1, true, memory_timers, enter_start},
	{"smc", 2, true, memory_smc, enter_start},
	{"graph", 2, true, memory_graph, enter_graph},
	{"tables", 2, true, memory_tables, enter_start},
	{"flood", 2, true, memory_flood, enter_start},
	{"halt", 1, false, memory_halt, enter_start},
	{"spin", 2, false, memory_spin, enter_start},
	{"resets", 1, false, memory_resets, enter_start},
};

const unsigned nr_guest_kinds = ARRAY_SIZE(guest_kinds);
