/* SPDX-License-Identifier: MIT */
/*
 * links.c - what a translator may have joined while code was hot, and must part again: branches and
 * instructions from page to page, large pages side by side, address spaces that share code.
 *
 * Each check runs its code often before something changes.
 *
 * Source: SDM volume 3A, "Caching Translation Information", "Self-Modifying Code".
 *
 * memory: 256M
 * qemu edge-*: TCG does not look where a near branch goes, and faults there
 */
#include "modes.h"

#define GIB (1ull << 30)
enum { PAGE = 4096, UNIT = 2 << 20, LAST = UNIT - PAGE, HEAT = 2500, FEW = 20 };

/* --- pages of code -----------------------------------------------------------------------------
 *
 * All pages of a test hold the same code, but for a number.  Each has ways into the page behind it,
 * where that page's number is found, and is the target of the page before it.
 */

enum { CALL, JMP, JCC, SHORT, LOOP, FALL, JCC_FALL, STRADDLE, STRADDLE_ALONE, NR_WAYS };
static const char *const way_name[] = {"call", "jmp",	   "jcc",      "short jcc",	"loop",
				       "fall", "jcc fall", "straddle", "straddle alone"};
/*
 * The last four are one string of bytes, entered at four places: the instruction that crosses is
 * the first one of those or has another one in front of it.
 */
static const u16 entry_of[] = {0x100, 0x120, 0x140, 0xfe6, 0x180, 0xfff, 0xff8, 0xffc, 0xffd};
enum { AT_BEGIN = 0, AT_NUMBER = 0x10, AT_BRANCH = 0x50, AT_LOOP = 0x70 };
static const u16 target_of[NR_WAYS] = {AT_BRANCH, AT_BRANCH, AT_BRANCH, AT_BRANCH, AT_LOOP};
enum { MAX_NUMBER = 5 };

static void put(u8 *p, const void *bytes, unsigned n)
{
	memcpy(p, bytes, n);
}

/* A displacement at p + at, to an offset from p. */
static void put_rel32(u8 *p, int at, int to)
{
	s32 rel = to - (at + 4);

	put(p + at, &rel, 4);
}

/* mov $n, %eax; ret */
static void put_mov(u8 *p, u32 n)
{
	*p = 0xb8;
	put(p + 1, &n, 4);
	p[5] = 0xc3;
}

static void put_sources(u8 *p)
{
	put(p + entry_of[CALL], "\xe8....\xc3", 6);
	put_rel32(p, entry_of[CALL] + 1, PAGE + AT_BRANCH);
	p[entry_of[JMP]] = 0xe9;
	put_rel32(p, entry_of[JMP] + 1, PAGE + AT_BRANCH);
	put(p + entry_of[JCC], "\x85\xff\x0f\x84....\x0f\x0b", 10); /* test; je; ud2 */
	put_rel32(p, entry_of[JCC] + 4, PAGE + AT_BRANCH);
	put(p + entry_of[SHORT], "\x31\xc0\x74.\x0f\x0b", 6); /* xor; je; ud2 */
	p[entry_of[SHORT] + 3] = (u8)(PAGE + AT_BRANCH - (entry_of[SHORT] + 4));
	put(p + entry_of[LOOP], "\xb9\x08\0\0\0\xe9", 6); /* mov $8, %ecx; jmp */
	put_rel32(p, entry_of[LOOP] + 6, PAGE + AT_LOOP);
	/*
	 * test; jne that is never taken, at the end of the page.  Its last four bytes are a nop and
	 * the begin of mov $, %eax, and the last one is a nop.
	 */
	put(p + entry_of[JCC_FALL], "\x85\xff\x0f\x85\x90\xb8\x90\x90", 8);
}

/* The nop goes on with a jump to mov $number; the same two bytes end the immediate of STRADDLE. */
static u8 jump_to_number(u32 number)
{
	return (u8)(AT_NUMBER + 8 * number - 2);
}

