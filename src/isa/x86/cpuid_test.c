/* SPDX-License-Identifier: MIT */
/*
 * cpuid_test.c - CPUID agrees with features.def for every model; every MSR keeps what it may
 * and refuses the rest.
 */
#include <errno.h>

#include "isa/x86/msr.h"
#include "isa/x86/system_bed.h"

static const struct {
	const char *name;
	u32 leaf;
	u8 sub, reg, bit;
} features[] = {
#define FEATURE(name, leaf, sub, reg, bit, doc) {#name, leaf, sub, reg, bit},
#include "isa/x86/features.def"
#undef FEATURE
};

static void test_features(const char *model)
{
	struct bed *b = bed_new(model);
	u32 out[4];

	for (unsigned i = 1; i < ARRAY_SIZE(features); i++) {
		bool shown;

		if (i == FEAT_OSXSAVE || i == FEAT_HTT)
			continue;
		x86_cpuid(b->cpu, features[i].leaf, features[i].sub, out);
		shown = out[features[i].reg] >> features[i].bit & 1;
		if (shown != x86_has(b->cpu, i)) {
			fprintf(stderr, "%s: CPUID and the model disagree on %s\n", model,
				features[i].name);
			bed_failures++;
		}
	}
	bed_free(b);
}

static void test_leaves(void)
{
	struct bed *b = bed_new("x86-64-v2");
	u32 out[4], again[4];
	char brand[49] = "";

	x86_cpuid(b->cpu, 0x40000000, 0, out);
	CHECK_EQ(memcmp(&out[1], "KVMKVMKVM\0\0\0", 12), 0);
	x86_cpuid(b->cpu, 0, 0, out);
	CHECK_EQ(out[0] >= 0xd, 1);
	for (unsigned i = 0; i < 3; i++) {
		x86_cpuid(b->cpu, 0x80000002 + i, 0, out);
		memcpy(brand + 16 * i, out, 16);
	}
	CHECK_EQ(strncmp(brand, "Sundog", 6), 0);
	x86_cpuid(b->cpu, 0x80000008, 0, out);
	CHECK_EQ(out[0] & 0xff, b->m.features->phys_bits);
	CHECK_EQ(out[0] >> 8 & 0xff, 48);
	x86_cpuid(b->cpu, 1, 0, out);
	CHECK_EQ(out[2] >> 27 & 1, 0);
	b->cpu->st.cr4 |= CR4_OSXSAVE;
	x86_cpuid(b->cpu, 1, 0, again);
	CHECK_EQ(again[2] ^ out[2], 1 << 27);
	x86_cpuid(b->cpu, 0xd, 0, out);
	CHECK_EQ(out[0], 3);
	CHECK_EQ(out[2], 576);
	bed_free(b);
}

static void test_unknown_model(void)
{
	struct cpu_features f;
	struct err e = {0};

	CHECK_EQ(x86_features_init(&f, "x86-64-v3x", &e), -EINVAL);
	CHECK_EQ(strstr(e.msg, "'x86-64-v3'") != NULL, 1);
	CHECK_EQ(x86_features_init(&f, "v9", &e), -EINVAL);
	CHECK_EQ(strstr(e.msg, "'v2'") != NULL, 1);
}

static bool nothing(unsigned feature)
{
	return false;
}

static bool all_but_fma(unsigned feature)
{
	return feature != FEAT_FMA;
}

static bool everything(unsigned feature)
{
	return true;
}

static bool shows(const struct cpu_features *f, unsigned n)
{
	return f->have[n / 8] >> n % 8 & 1;
}

/* What a host cannot run is refused, with the cause, or left out where all is taken that is. */
static void test_models(void)
{
	struct cpu_features f;
	struct err e = {0};

	CHECK_EQ(x86_features_for(&f, "v3", everything, &e), 0);
	CHECK_EQ(strcmp(f.model, "x86-64-v3"), 0);
	CHECK_EQ(shows(&f, FEAT_AVX2) && shows(&f, FEAT_BMI2) && shows(&f, FEAT_VAES), 1);
	CHECK_EQ(shows(&f, FEAT_AVX512F), 0);
	CHECK_EQ(x86_features_for(&f, "v4", everything, &e), 0);
	CHECK_EQ(shows(&f, FEAT_AVX512F) && shows(&f, FEAT_AVX512VL), 1);
	CHECK_EQ(shows(&f, FEAT_AVX512_VNNI), 0);
	CHECK_EQ(x86_features_for(&f, "max", everything, &e), 0);
	CHECK_EQ(shows(&f, FEAT_AVX512_VNNI), 1);
	CHECK_EQ(x86_features_for(&f, "x86-64-v3", all_but_fma, &e), -EOPNOTSUPP);
	CHECK_EQ(strstr(e.msg, "FMA") && strstr(e.msg, "--cpu"), 1);
	CHECK_EQ(x86_features_for(&f, "max", all_but_fma, &e), 0);
	CHECK_EQ(shows(&f, FEAT_FMA), 0);
	CHECK_EQ(shows(&f, FEAT_AVX2) && shows(&f, FEAT_BMI1) && shows(&f, FEAT_UMIP), 1);
	CHECK_EQ(x86_features_for(&f, "host", nothing, &e), 0);
	CHECK_EQ(shows(&f, FEAT_AVX) || shows(&f, FEAT_UMIP) || shows(&f, FEAT_BMI1), 0);
	CHECK_EQ(shows(&f, FEAT_LM) && shows(&f, FEAT_X2APIC), 1);
}

