/* SPDX-License-Identifier: MIT */
/*
 * gdbpacket.c - the packets of GDB's remote serial protocol.
 *
 * An empty answer says that we do not know a packet; E22 that it makes no sense, E14 that
 * there is no such memory, E28 that there are too many points.
 * Source: GDB manual, "Remote Protocol"; for the qemu.* packets QEMU's documentation, "GDB
 * usage".
 */
#include <stdio.h>

#include "debug/gdb.h"

static const char bad[] = "E22", fault[] = "E14", full[] = "E28", refused[] = "E01";

/* What is left of the packet. */
struct args {
	const u8 *s, *end;
};

static bool take(struct args *a, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(a->end - a->s) < len || memcmp(a->s, word, len) != 0)
		return false;
	a->s += len;
	return true;
}

static bool take_number(struct args *a, u64 *val)
{
	return rsp_number(&a->s, a->end, val);
}

static bool at_end(const struct args *a)
{
	return a->s == a->end;
}

/* "addr,len" */
static bool take_range(struct args *a, u64 *addr, u64 *len)
{
	return take_number(a, addr) && take(a, ",") && take_number(a, len);
}

/* A thread: *cpu is nr_vcpus for "any" (0) and MACHINE_MAX_CPUS for all (-1). */
static bool take_thread(const struct gdbstub *g, struct args *a, unsigned *cpu)
{
	u64 id;

	if (take(a, "-1")) {
		*cpu = MACHINE_MAX_CPUS;
		return true;
	}
	if (!take_number(a, &id) || id > g->m->nr_vcpus)
		return false;
	*cpu = id ? (unsigned)id - 1 : g->cpu;
	return true;
}

static void ok_or(struct gdbstub *g, bool good, const char *error)
{
	rsp_send(&g->rsp, good ? "OK" : error);
}

/* --- registers ---------------------------------------------------------------------------------
 */

static void read_all_regs(struct gdbstub *g)
{
	struct vcpu *cpu = gdb_vcpu(g);
	u8 buf[64];

	rsp_begin(&g->rsp);
	for (unsigned i = 0; i < cpu->isa->gdb_nr_regs; i++)
		rsp_add_hex(&g->rsp, buf, cpu->isa->gdb_read_reg(cpu, i, buf));
	rsp_end(&g->rsp);
}

static bool write_reg(struct vcpu *cpu, unsigned n, const u8 *val, size_t len, unsigned *size)
{
	u8 buf[64];

	*size = cpu->isa->gdb_read_reg(cpu, n, buf);
	if (!*size || len < *size)
		return false;
	return !memcmp(buf, val, *size) || cpu->isa->gdb_write_reg(cpu, n, val) == *size;
}

static void write_all_regs(struct gdbstub *g, struct args *a)
{
	struct vcpu *cpu = gdb_vcpu(g);
	u8 vals[RSP_PACKET_MAX / 2];
	long len = rsp_unhex(a->s, (size_t)(a->end - a->s), vals, sizeof(vals));
	size_t at = 0;
	bool good = len > 0;
	unsigned size;

	for (unsigned i = 0; good && i < cpu->isa->gdb_nr_regs && at < (size_t)len; i++) {
		good = write_reg(cpu, i, vals + at, (size_t)len - at, &size);
		at += size;
	}
	cpu->ops->state_changed(cpu);
	ok_or(g, good, bad);
}

static void read_one_reg(struct gdbstub *g, struct args *a)
{
	struct vcpu *cpu = gdb_vcpu(g);
	u8 buf[64];
	unsigned size;
	u64 n;

	if (!take_number(a, &n) || !at_end(a) || n >= cpu->isa->gdb_nr_regs) {
		rsp_send(&g->rsp, bad);
		return;
	}
	size = cpu->isa->gdb_read_reg(cpu, (unsigned)n, buf);
	rsp_begin(&g->rsp);
	rsp_add_hex(&g->rsp, buf, size);
	rsp_end(&g->rsp);
}

static void write_one_reg(struct gdbstub *g, struct args *a)
{
	struct vcpu *cpu = gdb_vcpu(g);
	u8 val[64];
	unsigned size = 0;
	bool good;
	long len;
	u64 n;

	if (!take_number(a, &n) || !take(a, "=") || n >= cpu->isa->gdb_nr_regs) {
		rsp_send(&g->rsp, bad);
		return;
	}
	len = rsp_unhex(a->s, (size_t)(a->end - a->s), val, sizeof(val));
	good = len > 0 && write_reg(cpu, (unsigned)n, val, (size_t)len, &size);
	cpu->ops->state_changed(cpu);
	ok_or(g, good, bad);
}