static void put_targets(u8 *p, u32 number)
{
	put(p + AT_BEGIN, "\xeb.\xc3", 3);
	p[AT_BEGIN + 1] = jump_to_number(number);
	for (u32 n = 1; n <= MAX_NUMBER; n++)
		put_mov(p + AT_NUMBER + 8 * n, n);
	put_mov(p + AT_BRANCH, number);
	put(p + AT_LOOP, "\xff\xc9\x0f\x85", 4); /* dec %ecx; jne */
	put_rel32(p, AT_LOOP + 4, entry_of[LOOP] + 5 - PAGE);
	put_mov(p + AT_LOOP + 8, number);
	barrier();
}

static u32 result_of(unsigned way, u32 number)
{
	return way >= STRADDLE ? (u32)jump_to_number(number) << 24 | 0xeb9090 : number;
}

static u8 *fill_page(u64 pa, u32 number)
{
	u8 *p = (u8 *)pa;

	put_sources(p);
	put_targets(p, number);
	return p;
}

/* A large page: its first, its last, and two in the middle. */
enum { INNER = 0x10 * PAGE };

static void fill_unit(u64 pa, u32 number)
{
	fill_page(pa, number);
	fill_page(pa + INNER, number);
	fill_page(pa + INNER + PAGE, number);
	fill_page(pa + LAST, number);
}

/* Fresh large pages, one behind the other, far from all else. */
static u64 new_units(unsigned n, u32 number)
{
	static u64 next = 16 << 20;
	u64 pa = next;

	next += (u64)n * UNIT;
	for (unsigned i = 0; i < n; i++)
		fill_unit(pa + (u64)i * UNIT, number);
	return pa;
}

/* --- running them ------------------------------------------------------------------------------
 */

/* RBX is called R12 times with R15 in RDI, and must give RBP. */
CODE(caller, "1: mov %r15d, %edi; call *%rbx; cmp %ebp, %eax; jne 2f\n"
	     "dec %r12; jnz 1b\n2:" DONE_INSN)
/* RBX and R13 in turns, for RBP and R14. */
CODE(alternate, "1: xor %edi, %edi; call *%rbx; cmp %ebp, %eax; jne 2f\n"
		"xor %edi, %edi; call *%r13; cmp %r14d, %eax; jne 2f\n"
		"dec %r12; jnz 1b\n2:" DONE_INSN)
/* RBX in two address spaces, R8 and R9; R10 is the one to come back to. */
CODE(switcher, "1: mov %r8, %cr3; xor %edi, %edi; call *%rbx; cmp %ebp, %eax; jne 2f\n"
	       "mov %r9, %cr3; xor %edi, %edi; call *%rbx; cmp %r14d, %eax; jne 2f\n"
	       "dec %r12; jnz 1b\n2: mov %r10, %cr3\n" DONE_INSN)

static bool tell_unless(bool ok, unsigned way, u64 va, const struct ctx *c)
{
	if (!ok)
		print("  %s from %lx: vector %lx error %lx at %lx, rax %lx, %lx to go, cr2 %lx\n",
		      way_name[way], (reg_t)va, c->vector, c->error, c->ip, c->ax, c->r12, c->cr2);
	return ok;
}

static struct ctx run_way(unsigned way, u64 va, u32 number, u64 rounds)
{
	struct ctx c = context(caller);

	c.bx = va + entry_of[way];
	c.bp = result_of(way, number);
	c.r12 = rounds;
	ctx_run(&c);
	return c;
}

/* Do all ways out of the page at va find number?  A bit for each that does not. */
static u32 look(u64 va, u32 number, u64 rounds)
{
	u32 wrong = 0;

	for (unsigned way = 0; way < NR_WAYS; way++) {
		struct ctx c = run_way(way, va, number, rounds);

		wrong |= (u32)!tell_unless(ended(&c), way, va, &c) << way;
	}
	return wrong;
}

static bool faulted(const struct ctx *c, unsigned way, u64 va, reg_t error)
{
	u64 at = va + PAGE + target_of[way], sp = context(caller).sp;
	u64 ip = way >= STRADDLE ? va + entry_of[STRADDLE_ALONE] : at;

	return c->vector == PF && c->error == (error | PF_I) && c->cr2 == at && c->ip == ip &&
	       c->sp == sp - (way == CALL ? 16 : 8);
}

