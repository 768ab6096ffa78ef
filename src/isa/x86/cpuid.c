/* SPDX-License-Identifier: MIT */
/*
 * cpuid.c - CPU models, and what CPUID shows of them.
 *
 * A model is a list of features.  What is shown beyond the features is plausible for a
 * server CPU of the host's vendor with one thread a core, and says of each leak of
 * speculation that this CPU does not have it, which is true: guest instructions are not
 * executed speculatively by anything the guest could train.
 *
 * Source: SDM volume 2A, "CPUID"; AMD APM volume 3, "Obtaining Processor Information via the
 * CPUID Instruction"; Linux, Documentation/virt/kvm/x86/cpuid.rst.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>

#include "isa/x86/fpu/vex.h"
#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/machine.h"

struct feature_bit {
	u32 leaf;
	u8 sub, reg, bit;
};

static const struct feature_bit bits[NR_FEATURES] = {
#define FEATURE(name, leaf, sub, reg, bit, doc) [FEAT_##name] = {leaf, sub, reg, bit},
#include "isa/x86/features.def"
#undef FEATURE
};

/* --- models ------------------------------------------------------------------------------------
 */

/* The psABI's levels, and what every system needs of the privileged half. */
static const u8 base_features[] = {
	FEAT_BASE,   FEAT_FPU,		FEAT_VME,	 FEAT_DE,	  FEAT_PSE,	FEAT_TSC,
	FEAT_MSR,    FEAT_PAE,		FEAT_MCE,	 FEAT_CX8,	  FEAT_APIC,	FEAT_SEP,
	FEAT_MTRR,   FEAT_PGE,		FEAT_MCA,	 FEAT_CMOV,	  FEAT_PAT,	FEAT_PSE36,
	FEAT_CLFSH,  FEAT_MMX,		FEAT_FXSR,	 FEAT_SSE,	  FEAT_SSE2,	FEAT_SS,
	FEAT_X2APIC, FEAT_TSC_DEADLINE, FEAT_HYPERVISOR, FEAT_TSC_ADJUST, FEAT_SYSCALL, FEAT_NX,
	FEAT_LM,
};

static const u8 v2_features[] = {
	FEAT_SSE3,     FEAT_SSSE3,  FEAT_CX16,	     FEAT_SSE41,    FEAT_SSE42,
	FEAT_POPCNT,   FEAT_LAHF,   FEAT_PCID,	     FEAT_INVPCID,  FEAT_XSAVE,
	FEAT_XSAVEOPT, FEAT_XSAVEC, FEAT_XGETBV1,    FEAT_FSGSBASE, FEAT_SMEP,
	FEAT_SMAP,     FEAT_UMIP,   FEAT_ERMS,	     FEAT_FSRM,	    FEAT_PDPE1GB,
	FEAT_RDTSCP,   FEAT_RDPID,  FEAT_CLFLUSHOPT, FEAT_CLWB,	    FEAT_PREFETCHW,
};

static const u8 v3_features[] = {
	FEAT_AVX, FEAT_AVX2, FEAT_BMI1, FEAT_BMI2, FEAT_F16C, FEAT_FMA, FEAT_LZCNT, FEAT_MOVBE,
};

static const u8 v4_features[] = {
	FEAT_AVX512F, FEAT_AVX512BW, FEAT_AVX512CD, FEAT_AVX512DQ, FEAT_AVX512VL,
};

static const u8 avx512_extra_features[] = {
	FEAT_AVX512_IFMA,   FEAT_AVX512_VBMI,	   FEAT_AVX512_VBMI2, FEAT_AVX512_VNNI,
	FEAT_AVX512_BITALG, FEAT_AVX512_VPOPCNTDQ, FEAT_AVX512_BF16,
};

/* What a level does not ask for but has where the host has it; the latter with AVX only. */
static const u8 extra_features[] = {
	FEAT_AES, FEAT_PCLMUL, FEAT_SHA, FEAT_MOVBE, FEAT_RDRAND, FEAT_RDSEED,
};

static const u8 avx_extra_features[] = {
	FEAT_ADX,
	FEAT_GFNI,
	FEAT_VAES,
	FEAT_VPCLMUL,
};

/* host: nothing that the host has not; max: and what needs no help from it. */
enum model_kind { MODEL_LEVEL, MODEL_MAX, MODEL_HOST };

