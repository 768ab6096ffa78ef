/* SPDX-License-Identifier: MIT */
/*
 * x87.c - x87 arithmetic, loads and stores: the guest's state into the host's x87, the very
 * instruction, and back.
 *
 * Pending unmasked exceptions are raised before (x86_check_fpu()), so the host never traps: what
 * an instruction raises stays pending in the state that is saved.  Where the guest has CR0.NE
 * clear they stay pending and the instruction goes on: then the host does not see them.  All is
 * done on an image on the stack, and committed once memory has been written.
 */
#include "isa/x86/fpu/fpu.h"

struct image {
	u8 b[512];
} __attribute__((aligned(64)));

enum { IMG_FSW = 2, IMG_MXCSR = 24, X87_BYTES = 160 };

static void image_load(struct image *img, const struct x87_state *x)
{
	memcpy(img->b, x, X87_BYTES);
	if (x87_pending(x))
		st_le16(img->b + IMG_FSW, x->fsw & (u16) ~(FSW_EXC | FSW_ES | FSW_B));
	st_le32(img->b + IMG_MXCSR, MXCSR_DEFAULT);
	st_le32(img->b + IMG_MXCSR + 4, 0);
}

/* All but the pointers, which are ours. */
static void image_commit(const struct image *img, struct x87_state *x)
{
	u16 kept = x87_pending(x) ? x->fsw & FSW_EXC : 0;

	x->fcw = ld_le16(img->b);
	x->fsw = ld_le16(img->b + IMG_FSW);
	if (kept)
		x->fsw = fsw_summary(x->fsw | kept, x->fcw);
	x->ftw = img->b[4];
	for (unsigned i = 0; i < 8; i++) {
		x->st[i].mant = ld_le64(img->b + 32 + 16 * i);
		x->st[i].sexp = ld_le16(img->b + 40 + 16 * i);
	}
}

static void note_pointers(struct x86_cpu *cpu, const struct op *op)
{
	struct x87_state *x = &cpu->st.x87;

	x->fop = (u16)((op->opcode & 7) << 8 | op->modrm);
	x->fip = x86_cut_rip(cpu, op_rip(cpu, op));
	x->fcs = cpu->st.seg[SEG_CS].sel;
	if (op->flags & OP_MEM) {
		x->fdp = op_ea(cpu, op);
		x->fds = cpu->st.seg[op->seg].sel;
	}
}

void exec_x87_reg(struct x86_cpu *cpu, const struct op *op)
{
	struct image img;

	check_x87(cpu, op);
	if (!x87_fast_reg(cpu, op)) {
		image_load(&img, &cpu->st.x87);
		host_x87(host_x87_thunk(op->opcode & 7, op->modrm), img.b, NULL);
		image_commit(&img, &cpu->st.x87);
	}
	note_pointers(cpu, op);
}

/* FCMOVcc read the flags, FCOMI and its kin write them. */
void exec_x87_flags(struct x86_cpu *cpu, const struct op *op)
{
	u64 flags = FL_FIXED | flags_get(cpu);
	struct image img;

	check_x87(cpu, op);
	image_load(&img, &cpu->st.x87);
	host_x87_flags(host_x87_thunk(op->opcode & 7, op->modrm), img.b, NULL, &flags);
	image_commit(&img, &cpu->st.x87);
	flags_put(cpu, flags & FL_ARITH);
	note_pointers(cpu, op);
}

/* ST(0) <- op(ST(0), memory). */
void exec_x87_load(struct x86_cpu *cpu, const struct op *op)
{
	u8 mem[16] __attribute__((aligned(16)));
	unsigned size = opnd_mem(op, insns[op->row].src);
	u64 ea = op_ea(cpu, op);
	struct image img;

	check_x87(cpu, op);
	mem_check_align(cpu, op->seg, ea, size, size == 10 ? 8 : size, MEM_READ);
	mem_read_buf(cpu, op->seg, ea, mem, size);
	if (!x87_fast_load(cpu, op, mem)) {
		image_load(&img, &cpu->st.x87);
		host_x87(host_x87_thunk(op->opcode & 7, op->modrm & 0x3f), img.b, mem);
		image_commit(&img, &cpu->st.x87);
	}
	note_pointers(cpu, op);
}

/*
 * Memory <- ST(0).  An unmasked invalid operation, overflow or underflow stores nothing; an
 * unmasked precision exception does store.
 */
void exec_x87_store(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = opnd_mem(op, insns[op->row].dst);
	u64 ea = op_ea(cpu, op);
	u8 mem[16] __attribute__((aligned(16)));
	struct image img;
	u16 fsw;

	check_x87(cpu, op);
	mem_check_align(cpu, op->seg, ea, size, size == 10 ? 8 : size, MEM_WRITE);
	if (x87_fast_store(cpu, op, mem, &fsw)) {
		mem_write_buf(cpu, op->seg, ea, mem, size);
		x87_fast_stored(cpu, op, fsw);
		note_pointers(cpu, op);
		return;
	}
	image_load(&img, &cpu->st.x87);
	host_x87(host_x87_thunk(op->opcode & 7, op->modrm & 0x3f), img.b, mem);
	fsw = ld_le16(img.b + IMG_FSW);
	if (fsw & ~cpu->st.x87.fcw & (FSW_IE | FSW_OE | FSW_UE))
		mem_probe(cpu, op->seg, ea, size, MEM_WRITE);
	else
		mem_write_buf(cpu, op->seg, ea, mem, size);
	image_commit(&img, &cpu->st.x87);
	note_pointers(cpu, op);
}

/* FNENI, FNDISI, FNSETPM: of the 8087 and 80287; nothing since. */
void exec_x87_nop(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
}

void exec_fwait(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
}