/* Do all of them fault in the page behind, as its fetch does? */
static u32 look_faults(u64 va, reg_t error)
{
	u32 wrong = 0;

	for (unsigned way = 0; way < NR_WAYS; way++) {
		struct ctx c = run_way(way, va, 1, 1);

		wrong |= (u32)!tell_unless(faulted(&c, way, va, error), way, va, &c) << way;
	}
	return wrong;
}

/* --- what changes ------------------------------------------------------------------------------
 */

static void forget_all(void)
{
	write_cr4(read_cr4() & ~(reg_t)CR4_PGE);
	write_cr4(read_cr4() | CR4_PGE);
}

/* Forget a large page that was there: each time by another way that is enough. */
static void forget_unit(u64 va)
{
	static unsigned turn;

	/* TCG, of a large page, forgets where code is only in the 4 KiB that INVLPG names. */
	if (is_tcg())
		forget_all();
	switch (turn++ % 4) {
	case 0: invlpg((void *)(va + INNER + 0x123)); break;
	case 1: invlpg((void *)va); break;
	case 2: invlpg((void *)(va + UNIT - 1)); break;
	case 3:
		if (mode->flags & PTE_G)
			forget_all();
		else
			write_cr3(read_cr3());
		break;
	}
}

static void put_unit(u64 va, u64 pa, u64 flags)
{
	*pte_of(va, LEVEL_2M) = pa | flags | PTE_PS;
	barrier();
	forget_unit(va);
}

/* The same memory by small pages, but for one that is another. */
static void split_unit(u64 va, u64 pa, unsigned index, u64 other)
{
	u64 *table = page_alloc();

	for (unsigned i = 0; i < 512; i++)
		table[i] = (pa + (u64)i * PAGE) | rights();
	table[index] = other | rights();
	*pte_of(va, LEVEL_2M) = (reg_t)table | PTE_P | PTE_W | PTE_U;
	barrier();
	forget_unit(va);
}

static void merge_unit(u64 va, u64 pa)
{
	*pte_of(va, LEVEL_2M) = pa | rights() | PTE_PS;
	barrier();
	forget_all(); /* up to 512 small pages */
}

/* --- large pages side by side ------------------------------------------------------------------
 */

enum change { REMAP, ABSENT, NX, SPLIT_NEXT, SPLIT_WITHIN, NR_CHANGES };
static const char *const change_name[] = {"remapped", "absent", "nx", "split-next", "split-within"};

/* Three of them at va, of pa: what is found in page 0x11 of the first, in the second, the third. */
static u32 look_units(u64 va, u32 within, u32 next, u32 third, u64 rounds)
{
	return look(va + INNER, within, rounds) | look(va + LAST, next, rounds) << NR_WAYS |
	       look(va + UNIT + LAST, third, rounds) << 2 * NR_WAYS;
}

static u32 change_units(enum change how, u64 va, u64 pa)
{
	static u64 other, page;
	u64 next = va + UNIT;
	reg_t user = mode->user ? PF_U : 0;

	if (!other) {
		other = new_units(1, 2);
		page = (reg_t)fill_page((reg_t)page_alloc(), 3);
	}
	switch (how) {
	case REMAP:
		put_unit(next, other, rights());
		return look_units(va, 1, 2, 1, FEW) | look(next + INNER, 2, FEW);
	case ABSENT: put_unit(next, 0, 0); return look_faults(va + LAST, user);
	case NX:
		put_unit(next, pa + UNIT, rights() | PTE_NX);
		return look_faults(va + LAST, user | PF_P);
	case SPLIT_NEXT: split_unit(next, pa + UNIT, 0, page); return look_units(va, 1, 3, 1, FEW);
	case SPLIT_WITHIN:
		split_unit(va, pa, INNER / PAGE + 1, page);
		return look_units(va, 3, 1, 1, FEW);
	default: return ~0u;
	}
}