static const struct model {
	const char *name, *alias;
	u8 level; /* of the psABI; that which max and host have at least */
	u8 kind;  /* enum model_kind */
} models[] = {
	{"x86-64-v2", "v2", 2, MODEL_LEVEL}, {"x86-64-v3", "v3", 3, MODEL_LEVEL},
	{"x86-64-v4", "v4", 4, MODEL_LEVEL}, {"x86-64", "v1", 1, MODEL_LEVEL},
	{"max", NULL, 2, MODEL_MAX},	     {"host", NULL, 2, MODEL_HOST},
};

const char *const x86_models[] = {
	"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64", "max", "host", NULL,
};

static void add(struct cpu_features *f, const u8 *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f->have[list[i] / 8] |= 1u << (list[i] % 8);
}

static bool has(const struct cpu_features *f, unsigned feature)
{
	return f->have[feature / 8] >> (feature % 8) & 1;
}

bool x86_has(const struct x86_cpu *cpu, unsigned feature)
{
	return has(cpu->v.machine->features, feature);
}

bool x86_is_amd(const struct cpu_features *f)
{
	return !strcmp(f->vendor, "AuthenticAMD");
}

static void host_vendor(char vendor[13])
{
	u32 r[4] = {0};

	__get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
	memcpy(vendor, &r[1], 4);
	memcpy(vendor + 4, &r[3], 4);
	memcpy(vendor + 8, &r[2], 4);
	vendor[12] = 0;
	/* The signature below is one of these two. */
	if (strcmp(vendor, "AuthenticAMD") && strcmp(vendor, "GenuineIntel"))
		memcpy(vendor, "GenuineIntel", 13);
}

/* EPYC of the fourth generation, Xeon of the same age: no erratum that systems work around. */
enum { SIGNATURE_AMD = 0x00a10f11, SIGNATURE_INTEL = 0x000806f8 };

static unsigned distance(const char *a, const char *b)
{
	unsigned row[33], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

	if (lb > 32)
		return lb;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned best = diag + (a[i - 1] != b[j - 1]);

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static void nearer(const char *want, const char *name, const char **nearest)
{
	if (name && (!*nearest || distance(want, name) < distance(want, *nearest)))
		*nearest = name;
}

static int unknown_model(const char *model, struct err *e)
{
	const char *nearest = NULL;
	char all[160] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(models); i++) {
		size_t n = strlen(all);

		nearer(model, models[i].name, &nearest);
		nearer(model, models[i].alias, &nearest);
		snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", models[i].name);
	}
	return err_set(e, -EINVAL, "unknown CPU model '%.40s': did you mean '%s'? (there are: %s)",
		       model, nearest, all);
}

static const struct model *find_model(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(name, models[i].name) ||
		    (models[i].alias && !strcmp(name, models[i].alias)))
			return &models[i];
	return NULL;
}

static const char *feature_name(unsigned feature)
{
	switch (feature) {
#define FEATURE(name, leaf, sub, reg, bit, doc) \
	case FEAT_##name:                       \
		return #name;
#include "isa/x86/features.def"
#undef FEATURE
	default: return "?";
	}
}

/* By thunks, or in translated code. */
static bool is_native(unsigned feature)
{
	if (feature == FEAT_BMI1 || feature == FEAT_BMI2 || feature == FEAT_LZCNT ||
	    feature == FEAT_POPCNT)
		return true;
	for (unsigned i = 0; i < nr_insns; i++)
		if (insns[i].feature == feature && (insns[i].thunk || insns[i].attr & A_AVX))
			return true;
	return feature == FEAT_RDRAND || feature == FEAT_RDSEED;
}

/* A level's own features: all of them, or it is refused. */
static int add_level(struct cpu_features *f, const struct model *m, const u8 *list, size_t n,
		     bool (*host_runs)(unsigned), struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		bool runs = !is_native(list[i]) || host_runs(list[i]);

		if (runs)
			add(f, &list[i], 1);
		else if (m->kind == MODEL_LEVEL)
			return err_set(e, -EOPNOTSUPP,
				       "CPU model %s: this host's CPU or system has no %s; use "
				       "--cpu max for what it has",
				       m->name, feature_name(list[i]));
	}
	return 0;
}

/* Of the lowest level that is not refused: what the host lacks is left out. */
static void add_runnable(struct cpu_features *f, const u8 *list, size_t n,
			 bool (*host_runs)(unsigned))
{
	for (size_t i = 0; i < n; i++)
		if (!is_native(list[i]) || host_runs(list[i]))
			add(f, &list[i], 1);
}

static void add_extra(struct cpu_features *f, const u8 *list, size_t n, bool (*host_runs)(unsigned))
{
	for (size_t i = 0; i < n; i++)
		if (host_runs(list[i]))
			add(f, &list[i], 1);
}

