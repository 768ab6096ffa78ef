/* SPDX-License-Identifier: MIT */
/*
 * vec_code.c - thunks for VEX and EVEX instructions, made when they are first needed: vex.h.
 *
 * A thunk is a function of the CPU's state (RDI) and a frame (RSI).  It loads the vector and
 * mask registers that the instruction names, does it, and stores what was written; to the
 * whole width, since these instructions clear what is above their vector length.  Nothing is
 * stored before the instruction is done, so that the handler of SIMD traps can leave from it.
 *
 * When the room is used up all thunks are thrown away.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "isa/x86/fpu/fpu.h"
#include "isa/x86/fpu/vex.h"
#include "sundog/err.h"

enum {
	CODE_SIZE = 512 << 10,
	CODE_START = 64, /* so that what looks in front of a function finds something there */
	THUNK_MAX = 256,
	TABLE_BITS = 13,
	TABLE_SIZE = 1 << TABLE_BITS,
	TABLE_FULL = TABLE_SIZE / 4 * 3,
};

enum { LOAD = 0x10, STORE = 0x11, KLOAD = 0x90, KSTORE = 0x91 };

typedef int thunk_fn(struct cpu_state *st, struct vec_frame *f);

struct thunk {
	u64 key; /* 0: none */
	u32 at;
};

struct vec_code {
	int fd;
	u8 *rw, *rx;
	u32 used, nr;
	bool again; /* there was other code before */
	struct thunk table[TABLE_SIZE];
};

static void forget(struct vec_code *c)
{
	memset(c->table, 0, sizeof(c->table));
	c->used = CODE_START;
	c->nr = 0;
}

struct vec_code *vec_code_new(struct err *e)
{
	struct vec_code *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, -ENOMEM, "not enough memory for a CPU");
		return NULL;
	}
	c->rw = c->rx = MAP_FAILED;
	c->fd = memfd_create("sundog-vectors", MFD_CLOEXEC);
	if (c->fd < 0 || ftruncate(c->fd, CODE_SIZE)) {
		err_set(e, -errno, "no memory for vector instructions: %s", strerror(errno));
		goto fail;
	}
	c->rw = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	c->rx = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, c->fd, 0);
	if (c->rw == MAP_FAILED || c->rx == MAP_FAILED) {
		err_set(e, -EOPNOTSUPP, "this host forbids executable memory: %s", strerror(errno));
		goto fail;
	}
	forget(c);
	return c;
fail:
	vec_code_free(c);
	return NULL;
}

