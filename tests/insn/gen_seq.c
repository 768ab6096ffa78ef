/* SPDX-License-Identifier: MIT */
/*
 * gen_seq.c - short sequences: straight-line code with forward branches, a bounded loop, an
 * instruction that changes a later one, for blocks, links and lazily kept flags.
 */
#include "insn/gen.h"

#include <string.h>

enum { MAX_INSNS = 12, COUNTER = R15 };

static struct {
	unsigned start[MAX_INSNS + 1];
	unsigned nr;
	struct {
		unsigned end, rel_len, from;
	} branch[MAX_INSNS];
	unsigned nr_branches;
} seq;

static void put(struct test_case *c, const u8 *bytes, unsigned n)
{
	memcpy(c->code + c->code_len, bytes, n);
	c->code_len += n;
}

static bool fits(unsigned row)
{
	return gen_cfg()->wild ? row_in_wild_sequence(row) : row_in_sequence(row);
}

static void random_insn(struct test_case *c)
{
	unsigned at = c->code_len, row;

	for (;;) {
		const struct insn *in;

		row = (unsigned)(rnd() % nr_insns);
		in = &insns[row];
		/* Integer instructions more often than there are of them. */
		if ((in->attr & (A_SSE | A_FPU) && !one_in(4)) || (in->attr & A_AVX && !one_in(8)))
			continue;
		if (!fits(row) || in->attr & (c->mode == MODE64 ? A_NO64 : A_ONLY64))
			continue;
		c->code_len = at;
		/* The decoder has the last word: the prefixes may have made it another row. */
		if (gen_encoding(c, row, true) && fits(c->op.row))
			return;
	}
}

/* The last rel_len bytes are the way to an instruction further on. */
static void leads_on(const struct test_case *c, unsigned rel_len)
{
	seq.branch[seq.nr_branches].end = c->code_len;
	seq.branch[seq.nr_branches].rel_len = rel_len;
	seq.branch[seq.nr_branches++].from = seq.nr;
}

/* jcc or jmp forward, to be patched when all is there. */
static void branch(struct test_case *c)
{
	u8 img[6] = {(u8)(0x70 | (rnd() & 15)), 0};
	unsigned rel = 1;

	if (one_in(5))
		img[0] = 0xeb;
	if (one_in(3)) {
		rel = c->mode == MODE16 ? 2 : 4;
		if (img[0] == 0xeb) {
			img[0] = 0xe9;
		} else {
			img[1] = img[0] + 0x10;
			img[0] = 0x0f;
		}
	}
	put(c, img, img[0] == 0x0f ? 2 + rel : 1 + rel);
	leads_on(c, rel);
}

/* An address further on into a register, and what goes there by it. */
static void by_register(struct test_case *c, unsigned reg, const u8 *go, unsigned n)
{
	if (c->mode == MODE64) {
		put(c, (const u8[]){0x48, 0x8d, (u8)(5 | reg << 3), 0, 0, 0, 0}, 7);
	} else { /* call; pop reg; add reg, what is from there to the end; add reg, */
		put(c, (const u8[]){0xe8, 0, 0, 0, 0, (u8)(0x58 | reg)}, 6);
		put(c, (const u8[]){0x83, (u8)(0xc0 | reg), 10, 0x81, (u8)(0xc0 | reg), 0, 0, 0, 0},
		    9);
	}
	leads_on(c, 4);
	put(c, go, n);
}

/* push cs, eax; retf: to code of the other kind, at the address in RAX. */
static void to_other_mode(struct test_case *c)
{
	if (c->mode == MODE64)
		by_register(c, RAX, (const u8[]){0x6a, SEL_CS32, 0x50, 0x48, 0xcb}, 5);
	else
		by_register(c, RAX, (const u8[]){0x6a, SEL_CS64, 0x50, 0xcb}, 4);
}

