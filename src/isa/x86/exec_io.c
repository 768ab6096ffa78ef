/* SPDX-License-Identifier: MIT */
/*
 * exec_io.c - IN, OUT, INS, OUTS.
 *
 * Source: SDM volume 1, "Input/Output"; volume 2, the instructions' own pages.
 */
#include "isa/x86/exec.h"
#include "isa/x86/exec_string.h"
#include "isa/x86/system.h"
#include "sundog/machine.h"

static u16 check_port(struct x86_cpu *cpu, u64 port, unsigned size)
{
	x86_check_io(cpu, (u16)port, size);
	if (__builtin_expect(cpu->careful, 0))
		x86_note_io_access(cpu, (u16)port, size);
	return (u16)port;
}

/* Bit 3 of the opcode: the port is in DX, not in the immediate. */
static u64 op_port(const struct x86_cpu *cpu, const struct op *op)
{
	return op->opcode & 8 ? cpu->st.gpr[RDX] : (u8)op->imm;
}

void exec_in(struct x86_cpu *cpu, const struct op *op)
{
	u16 port = check_port(cpu, op_port(cpu, op), op->size);

	gpr_write(cpu, RAX * 8, vcpu_load(&cpu->v, cpu->v.machine->pio, port, op->size), op->size);
}

void exec_out(struct x86_cpu *cpu, const struct op *op)
{
	u16 port = check_port(cpu, op_port(cpu, op), op->size);

	vcpu_store(&cpu->v, cpu->v.machine->pio, port, gpr_read(cpu, RAX * 8, op->size), op->size);
}

/* A port may not be read in vain: the destination is checked before. */
static void ins_one(struct x86_cpu *cpu, const struct op *op)
{
	u16 port = check_port(cpu, cpu->st.gpr[RDX], op->size);
	u64 di = str_di(cpu, op), val;

	mem_probe(cpu, SEG_ES, di, op->size, MEM_WRITE);
	val = vcpu_load(&cpu->v, cpu->v.machine->pio, port, op->size);
	mem_write(cpu, SEG_ES, di, val, op->size);
}

/* The right to the port is checked even where RCX is zero. */
void exec_ins(struct x86_cpu *cpu, const struct op *op)
{
	x86_check_io(cpu, (u16)cpu->st.gpr[RDX], op->size);
	str_run(cpu, op, STR_DI, ins_one, NULL);
}

static void outs_one(struct x86_cpu *cpu, const struct op *op)
{
	u16 port = check_port(cpu, cpu->st.gpr[RDX], op->size);
	u64 val = mem_read(cpu, op->seg, str_si(cpu, op), op->size);

	vcpu_store(&cpu->v, cpu->v.machine->pio, port, val, op->size);
}

void exec_outs(struct x86_cpu *cpu, const struct op *op)
{
	x86_check_io(cpu, (u16)cpu->st.gpr[RDX], op->size);
	str_run(cpu, op, STR_SI, outs_one, NULL);
}
