/* SPDX-License-Identifier: MIT */
/* gdbmonitor.c - gdb's "monitor" command: what the protocol has no packet for. */
#include <stdio.h>
#include <stdlib.h>

#include "debug/gdb.h"

enum { TEXT_MAX = 64 << 10, PIECE = 4096, MAX_INSNS = 100 };

static const char help_text[] =
	"help                     this text\n"
	"info registers [-a]      all registers of the chosen CPU, or of all CPUs\n"
	"reset                    reset the machine; it stays stopped\n"
	"quit                     end the machine and sundog\n"
	"x/[N]i [ADDRESS]         disassemble N instructions, at the PC if no address is given\n"
	"Physical memory:         maintenance packet Qqemu.PhyMemMode:1   (0: virtual again)\n"
	"Interrupts in a step:    maintenance packet Qqemu.sstep=1        (7: they wait again)\n";

/* Text as gdb prints it, in as many packets as it takes, and the end of the command. */
static void say(struct gdbstub *g, const char *text)
{
	size_t len = strlen(text);

	if (len > TEXT_MAX)
		len = TEXT_MAX;
	while (len) {
		size_t n = len < PIECE ? len : PIECE;

		rsp_begin(&g->rsp);
		rsp_add(&g->rsp, "O");
		rsp_add_hex(&g->rsp, text, n);
		rsp_end(&g->rsp);
		text += n;
		len -= n;
	}
	rsp_send(&g->rsp, "OK");
}

static void info_registers(struct gdbstub *g, FILE *f, bool all)
{
	if (!all) {
		gdb_vcpu(g)->isa->dump(gdb_vcpu(g), f);
		return;
	}
	for (unsigned i = 0; i < g->m->nr_vcpus; i++) {
		fprintf(f, "CPU %u:\n", i);
		g->m->isa->dump(g->m->vcpus[i], f);
	}
}

static void disassemble(struct gdbstub *g, FILE *f, u64 addr, unsigned n)
{
	struct vcpu *cpu = gdb_vcpu(g);

	while (n--) {
		char text[128];
		u8 bytes[16];
		size_t have = gdb_read_mem(g, addr, bytes, sizeof(bytes));

		if (!have) {
			fprintf(f, "0x%016llx: no memory there\n", (unsigned long long)addr);
			return;
		}
		have = cpu->isa->disasm(cpu, addr, bytes, (unsigned)have, text, sizeof(text));
		fprintf(f, "0x%016llx: %s\n", (unsigned long long)addr, text);
		addr += have;
	}
}

/* "x/5i 0x1000".  False: it is something else. */
static bool examine(struct gdbstub *g, FILE *f, const char *line)
{
	u64 addr = gdb_vcpu(g)->ops->pc(gdb_vcpu(g));
	unsigned long n = 1;
	char *end;

	if (*line != 'x' || (line[1] && line[1] != '/' && line[1] != ' '))
		return false;
	line++;
	if (*line == '/') {
		n = strtoul(line + 1, &end, 10);
		if (end == line + 1)
			n = 1;
		if (*end != 'i' || n > MAX_INSNS)
			return false;
		line = end + 1;
	}
	line += strspn(line, " ");
	if (*line) {
		addr = strtoull(line, &end, 0);
		if (*end)
			return false;
	}
	disassemble(g, f, addr, (unsigned)n);
	return true;
}

/* Its answer on f; false: it has no such command. */
static bool print_answer(struct gdbstub *g, FILE *f, const char *line)
{
	if (!*line || !strcmp(line, "help"))
		fputs(help_text, f);
	else if (!strcmp(line, "info registers") || !strcmp(line, "info registers -a"))
		info_registers(g, f, line[14]);
	else
		return examine(g, f, line);
	return true;
}

void gdb_monitor(struct gdbstub *g, char *line)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	line += strspn(line, " \t");
	for (size_t n = strlen(line); n && strchr(" \t\r\n", line[n - 1]);)
		line[--n] = 0;
	if (!strcmp(line, "reset")) {
		gdb_reset(g); /* answers when it has happened */
		return;
	}
	if (!strcmp(line, "quit")) {
		rsp_send(&g->rsp, "OK");
		gdb_kill(g);
		return;
	}
	f = open_memstream(&text, &size);
	if (!f) {
		rsp_send(&g->rsp, "E12");
		return;
	}
	if (!print_answer(g, f, line))
		fprintf(f, "there is no command '%s'; \"monitor help\" lists them\n", line);
	if (fclose(f) == 0)
		say(g, text);
	else
		rsp_send(&g->rsp, "E12");
	free(text);
}