/* mov dx, selector; mov sreg, dx */
static void load_segment(struct test_case *c)
{
	static const u8 sels[] = {SEL_DATA, SEL_DATA, SEL_DATA16, SEL_CS32, 0};
	static const u8 regs[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

	put(c, (const u8[]){0x66, 0xba, sels[rnd() % sizeof(sels)], 0}, 4);
	put(c, (const u8[]){0x8e, (u8)(0xc2 | regs[rnd() % sizeof(regs)] << 3)}, 2);
}

/* The same for 32-bit code. */
static void transfer32(struct test_case *c)
{
	switch (rnd() % 14) {
	case 0:
	case 1: /* call */
		put(c, (const u8[]){0xe8, 0, 0, 0, 0}, 5);
		leads_on(c, 4);
		break;
	case 2: put(c, (const u8[]){0xc3}, 1); break;			 /* ret */
	case 3: by_register(c, RAX, (const u8[]){0xff, 0xe0}, 2); break; /* jmp eax */
	case 4: by_register(c, RDX, (const u8[]){0xff, 0xd2}, 2); break; /* call edx */
	case 5: by_register(c, RAX, (const u8[]){0x50, 0xc3}, 2); break; /* push eax; ret */
	case 6:
		by_register(c, RAX, (const u8[]){0x50, 0xc2, 8, 0}, 4);
		break; /* ... ret 8 */
	/* mov [ebx + 16], eax; then by that memory: call, jmp, push and ret */
	case 7: by_register(c, RAX, (const u8[]){0x89, 0x43, 16, 0xff, 0x53, 16}, 6); break;
	case 8: by_register(c, RAX, (const u8[]){0x89, 0x43, 16, 0xff, 0x63, 16}, 6); break;
	case 9: by_register(c, RAX, (const u8[]){0x89, 0x43, 16, 0xff, 0x73, 16, 0xc3}, 7); break;
	case 10: /* pushf, push cs, eip; iret */
		by_register(c, RAX, (const u8[]){0x9c, 0x6a, SEL_CS32, 0x50, 0xcf}, 5);
		break;
	case 11: to_other_mode(c); break;
	case 12: load_segment(c); break;
	default: put(c, (const u8[]){0x0f, one_in(2) ? 0x05 : 0x34}, 2); break;
	}
}

/* What goes elsewhere by other ways than a branch. */
static void transfer(struct test_case *c)
{
	u8 ss = c->ring0 && one_in(2) ? SEL_KERNEL_DATA : SEL_DATA;

	switch (rnd() % 12) {
	case 0: /* call */
		put(c, (const u8[]){0xe8, 0, 0, 0, 0}, 5);
		leads_on(c, 4);
		break;
	case 1: put(c, (const u8[]){0xc3}, 1); break;			 /* ret */
	case 2: by_register(c, RAX, (const u8[]){0xff, 0xe0}, 2); break; /* jmp rax */
	case 3: by_register(c, RDX, (const u8[]){0xff, 0xd2}, 2); break; /* call rdx */
	case 4: by_register(c, RAX, (const u8[]){0x50, 0xc3}, 2); break; /* push rax; ret */
	case 5: /* mov r11d, flags; sysret */
		put(c, (const u8[]){0x41, 0xbb, 0xd7, 0x0e, 0, 0}, 6);
		by_register(c, RCX, (const u8[]){0x48, 0x0f, 0x07}, 3);
		break;
	case 6:
		put(c, (const u8[]){0x0f, 0x05}, 2);
		break; /* syscall */
	/* mov [rbx + 16], rax; then by that memory: call, jmp, push and ret */
	case 7: by_register(c, RAX, (const u8[]){0x48, 0x89, 0x43, 16, 0xff, 0x53, 16}, 7); break;
	case 8: by_register(c, RAX, (const u8[]){0x48, 0x89, 0x43, 16, 0xff, 0x63, 16}, 7); break;
	case 9:
		by_register(c, RAX, (const u8[]){0x48, 0x89, 0x43, 16, 0xff, 0x73, 16, 0xc3}, 8);
		break;
	case 10: to_other_mode(c); break;
	default: /* push ss, rsp, flags, cs, rip; iretq */
		put(c, (const u8[]){0x6a, ss, 0x54, 0x9c, 0x6a, 0}, 6);
		c->code[c->code_len - 1] = ss == SEL_DATA ? SEL_CS64 : SEL_KERNEL_CS;
		by_register(c, RAX, (const u8[]){0x50, 0x48, 0xcf}, 3);
	}
}

static void patch_branches(struct test_case *c)
{
	for (unsigned i = 0; i < seq.nr_branches; i++) {
		unsigned from = seq.branch[i].from;
		unsigned to = from + 1 + (unsigned)(rnd() % (seq.nr - from));
		i32 rel = (i32)seq.start[to] - (i32)seq.branch[i].end;
		u8 img[4];

		if (seq.branch[i].rel_len == 1 && rel > 127)
			rel = 0;
		st_le32(img, (u32)rel);
		memcpy(c->code + seq.branch[i].end - seq.branch[i].rel_len, img,
		       seq.branch[i].rel_len);
	}
}

/* dec r15d; jnz back */
static void loop_end(struct test_case *c, unsigned to)
{
	i32 rel = (i32)to - (i32)(c->code_len + 9);
	u8 img[9] = {0x41, 0xff, 0xcf, 0x0f, 0x85};

	st_le32(img + 5, (u32)rel);
	put(c, img, 9);
	c->in.gpr[COUNTER] = 1 + rnd() % 6;
}

/* sub dword [counter], 1; jnz back */
static void loop_end32(struct test_case *c, unsigned to)
{
	u64 counter = ARENA + PAGE_LAST * PAGE + 0x800;
	i32 rel = (i32)to - (i32)(c->code_len + 13);
	u8 img[13] = {0x83, 0x2d, 0, 0, 0, 0, 1, 0x0f, 0x85}, n[4] = {(u8)(1 + rnd() % 6)};

	st_le32(img + 2, (u32)counter);
	st_le32(img + 9, (u32)rel);
	put(c, img, 13);
	poke(c, counter, n, 4);
}

/* mov byte [rip + n], opcode: to a NOP that stands further on. */
static void modify(struct test_case *c, unsigned at, unsigned slot)
{
	static const u8 ops[] = {0x90, 0x98, 0x99, 0xf8, 0xf9, 0xf5, 0xcc, 0x9f};
	unsigned n = gen_cfg()->patch_no_flags ? 3 : sizeof(ops);

	c->code[at] = 0xc6;
	c->code[at + 1] = 0x05;
	st_le32(c->code + at + 2, slot - (at + 7));
	c->code[at + 6] = ops[rnd() % n];
}

static void pointers(struct test_case *c)
{
	static const u8 regs[] = {RBX, RSI, RDI, RBP, R12, R13};

	for (unsigned i = 0; i < (c->mode == MODE64 ? 6 : 4); i++) {
		u64 p = one_in(16) ? pick_target(16) : data_pointer(512) & ~15ull;

		if (!range_fits(p - ARENA, 1, ARENA_SIZE))
			p = data_pointer(16);
		p -= gen_seg_base(c, regs[i] == RBP ? SEG_SS : SEG_DS);
		c->in.gpr[regs[i]] = c->mode == MODE64 ? p : (u32)p;
	}
	c->in.gpr[RSP] = data_pointer(1024) & ~15ull;
	c->in.gpr[RSP] += 512;
	c->in.gpr[RCX] = rnd() % 48;
	c->in.gpr[COUNTER] = c->mode == MODE64 ? 1 : 0;
}

void gen_sequence(struct test_case *c)
{
	unsigned n = 2 + (unsigned)(rnd() % (MAX_INSNS - 1)), loop = ~0u, mod = 0, slot = 0;
	bool wide = c->mode == MODE64, wild = gen_cfg()->wild;

	memset(&seq, 0, sizeof(seq));
	pointers(c);
	if ((wide || wild) && one_in(3))
		loop = (unsigned)(rnd() % n);
	while (seq.nr < n) {
		seq.start[seq.nr] = c->code_len;
		if (wide && !mod && seq.nr + 2 < n && one_in(24)) {
			mod = c->code_len + 1;
			c->code_len += 7;
		} else if (mod && !slot && (one_in(3) || seq.nr + 1 == n)) {
			slot = c->code_len;
			put(c, (const u8[]){0x90}, 1);
		} else if (one_in(6) && seq.nr + 1 < n) {
			branch(c);
		} else if (wild && one_in(10) && seq.nr + 1 < n) {
			if (wide)
				transfer(c);
			else
				transfer32(c);
		} else {
			random_insn(c);
		}
		seq.nr++;
		if (c->code_len > MAX_CODE - 64)
			break;
	}
	seq.start[seq.nr] = c->code_len;
	if (mod && !slot) {
		slot = c->code_len;
		put(c, (const u8[]){0x90}, 1);
	}
	if (mod)
		modify(c, mod - 1, slot);
	if (loop < seq.nr && wide)
		loop_end(c, seq.start[loop]);
	else if (loop < seq.nr)
		loop_end32(c, seq.start[loop]);
	patch_branches(c);
	c->in.rflags &= ~(u64)FL_AC;
	c->op = (struct op){0};
	c->row = 0;
}