/* Memory that was not used before, since what is known of it may only become less. */
static void units(enum change how)
{
	u64 va = TEST_VA + 4 * GIB, pa = new_units(3, 1);

	for (unsigned i = 0; i < 3; i++)
		put_unit(va + (u64)i * UNIT, pa + (u64)i * UNIT, rights());
	check(named("units-joined", change_name[how], mode->name), look_units(va, 1, 1, 1, HEAT),
	      0);
	check(named("units", change_name[how], mode->name), change_units(how, va, pa), 0);
	if (how == SPLIT_WITHIN)
		merge_unit(va, pa);
	else if (how == SPLIT_NEXT)
		merge_unit(va + UNIT, pa + UNIT);
	else
		put_unit(va + UNIT, pa + UNIT, rights());
	check(named("units-back-from", change_name[how], mode->name),
	      look_units(va, 1, 1, 1, how == REMAP ? HEAT : FEW), 0);
}

static void all_units(void)
{
	for (unsigned how = 0; how < NR_CHANGES; how++)
		for (mode = modes; mode < modes + ARRAY_SIZE(modes); mode++)
			units(how);
	mode = modes;
}

/* --- the same code at two addresses ------------------------------------------------------------
 */

/* Pages at a and b hold the same, but what follows has the numbers 1 and 2. */
static u32 look_both(u64 a, u64 b)
{
	u32 wrong = look(a, 1, HEAT);

	for (unsigned way = 0; way < NR_WAYS; way++) {
		struct ctx c = context(alternate);

		c.bx = a + entry_of[way];
		c.bp = result_of(way, 1);
		c.r13 = b + entry_of[way];
		c.r14 = result_of(way, 2);
		c.r12 = HEAT;
		ctx_run(&c);
		wrong |= (u32)!tell_unless(ended(&c), way, a, &c) << way;
	}
	return wrong | look(b, 2, HEAT) | look(a, 1, FEW);
}

static void twice_mapped(void)
{
	u64 a = TEST_VA + 8 * GIB, b = TEST_VA + 9 * GIB, small = TEST_VA + 10 * GIB;
	u64 pa = new_units(2, 1), other = new_units(1, 2);
	u64 page = (reg_t)fill_page((reg_t)page_alloc(), 1);
	u64 behind = (reg_t)fill_page((reg_t)page_alloc(), 1);
	u64 page2 = (reg_t)fill_page((reg_t)page_alloc(), 2);

	put_unit(a, pa, rights());
	put_unit(a + UNIT, pa + UNIT, rights());
	put_unit(b, pa, rights());
	put_unit(b + UNIT, other, rights());
	check(named("twice", "units", mode->name), look_both(a + LAST, b + LAST), 0);
	/* By a large page and a small one. */
	map(small, pa + LAST, rights(), LEVEL_4K);
	map(small + PAGE, page2, rights(), LEVEL_4K);
	check(named("twice", "unit-and-page", mode->name), look_both(a + LAST, small), 0);
	map(small + 16 * PAGE, page, rights(), LEVEL_4K);
	map(small + 17 * PAGE, behind, rights(), LEVEL_4K);
	map(small + 32 * PAGE, page, rights(), LEVEL_4K);
	map(small + 33 * PAGE, page2, rights(), LEVEL_4K);
	check(named("twice", "pages", mode->name), look_both(small + 16 * PAGE, small + 32 * PAGE),
	      0);
	/* And the one of two small pages becomes like the other. */
	map(small + 17 * PAGE, page2, rights(), LEVEL_4K);
	check(named("twice", "pages-same", mode->name), look(small + 16 * PAGE, 2, FEW), 0);
	map(small + 17 * PAGE, 0, 0, LEVEL_4K);
	check(named("twice", "pages-absent", mode->name),
	      look_faults(small + 16 * PAGE, mode->user ? PF_U : 0), 0);
	check(named("twice", "pages-other-stays", mode->name), look(small + 32 * PAGE, 2, FEW), 0);
}

/* --- two address spaces ------------------------------------------------------------------------
 */

