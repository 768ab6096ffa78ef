/* SPDX-License-Identifier: MIT */
/*
 * kills.c - code that is changed under CPUs that run it, in loops, calls between pages and
 * accesses to a device, while another CPU makes more new code than any cache of it holds.
 *
 * Source: SDM volume 3A, "Handling Self- and Cross-Modifying Code".
 *
 * cpus: 4
 * qemu stale-*: QEMU 7.2 with a thread for each CPU goes on with code that another has changed
 */
#include "apic.h"

enum { PATCHES = 1500, FLOOD = 1 << 20, FUNCTION = 16, NR = 4, PATIENCE = 50000000 };

static u8 code[2 * 4096] __attribute__((aligned(4096)));
static u8 flood[FLOOD] __attribute__((aligned(4096)));
static volatile u32 near_want, far_want, stale_near, stale_far, lost, calls[NR];
static volatile bool stop;

/* Two immediates, each aligned, so that storing one is atomic for who fetches it. */
static volatile u32 *const near_imm = (volatile u32 *)(code + 4);
static volatile u32 *const far_imm = (volatile u32 *)(code + 4096 + 0x84);

static void put_code(void)
{
	static const u8 start[] = {0xb8, 0, 0, 0, 0, 0xba, 4, 0, 0, 0, 0xeb, 0x31};
	static const u8 loop[] = {
		0xe8, 0x3e, 0x10, 0,	0,			/* 40: call far */
		0x83, 0xea, 0x01, 0x75, 0xf6,			/* sub edx, 1; jnz 40 */
		0x48, 0xc1, 0xe1, 0x20, 0x48, 0x09, 0xc8, 0xc3, /* rax |= rcx << 32; ret */
	};
	static const u8 far[] = {0xb9, 0, 0, 0, 0, 0xe6, 0x80, 0xc3}; /* mov ecx; out 0x80; ret */

	for (unsigned i = 0; i < sizeof(start); i++)
		code[3 + i] = start[i];
	for (unsigned i = 0; i < sizeof(loop); i++)
		code[0x40 + i] = loop[i];
	for (unsigned i = 0; i < sizeof(far); i++)
		code[4096 + 0x83 + i] = far[i];
}

/* What was published before the call must be what runs. */
static void run(unsigned cpu)
{
	u64 (*f)(void) = (u64(*)(void))(reg_t)(code + 3);

	while (!stop) {
		u32 near = near_want, far = far_want, r[4];
		u64 got;

		cpuid(0, 0, r); /* serialises, as the manual asks */
		got = f();
		if ((u32)got < near)
			__atomic_add_fetch(&stale_near, 1, __ATOMIC_SEQ_CST);
		if ((u32)(got >> 32) < far)
			__atomic_add_fetch(&stale_far, 1, __ATOMIC_SEQ_CST);
		calls[cpu]++;
	}
}

static void make_code(void)
{
	for (u32 n = 0; !stop; n++) {
		u8 *p = flood + n * FUNCTION % FLOOD;

		p[0] = 0xb8;
		*(volatile u32 *)(p + 1) = n;
		p[5] = 0xc3;
		barrier();
		if (((u32(*)(void))(reg_t)p)() != n)
			__atomic_add_fetch(&lost, 1, __ATOMIC_SEQ_CST);
		calls[2]++;
	}
}

static void work(unsigned cpu)
{
	if (cpu == 2)
		make_code();
	else
		run(cpu);
}

static bool wait_calls(unsigned cpu, u32 n)
{
	u32 from = calls[cpu];

	for (unsigned i = 0; i < PATIENCE; i++) {
		if (calls[cpu] - from >= n)
			return true;
		pause();
	}
	return false;
}

int main(void)
{
	bool alive = true;

	apic_enable();
	put_code();
	check("cpus", smp_start(NR, work), NR);
	for (u32 i = 1; i <= PATCHES && alive; i++) {
		if (i % 2) {
			*near_imm = i;
			near_want = i;
		} else {
			*far_imm = i;
			far_want = i;
		}
		if (i % 8 == 0)
			alive = wait_calls(1, 2) && wait_calls(3, 2);
	}
	alive = alive && wait_calls(2, 2 * FLOOD / FUNCTION / 16);
	stop = true;
	check_true("all-go-on", alive);
	check("stale-near", stale_near, 0);
	check("stale-far", stale_far, 0);
	check("new-code", lost, 0);
	return 0;
}