void vec_code_free(struct vec_code *c)
{
	if (!c)
		return;
	if (c->rw != MAP_FAILED)
		munmap(c->rw, CODE_SIZE);
	if (c->rx != MAP_FAILED)
		munmap(c->rx, CODE_SIZE);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* --- making one ------------------------------------------------------------------------------ */

static u8 *put(u8 *p, const u8 *bytes, unsigned n)
{
	memcpy(p, bytes, n);
	return p + n;
}

#define PUT(p, ...) put(p, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* vmovups between register n and [rdi + disp], 32 or 64 bytes. */
static u8 *put_vmov(u8 *p, u8 opcode, unsigned n, size_t disp, bool wide)
{
	unsigned r = ~n >> 3 & 1, r16 = ~n >> 4 & 1;

	if (wide)
		p = PUT(p, 0x62, (u8)(r << 7 | 0x61 | r16 << 4), 0x7c, 0x48);
	else
		p = PUT(p, 0xc4, (u8)(r << 7 | 0x61), 0x7c);
	p = PUT(p, opcode, (u8)(0x87 | (n & 7) << 3));
	st_le32(p, (u32)disp);
	return p + 4;
}

/* kmovq likewise. */
static u8 *put_kmov(u8 *p, u8 opcode, unsigned n)
{
	p = PUT(p, 0xc4, 0xe1, 0xf8, opcode, (u8)(0x87 | n << 3));
	st_le32(p, (u32)(offsetof(struct cpu_state, kmask) + 8 * n));
	return p + 4;
}

static size_t v_offset(unsigned n)
{
	return offsetof(struct cpu_state, v) + sizeof(union vreg) * n;
}

/* The register that operand o is, and whether it is a vector or a mask. */
enum place { NOWHERE, VECTOR, MASK };

static enum place place_of(const struct op *op, enum operand o, unsigned *n)
{
	switch (operands[o].kind) {
	case OK_VREG: *n = op->reg; return VECTOR;
	case OK_VRM:
	case OK_VRM_REG: *n = op->rm; return op->flags & OP_MEM ? NOWHERE : VECTOR;
	case OK_VVVV: *n = op->vvvv; return VECTOR;
	case OK_IS4: *n = op->imm >> 4 & 15; return VECTOR;
	case OK_KREG: *n = op->reg; return MASK;
	case OK_KRM:
	case OK_KRM_REG: *n = op->rm; return op->flags & OP_MEM ? NOWHERE : MASK;
	case OK_KVVVV: *n = op->vvvv; return MASK;
	default: return NOWHERE;
	}
}

static u8 *put_load(u8 *p, const struct op *op, enum operand o, bool wide)
{
	unsigned n;

	switch (place_of(op, o, &n)) {
	case VECTOR: return put_vmov(p, LOAD, n, v_offset(n), wide);
	case MASK: return put_kmov(p, KLOAD, n);
	default: return p;
	}
}

/* All 64 bytes: what has no EVEX prefix clears the upper half by hand. */
static u8 *put_vstore(u8 *p, unsigned n, bool wide)
{
	unsigned r = ~n >> 3 & 1, v = ~n & 15;

	p = put_vmov(p, STORE, n, v_offset(n), wide);
	if (wide)
		return p;
	/* vxorps xmm, xmm, xmm */
	p = PUT(p, 0xc4, (u8)(r << 7 | 0x41 | r << 5), (u8)(v << 3), 0x57,
		(u8)(0xc0 | (n & 7) << 3 | (n & 7)));
	return put_vmov(p, STORE, n, v_offset(n) + 32, false);
}

static bool is_gpr(enum operand o)
{
	u8 k = operands[o].kind;

	return k == OK_REG || k == OK_RM || k == OK_RM_REG;
}

static bool is_pcmpstr(const struct insn *in)
{
	return in->fn == exec_avx_pcmpstr;
}

static u8 *put_loads(u8 *p, const struct op *op, const struct insn *in, bool wide)
{
	p = put_load(p, op, in->dst, wide);
	p = put_load(p, op, in->vvvv, wide);
	p = put_load(p, op, in->src, wide);
	p = put_load(p, op, in->imm, wide);
	if (op->evex & EVEX_AAA && map_is_evex(in->map))
		p = put_kmov(p, KLOAD, op->evex & EVEX_AAA);
	if (is_gpr(in->src) || is_pcmpstr(in)) {
		p = PUT(p, 0x48, 0x8b, 0x46, offsetof(struct vec_frame, rax));
		p = PUT(p, 0x48, 0x8b, 0x4e, offsetof(struct vec_frame, rcx));
		p = PUT(p, 0x48, 0x8b, 0x56, offsetof(struct vec_frame, rdx));
	}
	return p;
}

static u8 *put_stores(u8 *p, const struct op *op, const struct insn *in, bool wide)
{
	unsigned n;

	if (in->fl_out) { /* pushfq; pop [rsi + rflags] */
		p = PUT(p, 0x9c, 0x8f, 0x46, offsetof(struct vec_frame, rflags));
	}
	if (is_gpr(in->dst) || is_pcmpstr(in)) {
		p = PUT(p, 0x48, 0x89, 0x46, offsetof(struct vec_frame, rax));
		p = PUT(p, 0x48, 0x89, 0x4e, offsetof(struct vec_frame, rcx));
	}
	if (is_pcmpstr(in) && !(op->opcode & 1)) /* a mask to XMM0 */
		return put_vstore(p, 0, wide);
	if (!(in->attr & (A_WO | A_RMW)))
		return p;
	switch (place_of(op, in->dst, &n)) {
	case VECTOR: return put_vstore(p, n, wide);
	case MASK: return put_kmov(p, KSTORE, n);
	default: return p;
	}
}

static struct vex_place frame_place(const struct op *op, const struct insn *in)
{
	enum { HOST_RAX = 0, HOST_RCX = 1, HOST_RSI = 6 };
	struct vex_place at = vex_place_of(op);

	if (operands[in->dst].kind == OK_REG)
		at.reg = HOST_RAX;
	if (op->flags & OP_MEM) {
		at.rm_kind = VEX_RM_MEM;
		at.rm = HOST_RSI;
	} else if (is_gpr(in->dst) || is_gpr(in->src)) {
		u8 k = operands[in->dst].kind == OK_REG ? operands[in->src].kind : OK_RM;

		at.rm = k == OK_RM || k == OK_RM_REG ? HOST_RCX : op->rm;
	}
	return at;
}

static u8 *make(u8 *p, const struct op *op, const struct vex_place *at)
{
	const struct insn *in = &insns[op->row];
	bool wide = map_is_evex(in->map);

	p = put_loads(p, op, in, wide);
	if (in->attr & A_SCALAR)
		p = PUT(p, HOST_TRAP_MARK);
	p += vex_encode(p, op, at);
	p = put_stores(p, op, in, wide);
	return PUT(p, 0xc5, 0xf8, 0x77, 0x31, 0xc0, 0xc3); /* vzeroupper; xor eax, eax; ret */
}

/* --- finding it again ------------------------------------------------------------------------ */

static u64 key_of(const struct op *op, const struct vex_place *at)
{
	return 1ull << 63 | (u64)op->row << 40 | (u64)at->rm_kind << 38 |
	       (u64)(op->flags & OP_REX_W ? 1 : 0) << 37 | (u64)(at->reg & 31) << 32 |
	       (u64)(at->rm & 31) << 27 | (u64)(at->vvvv & 31) << 22 | (u64)op->evex << 8 |
	       (u8)op->imm;
}

static thunk_fn *find(struct vec_code *c, const struct op *op)
{
	struct vex_place at = frame_place(op, &insns[op->row]);
	u64 key = key_of(op, &at);
	struct thunk *t;

	for (u64 i = key * 0x9e3779b97f4a7c15ull >> (64 - TABLE_BITS);; i++) {
		t = &c->table[i & (TABLE_SIZE - 1)];
		if (t->key == key)
			return (thunk_fn *)(uintptr_t)(c->rx + t->at);
		if (!t->key)
			break;
	}
	if (c->nr == TABLE_FULL || c->used > CODE_SIZE - 2 * THUNK_MAX) {
		forget(c);
		c->again = true;
		return find(c, op);
	}
	if ((c->used & (PAGE_SIZE_4K - 1)) > PAGE_SIZE_4K - THUNK_MAX) /* HOST_TRAP_MARK */
		c->used = (c->used | (PAGE_SIZE_4K - 1)) + 1;
	*t = (struct thunk){.key = key, .at = c->used};
	c->used = (u32)(make(c->rw + c->used, op, &at) - c->rw + 15) & ~15u;
	c->nr++;
	if (c->again)
		host_serialize();
	return (thunk_fn *)(uintptr_t)(c->rx + t->at);
}

int vec_run(struct x86_cpu *cpu, const struct op *op, struct vec_frame *f)
{
	return find(cpu->vec_code, op)(&cpu->st, f);
}
