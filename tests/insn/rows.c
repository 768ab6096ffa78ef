/* SPDX-License-Identifier: MIT */
/*
 * rows.c - which rows of the instruction table this test does not run, why, and what does.
 *
 * Privileged rows are run: ring 3 must get the same exception as on the host.  What they do in
 * ring 0 is for the payloads of tests/guest.
 */
#include <string.h>

#include "insn/insn_test.h"

static const struct {
	exec_fn *fn;
	const char *why;
} exceptions[] = {
	{exec_syscall, "enters the host's kernel; exception_test, tests/guest/syscall.c"},
	{exec_sysenter, "enters the host's kernel; exception_test, tests/guest/syscall.c"},
	{exec_cpuid, "the guest is shown another CPU; cpuid_test"},
	{exec_rdtsc, "another clock; tests/guest/cpu.c"},
	{exec_rdtscp, "another clock; tests/guest/cpu.c"},
	{exec_rdpmc, "Linux may allow it, and it counts; no other test"},
	{exec_rdpid, "the host's CPU number; no other test"},
	{exec_rdrand, "random; exec_flow_test"},
	{exec_rdseed, "random; no other test"},
	{exec_xgetbv, "XCR0 differs; tests/guest/cpu.c"},
	{exec_xsaveopt, "may leave out what it saved before; no other test"},
	{exec_sgdt, "Linux emulates it where there is UMIP; no other test"},
	{exec_sidt, "Linux emulates it where there is UMIP; tests/guest/syscall.c"},
	{exec_sldt, "Linux emulates it where there is UMIP; tests/guest/segments.c"},
	{exec_str, "Linux emulates it where there is UMIP; tests/guest/segments.c"},
	{exec_smsw, "Linux emulates it where there is UMIP; tests/guest/segments.c"},
	{exec_monitor, "a model-specific register allows it or not; no other test"},
	{exec_mwait, "a model-specific register allows it or not; no other test"},
};

const char *row_exception(unsigned row)
{
	const struct insn *in = &insns[row];

	if (in->map == MAP_P2 && in->op == 0x0d && in->mrm & MRM_MOD_REG)
		return "#UD on an AMD, NOP on an Intel; decode_zydis_test";
	for (unsigned i = 0; i < ARRAY_SIZE(exceptions); i++) {
		if (exceptions[i].fn == in->fn)
			return exceptions[i].why;
	}
	return NULL;
}

bool row_always_faults(unsigned row)
{
	const struct insn *in = &insns[row];
	exec_fn *const fns[] = {exec_ud,  exec_gp0, exec_int3, exec_int, exec_int1, exec_in,
				exec_out, exec_ins, exec_outs, exec_cli, exec_sti};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++) {
		if (in->fn == fns[i])
			return true;
	}
	return in->attr & A_CPL0;
}

bool row_in_wild_sequence(unsigned row)
{
	const struct insn *in = &insns[row];
	/* What would change the machine for all cases that follow, or never comes to an end. */
	exec_fn *const fns[] = {exec_hlt,     exec_mwait,  exec_mov_to_cr, exec_mov_to_dr,
				exec_lmsw,    exec_clts,   exec_wrmsr,	   exec_lgdt,
				exec_lidt,    exec_lldt,   exec_ltr,	   exec_xsetbv,
				exec_invpcid, exec_in,	   exec_out,	   exec_ins,
				exec_outs,    exec_rdrand, exec_rdseed,	   exec_monitor};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (in->fn == fns[i])
			return false;
	return !(in->attr & A_ENDS);
}

bool row_in_sequence(unsigned row)
{
	const struct insn *in = &insns[row];

	if (in->attr & (A_ENDS | A_SYNC | A_CPL0 | A_UNTESTABLE) || row_exception(row) ||
	    row_always_faults(row))
		return false;
	/* Often undefined; faults for bytes that are masked off, or not; has random addresses. */
	if (in->fn == exec_avx_gather || in->fn == exec_avx512_gather ||
	    in->fn == exec_avx512_scatter || in->fn == exec_shld || in->fn == exec_shrd ||
	    in->fn == exec_mmx_maskmov || in->fn == exec_vec_maskmov ||
	    in->fn == exec_avx_maskmovdqu || in->fn == exec_avx_maskload ||
	    in->fn == exec_avx_maskstore)
		return false;
	/* XSAVE writes what the host has more than the guest. */
	return in->feature != FEAT_XSAVE && in->feature != FEAT_XSAVEC &&
	       in->feature != FEAT_FXSR && in->feature != FEAT_SHA;
}