/* The second one has at TEST_VA and on what the first has a PML4 entry later. */
#define SECOND (1ull << 39)
enum { TEST_SLOT = TEST_VA >> 39 & 511 };
static u64 second_pml4[512] __attribute__((aligned(4096)));

static void make_second(void)
{
	(void)pte_of(TEST_VA, LEVEL_4K);
	(void)pte_of(TEST_VA + SECOND, LEVEL_4K);
	memcpy(second_pml4, page_pml4, sizeof(second_pml4));
	second_pml4[TEST_SLOT] = page_pml4[TEST_SLOT + 1];
}

struct spaces {
	const char *name;
	u64 cr3[2];
};

static struct spaces plain_spaces(void)
{
	return (struct spaces){"cr3", {(reg_t)page_pml4, (reg_t)second_pml4}};
}

/* Ring 3 comes back after a few rounds for the change. */
static bool alternate_user(unsigned way, u64 va, const struct spaces *s, const u32 number[2])
{
	bool ok = true;

	for (unsigned i = 0; i < 2 * FEW && ok; i++) {
		struct ctx c;

		write_cr3(s->cr3[i & 1]);
		c = run_way(way, va, number[i & 1], FEW);
		ok = tell_unless(ended(&c), way, va, &c);
	}
	return ok;
}

static bool alternate_kernel(unsigned way, u64 va, const struct spaces *s, const u32 number[2])
{
	struct ctx c = ctx_kernel(switcher);

	c.bx = va + entry_of[way];
	c.r8 = s->cr3[0];
	c.r9 = s->cr3[1];
	c.r10 = s->cr3[0];
	c.bp = result_of(way, number[0]);
	c.r14 = result_of(way, number[1]);
	c.r12 = HEAT;
	ctx_run(&c);
	return tell_unless(ended(&c), way, va, &c);
}

/* The same page at va in both, which find other numbers behind it. */
static u32 look_spaces(u64 va, const struct spaces *s, u32 first, u32 second)
{
	u32 number[2] = {first, second}, wrong = 0;

	for (unsigned way = 0; way < NR_WAYS; way++)
		wrong |= (u32) !(mode->user ? alternate_user(way, va, s, number)
					    : alternate_kernel(way, va, s, number))
			 << way;
	write_cr3(s->cr3[0]);
	return wrong;
}

/*
 * What a branch led to in the first space is written while the second one is to come: that takes
 * the branch for its own, but must not do so for the first one, which has forgotten nothing.
 */
static u32 look_rewritten(u64 va, const struct spaces *s, u8 *first)
{
	u32 wrong = 0;

	for (unsigned way = 0; way < NR_WAYS; way++) {
		for (unsigned i = 0; i < 3; i++) {
			struct ctx c;

			write_cr3(s->cr3[i & 1]);
			c = run_way(way, va, 1 + (i & 1), i < 2 ? HEAT : FEW);
			wrong |= (u32)!tell_unless(ended(&c), way, va, &c) << way;
			if (!i)
				put_targets(first, 1);
		}
	}
	return wrong;
}

static void forget_in_second(const struct spaces *s, u64 va)
{
	u64 desc[2] = {s->cr3[1] & 0xfff, va};

	if (s->cr3[1] & 0xfff && cpu_has(7, 0, EBX, 10))
		asm volatile("invpcid %0, %1" ::"m"(desc), "r"(0ul) : "memory");
	else
		forget_all();
}

static void small_spaces(const struct spaces *s)
{
	static const u64 va = TEST_VA + 16 * GIB + 0x7000;
	u64 page[4], *next = pte_of(va + SECOND + PAGE, LEVEL_4K);

	for (u32 i = 0; i < 4; i++)
		page[i] = (reg_t)fill_page((reg_t)page_alloc(), i);
	*pte_of(va, LEVEL_4K) = *pte_of(va + SECOND, LEVEL_4K) = page[0] | rights();
	/* What differs is not global. */
	*pte_of(va + PAGE, LEVEL_4K) = page[1] | (rights() & ~(u64)PTE_G);
	*next = page[2] | (rights() & ~(u64)PTE_G);
	forget_all();
	check(named(s->name, "pages", mode->name), look_spaces(va, s, 1, 2), 0);
	/* Changed while the other space is in use. */
	*next = page[3] | (rights() & ~(u64)PTE_G);
	forget_in_second(s, va + PAGE);
	check(named(s->name, "changed-meanwhile", mode->name), look_spaces(va, s, 1, 3), 0);
	*next = page[1] | (rights() & ~(u64)PTE_G);
	forget_in_second(s, va + PAGE);
	check(named(s->name, "same-behind", mode->name), look_spaces(va, s, 1, 1), 0);
}

