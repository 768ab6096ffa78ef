/* SPDX-License-Identifier: MIT */
/*
 * paging.c - 4-level paging: every combination of rights, controls and kinds of access,
 * against a model of a few lines; error codes, CR2, accessed and dirty bits.
 *
 * A combination is a leaf of 4K, 2M or 1G with any of P, W, U, NX and a reserved bit, one
 * upper entry with W, U, NX of its own, CR0.WP, CR4.SMEP, CR4.SMAP and EFLAGS.AC; accesses
 * are read, write and fetch from rings 0 and 3.  One line is printed for each page size and
 * control state; the first difference in it is printed in full.
 *
 * Source: SDM volume 3A, "Paging".
 *
 * qemu reserved-*: TCG reports reserved bits with P clear in the error code; there is an entry,
 * so the manual has it set
 * qemu nx-reserved-without-nxe: as before
 * qemu 2m-address-bit-13: as before
 * qemu 1g-address-bit-21: as before
 * qemu pml4e-ps: as before
 */
#include "paging.h"

enum { ACC_READ, ACC_WRITE, ACC_FETCH, NR_ACC };
enum { LEAF_P = 1, LEAF_W = 2, LEAF_U = 4, LEAF_NX = 8, LEAF_RSVD = 16 };
enum { UP_W = 1, UP_U = 2, UP_NX = 4, NR_UP = 8 };
enum { CTL_WP = 1, CTL_SMEP = 2, CTL_SMAP = 4, CTL_AC = 8, NR_CTL = 16 };

#define RSVD_BIT (1ull << 51)
#define GIB (1ull << 30)
/* The user's alias of the payload's code; its mappings carry U, the identity map does not. */
#define USER_VA 0x500000000000ull

CODE(do_read, "mov (%rax), %ecx\n" DONE_INSN)
CODE(do_write, "mov %ecx, (%rax)\n" DONE_INSN)
CODE(do_fetch, "jmp *%rax\n" DONE_INSN)
/* What lies at the test address: the end of a successful fetch. */
static const u8 landing[] = {0xcd, 0x40};
static u8 target[4096] __attribute__((aligned(4096)));

struct expect {
	bool fault;
	u32 error;
};

static struct expect model(unsigned level, unsigned leaf, unsigned up, unsigned ctl, unsigned acc,
			   bool user)
{
	bool w = (leaf & LEAF_W) && (up & UP_W), u = (leaf & LEAF_U) && (up & UP_U);
	bool nx = (leaf & LEAF_NX) || (up & UP_NX);
	u32 error =
		(acc == ACC_WRITE ? PF_W : 0) | (user ? PF_U : 0) | (acc == ACC_FETCH ? PF_I : 0);

	if (!(leaf & LEAF_P))
		return (struct expect){true, error};
	if (leaf & LEAF_RSVD)
		return (struct expect){true, error | PF_P | PF_RSVD};
	error |= PF_P;
	if (user && !u)
		return (struct expect){true, error};
	if (acc == ACC_WRITE && !w && (user || (ctl & CTL_WP)))
		return (struct expect){true, error};
	if (acc == ACC_FETCH && (nx || (!user && u && (ctl & CTL_SMEP))))
		return (struct expect){true, error};
	if (acc != ACC_FETCH && !user && u && (ctl & CTL_SMAP) && !(ctl & CTL_AC))
		return (struct expect){true, error};
	return (struct expect){false, 0};
}

static u64 leaf_bits(unsigned leaf)
{
	return (leaf & LEAF_P ? PTE_P : 0) | (leaf & LEAF_W ? PTE_W : 0) |
	       (leaf & LEAF_U ? PTE_U : 0) | (leaf & LEAF_NX ? PTE_NX : 0) |
	       (leaf & LEAF_RSVD ? RSVD_BIT : 0);
}

static u64 upper_bits(unsigned up)
{
	return PTE_P | (up & UP_W ? PTE_W : 0) | (up & UP_U ? PTE_U : 0) |
	       (up & UP_NX ? PTE_NX : 0);
}

/* The test address: of the page's first bytes in 4K, else where target lies in a big page. */
static u64 test_va(unsigned level)
{
	u64 size = 1ull << (12 + 9 * level);

	return TEST_VA + level * 512 * GIB + ((reg_t)target & (size - 1));
}

static u64 set_leaf(unsigned level, unsigned leaf)
{
	u64 size = 1ull << (12 + 9 * level);
	u64 entry = ((reg_t)target & ~(size - 1)) | leaf_bits(leaf) | (level ? PTE_PS : 0);

	*pte_of(test_va(level), level) = entry;
	return entry;
}