static bool is_base(unsigned feature)
{
	for (unsigned i = 0; i < ARRAY_SIZE(base_features); i++)
		if (base_features[i] == feature)
			return true;
	return false;
}

/* Away with what the host has not, but for what makes this machine this machine. */
static void cut_to_host(struct cpu_features *f, bool (*host_runs)(unsigned))
{
	for (unsigned i = 0; i < NR_FEATURES; i++)
		if (!is_base(i) && !host_runs(i))
			f->have[i / 8] &= (u8) ~(1u << i % 8);
}

int x86_features_for(struct cpu_features *f, const char *model, bool (*host_runs)(unsigned feature),
		     struct err *e)
{
	const struct model *m = find_model(model);
	bool all;

	memset(f, 0, sizeof(*f));
	if (!m)
		return unknown_model(model, e);
	all = m->kind != MODEL_LEVEL;
	f->model = m->name;
	add(f, base_features, ARRAY_SIZE(base_features));
	if (m->level >= 2) {
		add_runnable(f, v2_features, ARRAY_SIZE(v2_features), host_runs);
		add_extra(f, extra_features, ARRAY_SIZE(extra_features), host_runs);
	}
	if ((all || m->level >= 3) &&
	    add_level(f, m, v3_features, ARRAY_SIZE(v3_features), host_runs, e))
		return e->code;
	if ((all || m->level >= 4) && has(f, FEAT_AVX) &&
	    add_level(f, m, v4_features, ARRAY_SIZE(v4_features), host_runs, e))
		return e->code;
	if (all && has(f, FEAT_AVX512F))
		add_extra(f, avx512_extra_features, ARRAY_SIZE(avx512_extra_features), host_runs);
	if (has(f, FEAT_AVX))
		add_extra(f, avx_extra_features, ARRAY_SIZE(avx_extra_features), host_runs);
	if (m->kind == MODEL_HOST)
		cut_to_host(f, host_runs);
	host_vendor(f->vendor);
	f->signature = x86_is_amd(f) ? SIGNATURE_AMD : SIGNATURE_INTEL;
	f->phys_bits = 40;
	f->nr_cpus = 1;
	snprintf(f->brand, sizeof(f->brand), "Sundog %s CPU", m->name);
	return 0;
}

/* AVX runs by code that is made at run time. */
static bool no_avx(unsigned feature)
{
	return !x86_fpu_is_avx(feature) && x86_fpu_host_runs(feature);
}

int x86_features_init(struct cpu_features *f, const char *model, struct err *e)
{
	int r = x86_features_for(f, model, x86_fpu_host_runs, e);
	struct vec_code *probe;

	if (r || !has(f, FEAT_AVX))
		return r;
	probe = vec_code_new(e);
	vec_code_free(probe);
	if (probe)
		return 0;
	if (find_model(model)->kind != MODEL_LEVEL)
		return x86_features_for(f, model, no_avx, e);
	if (e->code == -EOPNOTSUPP)
		return err_set(e, e->code,
			       "CPU model %s: its vector instructions need executable memory, "
			       "which this host forbids; use --cpu x86-64-v2 or max",
			       f->model);
	return e->code;
}

/* --- leaves
 * ------------------------------------------------------------------------------------------ */

enum { EAX, EBX, ECX, EDX };

enum { MAX_LEAF = 0x1f, MAX_EXT_LEAF = 0x80000021u & 0xff };
#define EXT_LEAVES 0x80000000u
#define HV_LEAVES 0x40000000u

/* All features of a leaf, in their places. */
static void put_features(const struct cpu_features *f, u32 leaf, u32 sub, u32 out[4])
{
	for (unsigned i = FEAT_BASE + 1; i < NR_FEATURES; i++)
		if (bits[i].leaf == leaf && bits[i].sub == sub && has(f, i))
			out[bits[i].reg] |= 1u << bits[i].bit;
}

static void put_vendor(const struct cpu_features *f, u32 out[4])
{
	out[EBX] = ld_le32(f->vendor);
	out[EDX] = ld_le32(f->vendor + 4);
	out[ECX] = ld_le32(f->vendor + 8);
}

static void leaf_1(struct x86_cpu *cpu, const struct cpu_features *f, u32 out[4])
{
	out[EAX] = f->signature;
	out[EBX] = cpu->v.index << 24 | f->nr_cpus << 16 | 8 << 8; /* CLFLUSH: 64 bytes */
	put_features(f, 1, 0, out);
	if (f->nr_cpus > 1)
		out[EDX] |= 1u << bits[FEAT_HTT].bit;
	if (cpu->st.cr4 & CR4_OSXSAVE)
		out[ECX] |= 1u << bits[FEAT_OSXSAVE].bit;
}