static void rewritten_spaces(const struct spaces *s)
{
	static const u64 va = TEST_VA + 17 * GIB + 0x7000;
	u64 page[3];

	for (u32 i = 0; i < 3; i++)
		page[i] = (reg_t)fill_page((reg_t)page_alloc(), i);
	*pte_of(va, LEVEL_4K) = *pte_of(va + SECOND, LEVEL_4K) = page[0] | rights();
	*pte_of(va + PAGE, LEVEL_4K) = page[1] | (rights() & ~(u64)PTE_G);
	*pte_of(va + SECOND + PAGE, LEVEL_4K) = page[2] | (rights() & ~(u64)PTE_G);
	forget_all();
	check(named(s->name, "rewritten", mode->name), look_rewritten(va, s, (u8 *)page[1]), 0);
	write_cr3(s->cr3[0]);
}

static void large_spaces(const struct spaces *s)
{
	static const u64 va = TEST_VA + 20 * GIB;
	static u64 pa, other;

	if (mode->flags & PTE_G)
		return;
	if (!pa) {
		pa = new_units(2, 1);
		other = new_units(1, 2);
	}
	*pte_of(va, LEVEL_2M) = *pte_of(va + SECOND, LEVEL_2M) = pa | rights() | PTE_PS;
	*pte_of(va + UNIT, LEVEL_2M) = (pa + UNIT) | rights() | PTE_PS;
	*pte_of(va + SECOND + UNIT, LEVEL_2M) = other | rights() | PTE_PS;
	forget_all();
	check(named(s->name, "units", mode->name), look_spaces(va + LAST, s, 1, 2), 0);
}

static void each_mode(const struct spaces *s)
{
	for (mode = modes; mode < modes + ARRAY_SIZE(modes); mode++) {
		small_spaces(s);
		large_spaces(s);
		rewritten_spaces(s);
	}
	mode = modes;
}

static void spaces(void)
{
	struct spaces s = plain_spaces();
	reg_t cr4 = read_cr4();

	make_second();
	each_mode(&s);
	if (!cpu_has(1, 0, ECX, 17)) {
		skip("pcid", "no PCID");
		return;
	}
	write_cr4(cr4 | CR4_PCIDE);
	s.name = "pcid";
	s.cr3[0] |= 1;
	s.cr3[1] |= 2;
	each_mode(&s);
	s.name = "noflush";
	s.cr3[0] |= 1ull << 63;
	s.cr3[1] |= 1ull << 63;
	each_mode(&s);
	write_cr3((reg_t)page_pml4);
	write_cr4(cr4);
}

/* --- code that is written ----------------------------------------------------------------------
 */

/* At RSI the number that RBX is to give is written, all of it or its highest byte. */
CODE(write_and_call, "1: mov %r12d, (%rsi); xor %edi, %edi; call *%rbx\n"
		     "cmp %r12d, %eax; jne 2f; dec %r12; jnz 1b\n2:" DONE_INSN)
CODE(write_half, "1: mov %r12b, (%rsi); call *%rbx\n"
		 "shr $24, %eax; cmp %r12b, %al; jne 2f; dec %r12; jnz 1b\n2:" DONE_INSN)

static u32 write_way_in_loop(unsigned way, u64 va)
{
	struct ctx c = context(way >= STRADDLE ? write_half : write_and_call);

	c.bx = va + entry_of[way];
	c.si = va + PAGE + target_of[way] + (way == LOOP ? 9 : 1);
	c.r12 = HEAT;
	ctx_run(&c);
	return (u32)!tell_unless(ended(&c), way, va, &c) << way;
}

