/* SPDX-License-Identifier: MIT */
/*
 * insn_fuzz.c - bytes as code, in every mode and ring: decoder and interpreter.
 *
 * A guest that runs anything at all, on hostile registers, must not harm its host.  The kernel
 * of this guest is memory that the code may overwrite: tables, gates and all.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/input.h"
#include "isa/x86/system_bed.h"

enum { NR_INSNS = 200, MAX_CODE = 512, PATIENCE_US = 50000 };

static struct bed *bed;
static _Atomic unsigned round_nr;

/* A repeated string instruction may take hours over 4 GiB: stop what lasts. */
static void *impatient(void *arg)
{
	for (;;) {
		unsigned seen = atomic_load(&round_nr);

		usleep(PATIENCE_US);
		if (seen == atomic_load(&round_nr))
			atomic_fetch_or(&bed->cpu->v.pending, VCPU_STOP);
	}
	return NULL;
}

static void start(void)
{
	pthread_t tid;

	bed = bed_new("max"); /* and thus ready for AVX */
	memset(bed->m.features->have, 0xff, sizeof(bed->m.features->have));
	x86_fpu_limit_features(bed->m.features);
	if (pthread_create(&tid, NULL, impatient, NULL) || pthread_detach(tid))
		abort();
}

static void choose_mode(u8 how)
{
	switch (how % 5) {
	case 0:
	case 1: bed_long(bed); break;
	case 2:
	case 3: bed_protected(bed); break;
	default: bed_real(bed); break;
	}
	if (how % 5 == 1 || how % 5 == 3)
		bed_ring3(bed);
}

/* Numbers that mean something to the guest, more often than not. */
static u64 reg(struct input *in)
{
	u8 kind = (u8)input_take(in, 1);

	switch (kind & 7) {
	case 0: return input_take(in, 8);
	case 1: return (u64)(i64)(i32)input_take(in, 4);
	case 2: return BED_RAM - (kind >> 3);
	case 3: return 0x800000000000ull - (kind >> 3);
	case 4: return BED_CODE + (kind >> 3) * 8;
	default: return BED_DATA + (kind >> 3) * 0x1ff;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};
	struct cpu_state *st;
	u8 flags;

	if (!bed)
		start();
	if (madvise(bed->ram, BED_RAM, MADV_REMOVE))
		return 0;
	atomic_fetch_add(&round_nr, 1);
	atomic_store(&bed->cpu->v.pending, 0);
	choose_mode((u8)input_take(&in, 1));
	st = &bed->cpu->st;
	flags = (u8)input_take(&in, 1);
	st->rflags = FL_FIXED | (flags & 1 ? FL_TF : 0) | (flags & 2 ? FL_DF : 0) |
		     (flags & 4 ? FL_AC : 0) | (flags & 8 ? FL_IOPL : 0);
	st->cr0 |= flags & 4 ? CR0_AM : 0;
	if (flags & 16)
		st->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
	st->xcr0 = flags & 64 ? x86_xcr0_allowed(bed->cpu) : 3;
	for (unsigned i = 0; i < NR_GPRS; i++) {
		if (i != RSP || flags & 32)
			st->gpr[i] = reg(&in);
	}
	if (in.left > MAX_CODE)
		in.left = MAX_CODE;
	memcpy(bed->ram + BED_CODE, in.data, in.left);
	bed_run(bed, BED_CODE, NR_INSNS);
	return 0;
}