static void ctx_for(struct ctx *c, unsigned level, unsigned acc, bool user, unsigned ctl)
{
	static const u8 *const code[] = {do_read, do_write, do_fetch};
	u64 alias = USER_VA - 0x100000;

	if (user) {
		*c = ctx_user((const void *)(alias + (reg_t)code[acc]));
		c->sp += alias;
	} else {
		*c = ctx_kernel(code[acc]);
	}
	if (ctl & CTL_AC)
		c->flags |= FL_AC;
	c->ax = test_va(level);
	c->cx = 0x40cd;
}

static bool differs(const struct ctx *c, const struct expect *e, u64 va, u64 before, u64 after,
		    unsigned acc)
{
	u64 set = e->fault ? 0 : PTE_A | (acc == ACC_WRITE ? PTE_D : 0);

	if (e->fault ? c->vector != PF || c->error != e->error || c->cr2 != va
		     : c->vector != DONE_VECTOR)
		return true;
	/* Of a faulting access, accessed bits may be set or not. */
	if (e->fault)
		return (after & ~(u64)PTE_A) != before;
	return after != (before | set);
}

struct where {
	unsigned level, leaf, up, ctl;
};

static bool try_all(const struct where *w)
{
	u64 va = test_va(w->level), *pte = pte_of(va, w->level);

	for (unsigned acc = 0; acc < NR_ACC; acc++) {
		for (unsigned user = 0; user < 2; user++) {
			struct expect e = model(w->level, w->leaf, w->up, w->ctl, acc, user);
			u64 before = set_leaf(w->level, w->leaf);
			struct ctx c;

			invlpg((void *)va);
			ctx_for(&c, w->level, acc, user, w->ctl);
			ctx_run(&c);
			if (!differs(&c, &e, va, before, *pte, acc))
				continue;
			print("  leaf %x upper %x access %u user %u: expected %s error %x; "
			      "got vector %lx error %lx cr2 %lx entry %lx\n",
			      w->leaf, w->up, acc, user, e.fault ? "fault" : "none", e.error,
			      c.vector, c.error, c.cr2, *pte);
			return false;
		}
	}
	return true;
}

static bool try_state(unsigned level, unsigned ctl, unsigned rsvd)
{
	for (unsigned leaf = rsvd; leaf < rsvd + LEAF_RSVD; leaf++) {
		for (unsigned up = 0; up < NR_UP; up++) {
			struct where w = {level, leaf, up, ctl};
			u64 *upper = pte_of(test_va(level), level + 1);
			u64 old = *upper;
			bool ok;

			*upper = (old & PTE_ADDR) | upper_bits(up);
			ok = try_all(&w);
			*upper = old;
			invlpg((void *)test_va(level));
			if (!ok)
				return false;
		}
	}
	return true;
}

static void set_controls(unsigned ctl)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(ctl & CTL_WP ? cr0 | CR0_WP : cr0 & ~CR0_WP);
	cr4 &= ~(u64)(CR4_SMEP | CR4_SMAP);
	write_cr4(cr4 | (ctl & CTL_SMEP ? CR4_SMEP : 0) | (ctl & CTL_SMAP ? CR4_SMAP : 0));
}

/* "access-2m-wp-ac" and the like. */
static const char *state_name(const char *what, unsigned level, unsigned ctl)
{
	static const char *const sizes[] = {"-4k", "-2m", "-1g"};
	static const char *const words[] = {"-wp", "-smep", "-smap", "-ac"};
	static char name[64];
	char *p = name;

	while (*what)
		*p++ = *what++;
	memcpy(p, sizes[level], 3);
	p += 3;
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		for (const char *s = words[i]; (ctl >> i & 1) && *s; s++)
			*p++ = *s;
	*p = 0;
	return name;
}

static void all_states(void)
{
	bool has_smep = cpu_has(7, 0, EBX, 7), has_smap = cpu_has(7, 0, EBX, 20);

	for (unsigned level = 0; level < 3; level++) {
		for (unsigned ctl = 0; ctl < NR_CTL; ctl++) {
			bool plain, reserved;

			if ((ctl & CTL_SMEP && !has_smep) || (ctl & CTL_SMAP && !has_smap))
				continue;
			set_controls(ctl);
			plain = try_state(level, ctl, 0);
			reserved = try_state(level, ctl, LEAF_RSVD);
			set_controls(CTL_WP);
			check_true(state_name("access", level, ctl), plain);
			check_true(state_name("reserved", level, ctl), reserved);
		}
	}
}