/* --- memory ------------------------------------------------------------------------------------
 */

static void read_mem(struct gdbstub *g, struct args *a)
{
	u8 buf[RSP_PACKET_MAX / 2 - 8];
	u64 addr, len;
	size_t n;

	if (!take_range(a, &addr, &len) || !at_end(a)) {
		rsp_send(&g->rsp, bad);
		return;
	}
	n = gdb_read_mem(g, addr, buf, len < sizeof(buf) ? len : sizeof(buf));
	if (!n && len) {
		rsp_send(&g->rsp, fault);
		return;
	}
	rsp_begin(&g->rsp);
	rsp_add_hex(&g->rsp, buf, n);
	rsp_end(&g->rsp);
}

static void write_mem(struct gdbstub *g, struct args *a, bool hex)
{
	u8 buf[RSP_PACKET_MAX / 2];
	const u8 *data;
	u64 addr, len;
	long n;

	if (!take_range(a, &addr, &len) || !take(a, ":")) {
		rsp_send(&g->rsp, bad);
		return;
	}
	data = a->s;
	n = a->end - a->s;
	if (hex) {
		n = rsp_unhex(a->s, (size_t)n, buf, sizeof(buf));
		data = buf;
	}
	if (n < 0 || (u64)n != len)
		rsp_send(&g->rsp, bad);
	else
		ok_or(g, gdb_write_mem(g, addr, data, len) == 0, fault);
}

/* --- points ------------------------------------------------------------------------------------
 */

static unsigned find_point(const struct gdbstub *g, const struct gdb_point *p)
{
	unsigned i = 0;

	while (i < g->nr_points &&
	       (g->points[i].p.kind != p->p.kind || g->points[i].p.addr != p->p.addr ||
		g->points[i].p.len != p->p.len || g->points[i].hard != p->hard))
		i++;
	return i;
}

static void change_point(struct gdbstub *g, struct args *a, bool insert)
{
	static const u8 kinds[] = {DEBUG_EXEC, DEBUG_EXEC, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS};
	struct gdb_point p = {0};
	u64 type;
	unsigned i;

	if (!gdb_can_debug(g)) {
		rsp_send(&g->rsp, "");
		return;
	}
	if (!take_number(a, &type) || !take(a, ",") || type >= ARRAY_SIZE(kinds) ||
	    !take_range(a, &p.p.addr, &p.p.len) || !at_end(a) ||
	    (type > 1 && (!p.p.len || p.p.len > 1 << 20))) {
		rsp_send(&g->rsp, bad);
		return;
	}
	p.p.kind = kinds[type];
	p.hard = type == 1;
	i = find_point(g, &p);
	if (insert && i == g->nr_points) {
		if (i == DEBUG_MAX_POINTS) {
			rsp_send(&g->rsp, full);
			return;
		}
		g->points[g->nr_points++] = p;
	} else if (!insert && i < g->nr_points) {
		g->points[i] = g->points[--g->nr_points];
	}
	rsp_send(&g->rsp, "OK");
}

/* --- running ------------------------------------------------------------------------------------
 */

/* "c" and "s" of old: for the thread that Hc chose; an address is not taken. */
static void run_plain(struct gdbstub *g, struct args *a, bool step, bool sig)
{
	bool one = g->cont_cpu < g->m->nr_vcpus;
	u64 ignored;

	if ((sig && !take_number(a, &ignored)) || !at_end(a) || (step && !gdb_can_debug(g))) {
		rsp_send(&g->rsp, "");
		return;
	}
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		g->cpus[i].action = step && one ? ACT_STOP : ACT_CONTINUE;
	if (step)
		g->cpus[one ? g->cont_cpu : g->cpu].action = ACT_STEP;
	gdb_resume(g);
}

static bool vcont_action(struct args *a, enum gdb_action *act)
{
	u64 ignored;

	if (take(a, "c"))
		*act = ACT_CONTINUE;
	else if (take(a, "s"))
		*act = ACT_STEP;
	else if (take(a, "t"))
		*act = ACT_STOP;
	else if (take(a, "C"))
		*act = ACT_CONTINUE;
	else if (take(a, "S"))
		*act = ACT_STEP;
	else
		return false;
	/* A signal means nothing to a CPU. */
	return (a->s[-1] != 'C' && a->s[-1] != 'S') || take_number(a, &ignored);
}