static u32 write_in_loop(u64 va)
{
	u32 wrong = write_way_in_loop(STRADDLE_ALONE, va);

	for (unsigned way = 0; way < FALL; way++)
		wrong |= write_way_in_loop(way, va);
	return wrong;
}

/* p: the page behind va, by another address or by its own. */
static u32 write_between(u64 va, u8 *p)
{
	u32 wrong = 0;

	for (u32 i = 0; i < 50; i++) {
		u32 number = 1 + i % MAX_NUMBER;

		put_targets(p, number);
		wrong |= look(va, number, i % 10 ? 2 : 100);
		if (i % 3)
			continue;
		/* Only one byte, which is the second half of an instruction as well. */
		number = 1 + number % MAX_NUMBER;
		*(volatile u8 *)(p + AT_BEGIN + 1) = jump_to_number(number);
		for (unsigned way = FALL; way < NR_WAYS; way++) {
			struct ctx c = run_way(way, va, number, 2);

			wrong |= (u32)!tell_unless(ended(&c), way, va, &c) << way;
		}
	}
	return wrong;
}

static void write_behind(const char *what, u64 va, u64 pa)
{
	put_targets((u8 *)pa, 1);
	check(named(what, "hot", mode->name), look(va, 1, HEAT), 0);
	check(named(what, "written-by-alias", mode->name), write_between(va, (u8 *)pa), 0);
	check(named(what, "written", mode->name), write_between(va, (u8 *)va + PAGE), 0);
	check(named(what, "written-in-loop", mode->name), write_in_loop(va), 0);
}

static void written(void)
{
	u64 va = TEST_VA + 24 * GIB, small = TEST_VA + 25 * GIB, pa = new_units(2, 1);
	u64 pages[2];

	put_unit(va, pa, rights());
	put_unit(va + UNIT, pa + UNIT, rights());
	write_behind("units", va + LAST, pa + UNIT);
	write_behind("within-unit", va + INNER, pa + INNER + PAGE);
	for (unsigned i = 0; i < 2; i++) {
		pages[i] = (reg_t)fill_page((reg_t)page_alloc(), 1);
		map(small + i * PAGE, pages[i], rights(), LEVEL_4K);
	}
	write_behind("pages", small, pages[1]);
}

/* REP STOS writes the instruction behind it, by bytes and in one. */
LABEL(stosb_at);
LABEL(stosl_at);
CODE(stosb_next, "1: mov %r12d, %eax; lea 3f+1(%rip), %rdi; mov $4, %ecx; rep stosb\n"
		 "stosb_at: 3: mov $0, %eax\n"
		 "movzbl %r12b, %edx; imul $0x01010101, %edx, %edx; cmp %edx, %eax; jne 2f\n"
		 "dec %r12; jnz 1b\n2:" DONE_INSN)
CODE(stosl_next, "1: mov %r12d, %eax; lea 3f+1(%rip), %rdi; mov $1, %ecx; rep stosl\n"
		 "stosl_at: 3: mov $0, %eax\n"
		 "cmp %r12d, %eax; jne 2f; dec %r12; jnz 1b\n2:" DONE_INSN)

/* A copy at va, with the instruction that changes cut by the page end after so many bytes. */
static bool run_copy(u64 va, const u8 *code, const u8 *end, const u8 *changed, u64 first)
{
	u8 *p = (u8 *)va + PAGE - first - (changed - code);
	struct ctx c = context(p);

	memcpy(p, code, (size_t)(end - code));
	c.r12 = HEAT;
	ctx_run(&c);
	return tell_unless(ended(&c), STRADDLE, (reg_t)p, &c);
}

/* New pages for each mode: two large ones, two small ones. */
static void map_fresh(u64 va, u64 small)
{
	u64 pa = new_units(2, 1);

	for (unsigned i = 0; i < 2; i++) {
		put_unit(va + (u64)i * UNIT, pa + (u64)i * UNIT, rights());
		map(small + i * PAGE, (reg_t)fill_page((reg_t)page_alloc(), 1), rights(), LEVEL_4K);
	}
}