/* NX is reserved while EFER.NXE is off. */
static void nxe_off(void)
{
	u64 efer = rdmsr(0xc0000080), va = test_va(LEVEL_4K);
	struct ctx c;

	set_leaf(LEVEL_4K, LEAF_P | LEAF_W | LEAF_U | LEAF_NX);
	wrmsr(0xc0000080, efer & ~0x800ull);
	invlpg((void *)va);
	ctx_for(&c, LEVEL_4K, ACC_READ, false, 0);
	ctx_run(&c);
	check_trap("nx-reserved-without-nxe", &c, PF, PF_P | PF_RSVD, do_read);
	set_leaf(LEVEL_4K, LEAF_P | LEAF_W | LEAF_U);
	invlpg((void *)va);
	*pte_of(va, LEVEL_4K) = 0;
	invlpg((void *)va);
	set_controls(CTL_WP);
	ctx_for(&c, LEVEL_4K, ACC_FETCH, false, 0);
	ctx_run(&c);
	check("fetch-bit-without-nxe-smep", c.error, 0);
	wrmsr(0xc0000080, efer);
}

/* Big pages have reserved bits between PAT and the address; upper entries PS in the top. */
static void reserved_places(void)
{
	struct ctx c;
	u64 *e;

	set_leaf(LEVEL_2M, LEAF_P | LEAF_W);
	*pte_of(test_va(LEVEL_2M), LEVEL_2M) |= 1 << 13;
	invlpg((void *)test_va(LEVEL_2M));
	ctx_for(&c, LEVEL_2M, ACC_READ, false, 0);
	ctx_run(&c);
	check_trap("2m-address-bit-13", &c, PF, PF_P | PF_RSVD, do_read);
	set_leaf(LEVEL_1G, LEAF_P | LEAF_W);
	*pte_of(test_va(LEVEL_1G), LEVEL_1G) |= 1 << 21;
	invlpg((void *)test_va(LEVEL_1G));
	ctx_for(&c, LEVEL_1G, ACC_READ, false, 0);
	ctx_run(&c);
	check_trap("1g-address-bit-21", &c, PF, PF_P | PF_RSVD, do_read);
	set_leaf(LEVEL_4K, LEAF_P | LEAF_W);
	e = &page_pml4[TEST_VA >> 39 & 511];
	*e |= PTE_PS;
	invlpg((void *)test_va(LEVEL_4K));
	ctx_for(&c, LEVEL_4K, ACC_READ, false, 0);
	ctx_run(&c);
	check_trap("pml4e-ps", &c, PF, PF_P | PF_RSVD, do_read);
	*e &= ~(u64)PTE_PS;
	/* Bits 52 to 62 are free. */
	*pte_of(test_va(LEVEL_4K), LEVEL_4K) |= 0x7ffull << 52;
	invlpg((void *)test_va(LEVEL_4K));
	ctx_for(&c, LEVEL_4K, ACC_READ, false, 0);
	ctx_run(&c);
	check_done("ignored-bits-52-62", &c);
}

/* Accessed bits all the way, dirty only at the leaf, none by a walk that fails. */
static void accessed_dirty(void)
{
	u64 va = test_va(LEVEL_4K);
	struct ctx c;

	set_leaf(LEVEL_4K, LEAF_P | LEAF_W);
	for (unsigned l = 1; l < 4; l++)
		*pte_of(va, l) &= ~(u64)(PTE_A | PTE_D);
	write_cr3(read_cr3());
	ctx_for(&c, LEVEL_4K, ACC_READ, false, 0);
	ctx_run(&c);
	check("read-sets-a", *pte_of(va, 0) & (PTE_A | PTE_D), PTE_A);
	for (unsigned l = 1; l < 4; l++)
		check("upper-a", *pte_of(va, l) & (PTE_A | PTE_D), PTE_A);
	ctx_for(&c, LEVEL_4K, ACC_WRITE, false, 0);
	ctx_run(&c);
	check("write-after-read-sets-d", *pte_of(va, 0) & (PTE_A | PTE_D), PTE_A | PTE_D);
	check("upper-no-d", *pte_of(va, 1) & PTE_D, 0);
}

int main(void)
{
	memcpy(target, landing, sizeof(landing));
	for (unsigned i = 0; i < 1024; i++)
		map(USER_VA + i * 4096, 0x100000 + i * 4096, PTE_P | PTE_W | PTE_U, LEVEL_4K);
	for (unsigned level = 0; level < 3; level++)
		set_leaf(level, LEAF_P | LEAF_W | LEAF_U);
	/* Ring 0 runs on pages of its own. */
	for (unsigned i = 0; i < 2048; i++)
		page_pd[i] &= ~(u64)PTE_U;
	write_cr3(read_cr3());
	all_states();
	nxe_off();
	reserved_places();
	accessed_dirty();
	return 0;
}