/* "vCont;s:1;c": for each thread the first action that names it; the others stay stopped. */
static void vcont(struct gdbstub *g, struct args *a)
{
	enum gdb_action acts[MACHINE_MAX_CPUS];
	bool set[MACHINE_MAX_CPUS] = {false}, any = false;

	while (take(a, ";")) {
		unsigned cpu = MACHINE_MAX_CPUS;
		enum gdb_action act;

		if (!vcont_action(a, &act) || (take(a, ":") && !take_thread(g, a, &cpu)) ||
		    (act == ACT_STEP && !gdb_can_debug(g))) {
			rsp_send(&g->rsp, bad);
			return;
		}
		for (unsigned i = 0; i < g->m->nr_vcpus; i++) {
			if (set[i] || (cpu != MACHINE_MAX_CPUS && cpu != i))
				continue;
			set[i] = true;
			acts[i] = act;
			any = any || act != ACT_STOP;
		}
	}
	if (!any || !at_end(a)) {
		rsp_send(&g->rsp, bad);
		return;
	}
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		g->cpus[i].action = set[i] ? acts[i] : ACT_STOP;
	gdb_resume(g);
}

static void choose_thread(struct gdbstub *g, struct args *a)
{
	bool go = take(a, "c");
	unsigned cpu;

	if ((!go && !take(a, "g")) || !take_thread(g, a, &cpu) || !at_end(a)) {
		rsp_send(&g->rsp, bad);
		return;
	}
	if (go)
		g->cont_cpu = cpu;
	else if (cpu < g->m->nr_vcpus)
		g->cpu = cpu;
	rsp_send(&g->rsp, "OK");
}

/* --- queries
 * -------------------------------------------------------------------------------------- */

static void supported(struct gdbstub *g, struct args *a)
{
	/* Its features, of which a few matter; they come separated by ";". */
	while (!at_end(a)) {
		if (take(a, "swbreak+"))
			g->swbreak = true;
		else if (take(a, "hwbreak+"))
			g->hwbreak = true;
		else
			a->s++;
	}
	rsp_begin(&g->rsp);
	rsp_addf(&g->rsp, "PacketSize=%x;QStartNoAckMode+;vContSupported+", RSP_PACKET_MAX);
	if (gdb_can_debug(g))
		rsp_add(&g->rsp, ";swbreak+;hwbreak+");
	if (g->m->isa->gdb_target_xml)
		rsp_add(&g->rsp, ";qXfer:features:read+");
	rsp_end(&g->rsp);
}

static void read_description(struct gdbstub *g, struct args *a)
{
	const char *xml = g->m->isa->gdb_target_xml;
	const size_t size = xml ? strlen(xml) : 0;
	u64 off, len;

	if (!take(a, "target.xml:") || !take_range(a, &off, &len) || !at_end(a) || off > size) {
		rsp_send(&g->rsp, "E00"); /* no such annex, or past its end */
		return;
	}
	if (len > RSP_PACKET_MAX / 2)
		len = RSP_PACKET_MAX / 2;
	rsp_begin(&g->rsp);
	rsp_add(&g->rsp, len < size - off ? "m" : "l");
	rsp_add_binary(&g->rsp, xml + off, len < size - off ? len : size - off);
	rsp_end(&g->rsp);
}

static void list_threads(struct gdbstub *g)
{
	rsp_begin(&g->rsp);
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		rsp_addf(&g->rsp, "%c%x", i ? ',' : 'm', i + 1);
	rsp_end(&g->rsp);
}

static void thread_info(struct gdbstub *g, struct args *a)
{
	char text[32];
	unsigned cpu;

	if (!take_thread(g, a, &cpu) || cpu >= g->m->nr_vcpus) {
		rsp_send(&g->rsp, bad);
		return;
	}
	snprintf(text, sizeof(text), "CPU %u%s", cpu,
		 g->m->isa->wakes(g->m->vcpus[cpu]) ? "" : " halted");
	rsp_begin(&g->rsp);
	rsp_add_hex(&g->rsp, text, strlen(text));
	rsp_end(&g->rsp);
}

static void monitor(struct gdbstub *g, struct args *a)
{
	char line[256];
	long n = rsp_unhex(a->s, (size_t)(a->end - a->s), (u8 *)line, sizeof(line) - 1);

	if (n < 0) {
		rsp_send(&g->rsp, bad);
		return;
	}
	line[n] = 0;
	gdb_monitor(g, line);
}

