/* SPDX-License-Identifier: MIT */
/* disasm.c - instructions as text for people, by the Zydis library. */
#include <Zydis/Zydis.h>

#include "isa/x86/cpu.h"
#include "isa/x86/inspect.h"

unsigned x86_disasm(struct vcpu *v, gva_t va, const u8 *bytes, unsigned len, char *text,
		    size_t text_size)
{
	const struct x86_cpu *cpu = x86_cpu(v);
	ZydisMachineMode mode = ZYDIS_MACHINE_MODE_LONG_64;
	ZydisStackWidth width = ZYDIS_STACK_WIDTH_64;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	ZydisFormatter fmt;

	if (cpu->code_size == CODE32) {
		mode = ZYDIS_MACHINE_MODE_LEGACY_32;
		width = ZYDIS_STACK_WIDTH_32;
	} else if (cpu->code_size == CODE16) {
		mode = ZYDIS_MACHINE_MODE_LEGACY_16;
		width = ZYDIS_STACK_WIDTH_16;
	}
	if (!text_size)
		return 1;
	if (ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)) &&
	    ZYAN_SUCCESS(ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL)) &&
	    ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len, &insn, operands)) &&
	    ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
		    &fmt, &insn, operands, insn.operand_count_visible, text, text_size, va, NULL)))
		return insn.length;
	snprintf(text, text_size, "(not an instruction)");
	return 1;
}
