/* SPDX-License-Identifier: MIT */
/*
 * x86.c - the x86 instruction set as the common code sees it: vCPUs, reset, signals.
 *
 * Source: SDM volume 3A, "Processor Management and Initialization"; "Multiple-Processor
 * Management", "MP Initialization".
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "isa/x86/fpu/vex.h"
#include "isa/x86/inspect.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/machine.h"

enum { CR0_RESET = CR0_ET | CR0_NW | CR0_CD };

static void reset_segments(struct cpu_state *st)
{
	const struct seg data = {.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_A};

	for (unsigned i = 0; i < NR_SEGS; i++)
		st->seg[i] = data;
	st->seg[SEG_CS].sel = 0xf000;
	st->seg[SEG_CS].base = 0xffff0000;
	st->seg[SEG_CS].attr |= SEG_CODE;
	st->ldtr = (struct seg){.limit = 0xffff, .attr = SEG_P | DESC_LDT};
	st->tr = (struct seg){.limit = 0xffff, .attr = SEG_P | DESC_TSS32_BUSY};
	st->gdtr = st->idtr = (struct desc_table){.limit = 0xffff};
}

/* What both power-on and INIT set. */
static void reset_common(struct x86_cpu *cpu)
{
	struct cpu_state *st = &cpu->st;

	memset(st->gpr, 0, sizeof(st->gpr));
	st->gpr[RDX] = cpu->v.machine->features->signature;
	st->rip = 0xfff0;
	st->rflags = FL_FIXED;
	reset_segments(st);
	st->cr2 = st->cr3 = st->cr4 = st->efer = 0;
	memset(st->pdpte, 0, sizeof(st->pdpte));
	memset(st->dr, 0, sizeof(st->dr));
	st->dr6 = DR6_FIXED;
	st->dr7 = DR7_FIXED;
	st->irq_shadow = st->shadow_is_movss = false;
	st->nmi_masked = st->nmi_pending = false;
	st->pending_db = 0;
	st->sipi_vector = 0;
	st->activity = cpu->v.index ? CPU_WAIT_SIPI : CPU_RUNNING;
	cpu->nr_history = 0;
}

static void x86_reset(struct vcpu *v, enum vcpu_reset how)
{
	struct x86_cpu *cpu = x86_cpu(v);
	bool init = how == RESET_INIT;
	u64 kept = init ? cpu->st.cr0 & (CR0_NW | CR0_CD) : CR0_RESET;

	reset_common(cpu);
	cpu->st.cr0 = kept | CR0_ET;
	if (!init) {
		x86_msr_reset(cpu);
		cpu->st.tsc_offset = 0;
		cpu->st.xcr0 = 1;
		cpu->st.apic_base = 0xfee00800 | (v->index ? 0 : 0x100);
	}
	x86_fpu_reset(&cpu->st, init);
	x86_state_changed(cpu);
}

static struct vcpu *x86_vcpu_new(struct machine *m, unsigned index, struct err *e)
{
	struct x86_cpu *cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ull);

	if (!cpu) {
		err_set(e, -ENOMEM, "not enough memory for a CPU");
		return NULL;
	}
	memset(cpu, 0, sizeof(*cpu));
	cpu->v.machine = m;
	cpu->v.isa = &x86_isa;
	cpu->v.index = index;
	cpu->v.state = &cpu->st;
	atomic_store(&cpu->v.lapic_page, ~0ull);
	if (x86_has(cpu, FEAT_AVX)) {
		cpu->vec_code = vec_code_new(e);
		if (!cpu->vec_code) {
			free(cpu);
			return NULL;
		}
	}
	x86_reset(&cpu->v, RESET_POWER_ON);
	return &cpu->v;
}

static void x86_vcpu_free(struct vcpu *v)
{
	vec_code_free(x86_cpu(v)->vec_code);
	free(v);
}

static void x86_init_signal(struct vcpu *v)
{
	x86_reset(v, RESET_INIT);
	if (v->lapic_ops && v->lapic_ops->reset)
		v->lapic_ops->reset(v, true);
}

static void x86_startup(struct vcpu *v, u8 vector)
{
	struct x86_cpu *cpu = x86_cpu(v);

	if (cpu->st.activity != CPU_WAIT_SIPI)
		return;
	cpu->st.seg[SEG_CS].sel = (u16)(vector << 8);
	cpu->st.seg[SEG_CS].base = (u64)vector << 12;
	cpu->st.rip = 0;
	cpu->st.sipi_vector = vector;
	cpu->st.activity = CPU_RUNNING;
	x86_state_changed(cpu);
}

static bool x86_wakes(struct vcpu *v)
{
	const struct cpu_state *st = &x86_cpu(v)->st;
	u32 pending = atomic_load(&v->pending);

	switch (st->activity) {
	case CPU_RUNNING: return true;
	case CPU_HALTED:
		return ((pending & VCPU_INTR) && (st->rflags & FL_IF)) ||
		       (((pending & VCPU_NMI) || st->nmi_pending) && !st->nmi_masked);
	default: return false;
	}
}

static int x86_features(struct machine *m, const char *model, struct err *e)
{
	int r;

	m->features = calloc(1, sizeof(*m->features)); /* freed with the machine */
	if (!m->features)
		return err_set(e, -ENOMEM, "out of memory");
	r = x86_features_init(m->features, model, e);
	if (r)
		return r;
	m->features->nr_cpus = m->cfg ? m->cfg->nr_cpus : 1;
	m->features->tsc_hz = clock_tsc_hz(m);
	return 0;
}

const struct isa_ops x86_isa = {
	.name = "x86",
	.vcpu_new = x86_vcpu_new,
	.vcpu_free = x86_vcpu_free,
	.reset = x86_reset,
	.init_signal = x86_init_signal,
	.startup = x86_startup,
	.wakes = x86_wakes,
	.models = x86_models,
	.features = x86_features,
	.translate = x86_translate,
	.dump = x86_dump,
	.disasm = x86_disasm,
	.autopsy = x86_autopsy,
	.gdb_target_xml = x86_gdb_target_xml,
	.gdb_nr_regs = X86_GDB_NR_REGS,
	.gdb_read_reg = x86_gdb_read_reg,
	.gdb_write_reg = x86_gdb_write_reg,
};