/* One cache: type (1 data, 2 code, 3 both), level, size; 64-byte lines; shared by n CPUs. */
static void cache(u32 out[4], unsigned type, unsigned level, u32 kib, unsigned ways,
		  unsigned shared)
{
	out[EAX] = type | level << 5 | 1 << 8 | (shared - 1) << 14;
	out[EBX] = 63 | (ways - 1) << 22;
	out[ECX] = kib * 1024 / 64 / ways - 1;
}

static void leaf_caches(const struct cpu_features *f, u32 sub, bool intel, u32 out[4])
{
	switch (sub) {
	case 0: cache(out, 1, 1, 32, 8, 1); break;
	case 1: cache(out, 2, 1, 32, 8, 1); break;
	case 2: cache(out, 3, 2, 1024, 8, 1); break;
	case 3: cache(out, 3, 3, 16384, 16, f->nr_cpus); break;
	default: return;
	}
	if (intel)
		out[EAX] |= (f->nr_cpus - 1) << 26;
}

static void leaf_7(const struct cpu_features *f, u32 sub, u32 out[4])
{
	if (sub > 1)
		return;
	put_features(f, 7, sub, out);
	if (sub)
		return;
	out[EAX] = has(f, FEAT_AVX512_BF16);
	/* SPEC_CTRL, ARCH_CAPABILITIES: that IBRS is always on and the leaks are not there. */
	if (!x86_is_amd(f))
		out[EDX] |= 1u << 26 | 1u << 29;
}

static void leaf_topology(struct x86_cpu *cpu, const struct cpu_features *f, u32 sub, u32 out[4])
{
	unsigned core_bits = 0;

	while (1u << core_bits < f->nr_cpus)
		core_bits++;
	out[ECX] = sub;
	out[EDX] = cpu->v.index;
	if (sub == 0) { /* threads of a core */
		out[EBX] = 1;
		out[ECX] |= 1 << 8;
	} else if (sub == 1) { /* cores of the package */
		out[EAX] = core_bits;
		out[EBX] = f->nr_cpus;
		out[ECX] |= 2 << 8;
	}
}

static u64 xcr0_allowed(const struct cpu_features *f)
{
	if (!has(f, FEAT_XSAVE))
		return 1;
	return 3 | (has(f, FEAT_AVX) ? 4 : 0) | (has(f, FEAT_AVX512F) ? 0xe0 : 0);
}

u64 x86_xcr0_allowed(const struct x86_cpu *cpu)
{
	return xcr0_allowed(cpu->v.machine->features);
}

static void leaf_xsave(struct x86_cpu *cpu, const struct cpu_features *f, u32 sub, u32 out[4])
{
	u64 all = xcr0_allowed(f);

	if (!has(f, FEAT_XSAVE))
		return;
	if (sub == 0) {
		out[EAX] = (u32)all;
		out[EBX] = x86_xsave_size(cpu->st.xcr0, false);
		out[ECX] = x86_xsave_size(all, false);
	} else if (sub == 1) {
		put_features(f, 0xd, 1, out);
		out[EBX] = x86_xsave_size(cpu->st.xcr0, true);
	} else if (sub < 64 && all >> sub & 1) {
		x86_xsave_comp(sub, &out[EAX], &out[EBX]);
	}
}

static void leaf_basic(struct x86_cpu *cpu, const struct cpu_features *f, u32 leaf, u32 sub,
		       u32 out[4])
{
	switch (leaf) {
	case 0:
		out[EAX] = MAX_LEAF;
		put_vendor(f, out);
		break;
	case 1: leaf_1(cpu, f, out); break;
	case 2:
		if (!x86_is_amd(f))
			out[EAX] = 0x00feff01; /* one query; see leaf 4 */
		break;
	case 4:
		if (!x86_is_amd(f))
			leaf_caches(f, sub, true, out);
		break;
	case 6: out[EAX] = 1 << 2; break; /* ARAT: the APIC timer never stops */
	case 7: leaf_7(f, sub, out); break;
	case 0xb:
	case 0x1f: leaf_topology(cpu, f, sub, out); break;
	case 0xd: leaf_xsave(cpu, f, sub, out); break;
	case 0x15: /* TSC = crystal * EBX / EAX */
		out[EAX] = out[EBX] = 1;
		out[ECX] = f->tsc_hz >> 32 ? 0 : (u32)f->tsc_hz;
		break;
	case 0x16: out[EAX] = out[EBX] = (u32)(f->tsc_hz / 1000000); break;
	default: break;
	}
}

