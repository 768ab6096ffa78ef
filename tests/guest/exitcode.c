/* SPDX-License-Identifier: MIT */
/*
 * exitcode.c - the exit device's formula for its status: a value of 0x2a gives 0x55.
 *
 * status: 85
 */
#include "guest.h"

int main(void)
{
	check("port-reads", inb(0xf4) != 0x2a, 1);
	outb(0xf4, 0x2a);
	return 0;
}
