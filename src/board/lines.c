/* SPDX-License-Identifier: MIT */
/* lines.c - the interrupt wires of the board "pc": pc.h says which goes where. */
#include "board/pc.h"

#include "dev/intc/pic.h"

enum { NOT_THERE = 255, TIMER_PIN = 2 };

static void line_set(void *sink, unsigned pin, bool level)
{
	struct pc_line *l = sink;

	irq_set(&l->pic, level);
	irq_set(&l->ioapic, level);
}

/* A new wire to an input of each controller; each wire is one more input of the pins' OR. */
static struct irq_line connect(struct pc *pc, unsigned pic, unsigned ioapic)
{
	struct pc_line *l;

	if (pc->nr_lines == PC_MAX_LINES)
		return (struct irq_line){0};
	l = &pc->lines[pc->nr_lines++];
	if (pic < PC_ISA_IRQS)
		l->pic = irq_or_input(&pc->pic_pins[pic], pc->pic_used[pic]++);
	if (ioapic < IOAPIC_PINS)
		l->ioapic = irq_or_input(&pc->ioapic_pins[ioapic], pc->ioapic_used[ioapic]++);
	return (struct irq_line){.set = line_set, .sink = l};
}

struct irq_line pc_irq(struct machine *m, unsigned gsi)
{
	struct pc *pc = m->board_priv;

	if (gsi == 0)
		return connect(pc, 0, TIMER_PIN);
	if (gsi == TIMER_PIN)
		return connect(pc, NOT_THERE, TIMER_PIN);
	if (gsi < PC_ISA_IRQS)
		return connect(pc, gsi, gsi);
	if (gsi < PC_PCI_GSI + 4)
		return connect(pc, 10 + (gsi & 1), gsi);
	return connect(pc, NOT_THERE, gsi);
}

struct irq_line pc_ioapic_only(struct pc *pc, unsigned gsi)
{
	return connect(pc, NOT_THERE, gsi);
}

void pc_init_lines(struct pc *pc)
{
	for (unsigned i = 0; i < PC_ISA_IRQS; i++)
		irq_or_init(&pc->pic_pins[i],
			    i == 2 ? (struct irq_line){0} : pic_input(pc->pic, i));
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		irq_or_init(&pc->ioapic_pins[i], ioapic_input(pc->ioapic, i));
}