/* KVM's clock, which every engine can keep: CLOCKSOURCE2, no I/O delays, stable. */
enum { KVM_FEATURES = 1 << 3 | 1 << 1 | 1 << 24 };

static void leaf_hypervisor(const struct cpu_features *f, u32 leaf, u32 out[4])
{
	if (!has(f, FEAT_HYPERVISOR))
		return;
	switch (leaf) {
	case HV_LEAVES:
		out[EAX] = HV_LEAVES + 0x10;
		out[EBX] = ld_le32("KVMK");
		out[ECX] = ld_le32("VMKV");
		out[EDX] = ld_le32("M\0\0\0");
		break;
	case HV_LEAVES + 1: out[EAX] = KVM_FEATURES; break;
	case HV_LEAVES + 0x10:
		out[EAX] = (u32)(f->tsc_hz / 1000);
		out[EBX] = APIC_TIMER_HZ / 1000;
		break;
	default: break;
	}
}

static void leaf_ext_features(const struct cpu_features *f, u32 out[4])
{
	put_features(f, 0x80000001, 0, out);
	if (!x86_is_amd(f))
		return;
	out[EAX] = f->signature;
	out[ECX] |= 1u << 4 | 1u << 22; /* CR8_LEGACY is not; TOPOEXT */
	out[ECX] &= ~(1u << 4);
	/* AMD repeats leaf 1. */
	for (unsigned i = FEAT_BASE + 1; i < NR_FEATURES; i++)
		if (bits[i].leaf == 1 && bits[i].reg == EDX && has(f, i) &&
		    (1u << bits[i].bit & 0x0183f3ff))
			out[EDX] |= 1u << bits[i].bit;
}

static void leaf_extended(struct x86_cpu *cpu, const struct cpu_features *f, u32 leaf, u32 sub,
			  u32 out[4])
{
	unsigned core_bits = 0;
	bool amd = x86_is_amd(f);

	while (1u << core_bits < f->nr_cpus)
		core_bits++;
	switch (leaf - EXT_LEAVES) {
	case 0:
		out[EAX] = EXT_LEAVES + (amd ? MAX_EXT_LEAF : 8);
		if (amd)
			put_vendor(f, out);
		break;
	case 1: leaf_ext_features(f, out); break;
	case 2:
	case 3:
	case 4:
		for (unsigned i = 0; i < 4; i++)
			out[i] = ld_le32(f->brand + 16 * (leaf - EXT_LEAVES - 2) + 4 * i);
		break;
	case 5:
		if (amd)
			out[ECX] = out[EDX] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
		break;
	case 6:
		out[ECX] = 1024u << 16 | 6 << 12 | (amd ? 1 << 8 : 0) | 64;
		if (amd)
			out[EDX] = 32u << 18 | 8 << 12 | 1 << 8 | 64;
		break;
	case 7: out[EDX] = 1 << 8; break; /* invariant TSC */
	case 8:
		out[EAX] = f->phys_bits | 48 << 8;
		if (amd) {
			out[EBX] = 1u << 26; /* SSB_NO */
			out[ECX] = (f->nr_cpus - 1) | core_bits << 12;
		}
		break;
	case 0x1d:
		if (amd)
			leaf_caches(f, sub, false, out);
		break;
	case 0x1e:
		if (amd) {
			out[EAX] = out[EBX] = cpu->v.index;
		}
		break;
	case 0x21: /* LFENCE serialises, null selectors clear bases, AutoIBRS, SRSO_NO, TSA_*_NO */
		if (amd) {
			out[EAX] = 1u << 2 | 1u << 6 | 1u << 8 | 1u << 29;
			out[ECX] = 1u << 1 | 1u << 2;
		}
		break;
	default: break;
	}
}

void x86_cpuid(struct x86_cpu *cpu, u32 leaf, u32 sub, u32 out[4])
{
	const struct cpu_features *f = cpu->v.machine->features;

	memset(out, 0, 4 * sizeof(out[0]));
	if (leaf >= EXT_LEAVES && leaf <= EXT_LEAVES + MAX_EXT_LEAF)
		leaf_extended(cpu, f, leaf, sub, out);
	else if (leaf >= HV_LEAVES && leaf <= HV_LEAVES + 0xff)
		leaf_hypervisor(f, leaf, out);
	else if (leaf <= MAX_LEAF)
		leaf_basic(cpu, f, leaf, sub, out);
	else if (!x86_is_amd(f)) /* Intel: beyond the last, as the last basic one */
		leaf_basic(cpu, f, MAX_LEAF, sub, out);
}