/* The bytes of it in the first page, from first to last, in steps. */
static bool run_copies(u64 va, u64 small, u64 first, u64 last, u64 step)
{
	bool ok = true;

	for (; first <= last; first += step) {
		ok &= run_copy(va + LAST, stosb_next, stosb_next_end, stosb_at, first);
		ok &= run_copy(small, stosb_next, stosb_next_end, stosb_at, first);
		ok &= run_copy(va + INNER, stosl_next, stosl_next_end, stosl_at, first);
		ok &= run_copy(small, stosl_next, stosl_next_end, stosl_at, first);
	}
	return ok;
}

static void written_by_strings(void)
{
	u64 va = TEST_VA + 28 * GIB, small = TEST_VA + 29 * GIB;

	map_fresh(va, small);
	check_true(named("stos", "next-instruction", mode->name), run_copies(va, small, 0, 5, 5));
}

/* The second half of an instruction, by one that comes right before it, or a call before. */
static void written_half(void)
{
	u64 va = TEST_VA + 28 * GIB, small = TEST_VA + 29 * GIB;

	map_fresh(va, small);
	check(named("half", "written-in-loop", mode->name),
	      write_way_in_loop(STRADDLE, va + LAST) | write_way_in_loop(STRADDLE, small), 0);
	check_true(named("stos", "half-of-next", mode->name), run_copies(va, small, 1, 4, 1));
}

/* --- the end of the lower half -----------------------------------------------------------------
 */

static void edge_branch(const char *name, u8 *branch, unsigned len, const char *bytes)
{
	struct ctx c;
	bool ok = true;

	put(branch, bytes, len);
	put_rel32(branch, (int)len - 4, PAGE);
	for (unsigned i = 0; i < FEW * 5 && ok; i++) {
		c = ctx_kernel(caller);
		c.bx = (reg_t)branch;
		c.r12 = 1;
		ctx_run(&c);
		ok = c.vector == GP && !c.error && c.ip == (reg_t)branch &&
		     c.sp == ctx_kernel(caller).sp - 8;
	}
	check_trap(name, &c, GP, 0, branch);
	check_true(named(name, "keeps", "rsp"), ok);
}

/* Behind it there is no canonical address. */
static void edge(void)
{
	u64 va = 0x7ffffffff000;
	u8 *p = (u8 *)va;
	struct ctx c;

	map(va, (reg_t)page_alloc(), rights(), LEVEL_4K);
	edge_branch("edge-call", p + 0x200, 5, "\xe8");
	edge_branch("edge-jmp", p + 0x300, 5, "\xe9");
	/* je that was not taken for long: xor %eax, %eax; nop; test; je; mov $7, %eax; ret */
	put(p + 0x400, "\x85\xff\x0f\x84....", 8);
	put_rel32(p, 0x404, 2 * PAGE);
	put_mov(p + 0x408, 7);
	c = ctx_kernel(caller);
	c.bx = va + 0x400;
	c.bp = 7;
	c.r15 = 1;
	c.r12 = HEAT;
	ctx_run(&c);
	check_true("edge-jcc-not-taken", ended(&c));
	c = ctx_kernel(caller);
	c.bx = va + 0x400;
	c.r12 = 1;
	ctx_run(&c);
	check_trap("edge-jcc-taken", &c, GP, 0, p + 0x402);
	/* What falls over the end faults there. */
	p[PAGE - 1] = 0x90;
	for (unsigned i = 0; i < FEW; i++) {
		c = ctx_kernel(caller);
		c.bx = va + PAGE - 1;
		c.r12 = 1;
		ctx_run(&c);
	}
	check("edge-fall", c.vector, GP);
}

int main(void)
{
	write_cr4(read_cr4() | CR4_PGE);
	all_units();
	for (mode = modes; mode < modes + NR_MODES; mode++) {
		twice_mapped();
		written();
		written_by_strings();
	}
	mode = modes;
	spaces();
	edge();
	for (mode = modes; mode < modes + NR_MODES; mode++)
		written_half();
	return 0;
}