static void test_msr_row(struct bed *b, const struct msr_row *r)
{
	struct x86_cpu *cpu = b->cpu;
	bool mine = r->feature == VENDOR_AMD	 ? x86_is_amd(b->m.features)
		    : r->feature == VENDOR_INTEL ? !x86_is_amd(b->m.features)
						 : x86_has(cpu, r->feature);
	u64 val, got;

	if (!mine) {
		CHECK_EQ(x86_rdmsr(cpu, r->msr, &val), -1);
		return;
	}
	if (r->kind == MSR_WRITE_ONLY) {
		CHECK_EQ(x86_rdmsr(cpu, r->msr, &val), -1);
		return;
	}
	CHECK_EQ(x86_rdmsr(cpu, r->msr, &val), 0);
	if (r->kind == MSR_CALLS || r->msr == 0x3b)
		return;
	CHECK_EQ(val, r->reset);
	/* What it holds can be written back, and reads the same. */
	CHECK_EQ(x86_wrmsr(cpu, r->msr, val), r->kind == MSR_CONST ? -1 : 0);
	CHECK_EQ(x86_rdmsr(cpu, r->msr, &got), 0);
	CHECK_EQ(got, val);
	if (r->kind == MSR_KEPT && r->writable != ~0ull)
		CHECK_EQ(x86_wrmsr(cpu, r->msr, ~0ull), -1);
	if (r->kind == MSR_KEPT && !r->write) {
		CHECK_EQ(x86_wrmsr(cpu, r->msr, r->writable), 0);
		CHECK_EQ(x86_rdmsr(cpu, r->msr, &got), 0);
		CHECK_EQ(got, r->writable);
	}
	if (r->kind == MSR_CANONICAL) {
		CHECK_EQ(x86_wrmsr(cpu, r->msr, 1ull << 47), -1);
		CHECK_EQ(x86_wrmsr(cpu, r->msr, 0xffff800012345678), 0);
		CHECK_EQ(x86_rdmsr(cpu, r->msr, &got), 0);
		CHECK_EQ(got, 0xffff800012345678);
	}
}

static void test_msrs(void)
{
	struct bed *b = bed_new("x86-64-v2");
	u64 val;

	for (unsigned i = 0; i < nr_msr_rows; i++) {
		if (i && msr_rows[i].msr <= msr_rows[i - 1].msr) {
			fprintf(stderr, "MSR rows are not sorted at %#x\n", msr_rows[i].msr);
			bed_failures++;
		}
		test_msr_row(b, &msr_rows[i]);
	}
	CHECK_EQ(x86_rdmsr(b->cpu, 0x12345, &val), -1);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x12345, 0), -1);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x277, 0x02), -1);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x200, 6 | 0x80000000), 0);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x201, 1ull << 50), -1);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x250, 0x0202020202020202), -1);
	CHECK_EQ(x86_wrmsr(b->cpu, 0xc0000080, 1ull << 30), -1);
	bed_free(b);
}

/* The guest reads the same time from the page as from the machine, and WRMSR TSC moves only it. */
static void test_clock(void)
{
	struct bed *b = bed_new("x86-64-v2");
	u64 before, after, mul, base, tsc;
	unsigned __int128 ns;
	i8 shift;

	clock_resume(&b->m);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x4b564d01, BED_DATA | 1), 0);
	CHECK_EQ(x86_wrmsr(b->cpu, 0x10, 1ull << 60), 0);
	CHECK_EQ(x86_rdmsr(b->cpu, 0x3b, &tsc), 0);
	CHECK_EQ((u64)b->cpu->st.tsc_offset, tsc);
	CHECK_EQ(x86_tsc(b->cpu) >> 60, 1);
	CHECK_EQ(bed_ld(b, BED_DATA, 4) & 1, 0);
	base = bed_ld(b, BED_DATA + 8, 8);
	mul = bed_ld(b, BED_DATA + 24, 4);
	shift = (i8)bed_ld(b, BED_DATA + 28, 1);
	CHECK_EQ(bed_ld(b, BED_DATA + 29, 1), 1);
	before = clock_now(&b->m, CLOCK_GUEST);
	tsc = x86_tsc(b->cpu) - base;
	after = clock_now(&b->m, CLOCK_GUEST);
	tsc = shift < 0 ? tsc >> -shift : tsc << shift;
	ns = ((unsigned __int128)tsc * mul >> 32) + bed_ld(b, BED_DATA + 16, 8);
	CHECK_EQ(ns + 2 >= before && ns <= after + 2, 1);
	bed_free(b);
}

int main(void)
{
	for (unsigned i = 0; x86_models[i]; i++)
		test_features(x86_models[i]);
	test_leaves();
	test_unknown_model();
	test_models();
	test_msrs();
	test_clock();
	return bed_failures != 0;
}
