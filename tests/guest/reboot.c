/* SPDX-License-Identifier: MIT */
/*
 * reboot.c - the ways to reset the machine: keyboard controller, port 0x92, port 0xcf9,
 * ACPI's reset register, triple fault excepted; each boots the payload anew, which finds by a
 * byte in CMOS where it was.
 *
 * reboot: yes
 */
#include "guest.h"

enum { CMOS_STEP = 0x7d };

static u8 step(void)
{
	outb(0x70, CMOS_STEP);
	return inb(0x71);
}

static void next(u8 n)
{
	outb(0x70, CMOS_STEP);
	outb(0x71, n);
}

static _Noreturn void wait_end(const char *how)
{
	for (unsigned i = 0; i < 100000000; i++)
		pause();
	give_up(how);
}

int main(void)
{
	switch (step()) {
	default:
		next(0xa1);
		outb(0x64, 0xfe);
		wait_end("8042 did not reset");
	case 0xa1:
		check("reset-by-8042", step(), 0xa1);
		next(0xa2);
		outb(0x92, inb(0x92) | 1);
		wait_end("port 0x92 did not reset");
	case 0xa2:
		check("reset-by-port-92", step(), 0xa2);
		next(0xa3);
		outb(0xcf9, 2);
		outb(0xcf9, 6);
		wait_end("port 0xcf9 did not reset");
	case 0xa3: check("reset-by-cf9", step(), 0xa3); next(0);
	}
	check("state-after-reset", read_cr2(), 0);
	return 0;
}
