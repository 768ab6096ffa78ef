/* SPDX-License-Identifier: MIT */
/*
 * inject.c - makes translated code wrong, as a wrong emitter would have made it.
 *
 * Host instructions are found by Zydis in the code of blocks and changed in place.  What works
 * on the translator's own registers (R10, R11) is its way to memory and is left alone.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "lockstep/lockstep_test.h"

const struct bug bugs[] = {
	{"sub", "ADD of registers subtracts"},
	{"wide", "a store of four bytes stores eight"},
	{"lost", "a store is left out"},
	{"flags", "flags are not saved"},
	{"shift", "shifts shift by one more"},
	{"rip", "a branch goes to the byte behind its target"},
};
const unsigned nr_bugs = ARRAY_SIZE(bugs);

struct host_insn {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 *at; /* where it may be written */
};

static bool is_guest_reg(const ZydisDecodedOperand *o)
{
	ZydisRegister r;

	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	r = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
	return r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15 && r != ZYDIS_REGISTER_R10 &&
	       r != ZYDIS_REGISTER_R11;
}

/* [R10 ...]: guest memory, behind a check. */
static bool is_guest_memory(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
	       o->mem.segment != ZYDIS_REGISTER_GS && o->mem.base != ZYDIS_REGISTER_R11 &&
	       o->mem.base != ZYDIS_REGISTER_RIP;
}

static u8 *opcode_of(const struct host_insn *h)
{
	return h->at + h->in.raw.modrm.offset - 1;
}

static bool is_store(const struct host_insn *h, unsigned bits)
{
	return h->in.mnemonic == ZYDIS_MNEMONIC_MOV && is_guest_memory(&h->ops[0]) &&
	       is_guest_reg(&h->ops[1]) && (!bits || h->ops[0].size == bits);
}

static bool make_sub(const struct host_insn *h)
{
	if (h->in.mnemonic != ZYDIS_MNEMONIC_ADD || !is_guest_reg(&h->ops[0]) ||
	    !is_guest_reg(&h->ops[1]))
		return false;
	*opcode_of(h) += 0x28;
	return true;
}

static bool make_wide(const struct host_insn *h)
{
	if (!is_store(h, 32) || !(h->in.attributes & ZYDIS_ATTRIB_HAS_REX))
		return false;
	h->at[h->in.raw.rex.offset] |= 8;
	return true;
}

static bool make_lost(const struct host_insn *h)
{
	if (!is_store(h, 0))
		return false;
	memset(h->at, 0x90, h->in.length);
	return true;
}

/* They are saved in line, or by a routine. */
static bool make_flags(const struct jit *j, const struct host_insn *h)
{
	const u8 *to = h->at + h->in.length + (i64)h->in.raw.imm[0].value.s;

	if (h->in.mnemonic == ZYDIS_MNEMONIC_LAHF)
		h->at[0] = 0x90;
	else if (h->in.mnemonic == ZYDIS_MNEMONIC_CALL && to == j->stubs.save_flags)
		memset(h->at, 0x90, h->in.length);
	else
		return false;
	return true;
}

static bool make_shift(const struct host_insn *h)
{
	ZydisMnemonic m = h->in.mnemonic;

	if (m != ZYDIS_MNEMONIC_SHL && m != ZYDIS_MNEMONIC_SHR && m != ZYDIS_MNEMONIC_SAR)
		return false;
	if (!is_guest_reg(&h->ops[0]) || !h->in.raw.imm[0].size)
		return false;
	h->at[h->in.raw.imm[0].offset] ^= 1;
	return true;
}

/* Of the link that the code is left by: another offset in the page. */
static bool make_rip(struct jit_code *c)
{
	if (!c->nr_links)
		return false;
	c->link[0].off++;
	return true;
}

static bool change(struct jit *j, const struct bug *bug, const struct host_insn *h,
		   struct jit_code *c)
{
	switch (bug - bugs) {
	case 0: return make_sub(h);
	case 1: return make_wide(h);
	case 2: return make_lost(h);
	case 3: return make_flags(j, h);
	case 4: return make_shift(h);
	default: return make_rip(c);
	}
}

bool inject_code(struct jit *j, const struct bug *bug, struct jit_code *c)
{
	u8 *p = jit_rw(j, c->body), *end = jit_rw(j, c->end);
	ZydisDecoder decoder;
	struct host_insn h;
	bool done = false;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; p < end && !done; p += h.in.length) {
		h.at = p;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, p, (ZyanUSize)(end - p), &h.in,
							 h.ops)))
			return false;
		done = change(j, bug, &h, c);
	}
	return done;
}

bool inject(struct jit *j, const struct bug *bug, const u8 *mark)
{
	bool any = false;

	for (const u8 *p = jit_rx(j, mark); p < jit_rx(j, j->at); p++) {
		struct jit_code *c = jit_code_at(j, p);

		if (!c)
			continue;
		any |= inject_code(j, bug, c);
		p = c->end;
	}
	return any;
}