static void query(struct gdbstub *g, struct args *a)
{
	if (take(a, "Supported"))
		supported(g, a);
	else if (take(a, "Xfer:features:read:"))
		read_description(g, a);
	else if (take(a, "fThreadInfo"))
		list_threads(g);
	else if (take(a, "sThreadInfo"))
		rsp_send(&g->rsp, "l");
	else if (take(a, "ThreadExtraInfo,"))
		thread_info(g, a);
	else if (take(a, "Rcmd,"))
		monitor(g, a);
	else if (take(a, "Attached"))
		rsp_send(&g->rsp, "1"); /* so gdb detaches, not kills, when it quits */
	else if (take(a, "qemu.PhyMemMode"))
		rsp_send(&g->rsp, g->phys ? "1" : "0");
	else if (take(a, "qemu.sstepbits"))
		rsp_send(&g->rsp, "ENABLE=1,NOIRQ=2,NOTIMER=4");
	else if (take(a, "qemu.sstep"))
		rsp_send(&g->rsp, g->step_irqs ? "0x1" : "0x7");
	else if (take(a, "C") && at_end(a)) {
		rsp_begin(&g->rsp);
		rsp_addf(&g->rsp, "QC%x", g->cpu + 1);
		rsp_end(&g->rsp);
	} else
		rsp_send(&g->rsp, "");
}

static void setting(struct gdbstub *g, struct args *a)
{
	u64 val;

	if (take(a, "StartNoAckMode")) {
		rsp_send(&g->rsp, "OK");
		g->rsp.no_ack = true;
	} else if (take(a, "qemu.PhyMemMode:")) {
		if (!take_number(a, &val) || val > 1) {
			rsp_send(&g->rsp, bad);
			return;
		}
		g->phys = val;
		rsp_send(&g->rsp, "OK");
	} else if (take(a, "qemu.sstep=")) {
		(void)(take(a, "0x") || take(a, "0X"));
		if (!take_number(a, &val) || val > 7) {
			rsp_send(&g->rsp, bad);
			return;
		}
		g->step_irqs = !(val & 2);
		rsp_send(&g->rsp, "OK");
	} else {
		rsp_send(&g->rsp, "");
	}
}

/* --- all
 * ------------------------------------------------------------------------------------------ */

static void verbose(struct gdbstub *g, struct args *a)
{
	if (take(a, "Cont?"))
		rsp_send(&g->rsp, gdb_can_debug(g) ? "vCont;c;C;s;S;t" : "vCont;c;C;t");
	else if (take(a, "Cont"))
		vcont(g, a);
	else if (take(a, "Kill;")) {
		rsp_send(&g->rsp, "OK");
		gdb_kill(g);
	} else
		rsp_send(&g->rsp, "");
}

static void is_alive(struct gdbstub *g, struct args *a)
{
	unsigned cpu;

	ok_or(g, take_thread(g, a, &cpu) && cpu < g->m->nr_vcpus, refused);
}

static void say_stop(struct gdbstub *g)
{
	rsp_begin(&g->rsp);
	gdb_add_stop(g, "");
	rsp_end(&g->rsp);
}

void gdb_packet(struct gdbstub *g)
{
	struct args a = {g->rsp.in + 1, g->rsp.in + g->rsp.in_len};

	if (!g->rsp.in_len) {
		rsp_send(&g->rsp, "");
		return;
	}
	switch (g->rsp.in[0]) {
	case '?': say_stop(g); break;
	case '!': rsp_send(&g->rsp, "OK"); break;
	case 'c': run_plain(g, &a, false, false); break;
	case 'C': run_plain(g, &a, false, true); break;
	case 's': run_plain(g, &a, true, false); break;
	case 'S': run_plain(g, &a, true, true); break;
	case 'D':
		rsp_send(&g->rsp, "OK");
		gdb_detach(g, true);
		break;
	case 'g': read_all_regs(g); break;
	case 'G': write_all_regs(g, &a); break;
	case 'H': choose_thread(g, &a); break;
	case 'k': gdb_kill(g); break;
	case 'm': read_mem(g, &a); break;
	case 'M': write_mem(g, &a, true); break;
	case 'p': read_one_reg(g, &a); break;
	case 'P': write_one_reg(g, &a); break;
	case 'q': query(g, &a); break;
	case 'Q': setting(g, &a); break;
	case 'R': gdb_reset(g); break;
	case 'T': is_alive(g, &a); break;
	case 'v': verbose(g, &a); break;
	case 'X': write_mem(g, &a, false); break;
	case 'z': change_point(g, &a, false); break;
	case 'Z': change_point(g, &a, true); break;
	default: rsp_send(&g->rsp, ""); break;
	}
}
