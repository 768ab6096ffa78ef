/* SPDX-License-Identifier: MIT */
/*
 * build.c - making a machine and taking it apart.
 *
 * Order: engine and CPU model, RAM, address spaces, clock and loop, vCPUs, the board with its
 * devices, and a first reset.  A machine that fails half-way is taken apart by the same
 * function as a whole one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/machine.h"
#include "core/vcpu.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/memfd.h"
#include "sundog/opts.h"

enum { MAX_NAMES = 64, RAM_UNIT = 4096 };

static int name_unknown(const char *what, const char *name, const char *const *names, struct err *e)
{
	const char *near = nearest(name, names);

	if (near)
		return err_set(e, -EINVAL, "no %s '%s': did you mean '%s'?", what, name, near);
	return err_set(e, -EINVAL, "no %s '%s': --%s=help lists them", what, name, what);
}

static int choose_board(struct machine *m, struct err *e)
{
	const char *names[MAX_NAMES] = {NULL}, *want = m->cfg->board ? m->cfg->board : "pc";

	for (unsigned i = 0; boards[i] && i < MAX_NAMES - 1; i++) {
		names[i] = boards[i]->name;
		if (strcmp(names[i], want))
			continue;
		m->board = boards[i];
		return 0;
	}
	return name_unknown("board", want, names, e);
}

static int try_engine(struct machine *m, const struct engine_ops *ops, struct err *e)
{
	int r = ops->probe ? ops->probe(e) : 0;

	if (r)
		err_prefix(e, "engine %s: ", ops->name);
	else
		m->engine = ops;
	return r;
}

static int first_engine(struct machine *m, struct err *e)
{
	for (unsigned i = 0; engines[i]; i++) {
		struct err why = {0};
		int r = try_engine(m, engines[i], &why);

		if (!r)
			return 0;
		if (i == 0)
			m->passed_over = why;
	}
	if (engines[0])
		*e = m->passed_over;
	return engines[0] ? e->code : err_set(e, -ENODEV, "there is no engine");
}

static int find_engine(struct machine *m, const char *want, struct err *e)
{
	const char *names[MAX_NAMES] = {"auto"};

	if (!strcmp(want, names[0]))
		return first_engine(m, e);
	for (unsigned i = 0; engines[i] && i < MAX_NAMES - 2; i++) {
		names[i + 1] = engines[i]->name;
		if (!strcmp(names[i + 1], want))
			return try_engine(m, engines[i], e);
	}
	return name_unknown("engine", want, names, e);
}

/* "auto": the first that works here.  Those with options look at them again when they start. */
static int choose_engine(struct machine *m, struct err *e)
{
	static const struct param none[] = {{NULL}};
	struct opts *o = opts_parse(m->cfg->engine ? m->cfg->engine : "auto", e);
	int r;

	if (!o)
		return e->code;
	r = find_engine(m, opts_type(o), e);
	if (r == 0 && !m->engine->params)
		r = opts_apply(o, none, NULL, e);
	opts_free(o);
	return r;
}

/* The model, cut down to what every engine that works here can show. */
static int choose_features(struct machine *m, struct err *e)
{
	int r = m->isa->features(m, m->cfg->cpu ? m->cfg->cpu : m->isa->models[0], e);
	struct err ignored;

	if (r)
		return r;
	for (unsigned i = 0; engines[i]; i++) {
		if (engines[i] != m->engine && engines[i]->probe && engines[i]->probe(&ignored))
			continue;
		if (engines[i]->limit_features)
			engines[i]->limit_features(m->features);
	}
	return 0;
}

/* Sealed: nobody who gets the descriptor can take pages away under us. */
static int make_ram(struct machine *m, struct err *e)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	u64 size = m->cfg->memory;
	void *p;

	if (!size || size % RAM_UNIT || size > (u64)1 << 46)
		return err_set(e, -EINVAL,
			       "%llu bytes of memory: it must be a multiple of 4K, up to 64T",
			       (unsigned long long)size);
	m->ram_fd = memfd_new("sundog-ram", size);
	if (m->ram_fd < 0)
		return err_set(e, m->ram_fd, "cannot make %llu MiB of guest memory: %s",
			       (unsigned long long)size >> 20, strerror(-m->ram_fd));
	if (fcntl(m->ram_fd, F_ADD_SEALS, seals))
		return err_set(e, -errno, "cannot seal the guest's memory: %s", strerror(errno));
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->ram_fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, -errno, "cannot map %llu MiB of guest memory: %s",
			       (unsigned long long)size >> 20, strerror(errno));
	madvise(p, size, MADV_DONTDUMP);
	m->ram = p;
	m->ram_size = size;
	return 0;
}

static int make_spaces(struct machine *m, struct err *e)
{
	m->mem = as_new("mem", (u64)1 << 52);
	m->pio = as_new("pio", 0x10000);
	m->loop = loop_new();
	if (!m->mem || !m->pio || !m->loop)
		return err_set(e, -ENOMEM, "out of memory or descriptors");
	loop_set_machine(m->loop, m);
	return clock_init(m, e);
}

static int make_vcpus(struct machine *m, struct err *e)
{
	int r = m->engine->init ? m->engine->init(m, e) : 0;

	if (r)
		return r;
	m->engine_ready = true;
	m->vcpus = calloc(m->cfg->nr_cpus, sizeof(struct vcpu *));
	if (!m->vcpus)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < m->cfg->nr_cpus; i++) {
		struct vcpu *cpu = m->isa->vcpu_new(m, i, e);

		if (!cpu)
			return e->code ? e->code : -ENOMEM;
		cpu->machine = m;
		cpu->isa = m->isa;
		cpu->index = i;
		cpu->lapic_ops = m->engine->lapic; /* else the board gives it ours */
		atomic_store(&cpu->lapic_page, ~0ull);
		m->vcpus[m->nr_vcpus++] = cpu;
		r = vcpu_thread_new(cpu, e);
		if (r)
			return r;
		cpu->ops = m->engine;
		r = m->engine->vcpu_init ? m->engine->vcpu_init(cpu, e) : 0;
		if (r) {
			cpu->ops = NULL; /* nothing to destroy */
			return r;
		}
	}
	return 0;
}

static int check_cpus(struct machine *m, struct err *e)
{
	unsigned n = m->cfg->nr_cpus, max = m->board->max_cpus;

	if (!max || max > MACHINE_MAX_CPUS)
		max = MACHINE_MAX_CPUS;
	if (n && n <= max)
		return 0;
	return err_set(e, -EINVAL, "%u CPUs: the board \"%s\" has 1 to %u", n, m->board->name, max);
}

static int build(struct machine *m, struct err *e)
{
	const struct machine_cfg *cfg = m->cfg;
	int r;

	if ((r = choose_board(m, e)) || (r = check_cpus(m, e)) || (r = choose_engine(m, e)) ||
	    (r = make_ram(m, e)) || (r = make_spaces(m, e)) || (r = choose_features(m, e)) ||
	    (r = make_vcpus(m, e)))
		return r;
	m->board_built = true; /* destroy() copes with what is half built */
	r = m->board->build(m, cfg, e);
	return r ? r : machine_reset_now(m, e);
}

struct machine *machine_new(const struct machine_cfg *cfg, struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	m->cfg = cfg;
	m->isa = &x86_isa;
	m->ram_fd = -1;
	atomic_init(&m->state, MACHINE_BUILT);
	lock_init(&m->lock, LOCK_MACHINE, "machine");
	e->code = 0;
	if (machine_core_new(m, e) || build(m, e)) {
		machine_free(m);
		return NULL;
	}
	return m;
}

static void free_vcpus(struct machine *m)
{
	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		struct vcpu *cpu = m->vcpus[i];

		if (cpu->ops && cpu->ops->vcpu_destroy)
			cpu->ops->vcpu_destroy(cpu);
		vcpu_thread_free(cpu);
		m->isa->vcpu_free(cpu);
	}
	free(m->vcpus);
	m->nr_vcpus = 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	if (m->core)
		machine_core_quit(m);
	device_del_all(m);
	if (m->board_built && m->board->destroy)
		m->board->destroy(m);
	free_vcpus(m);
	if (m->engine_ready && m->engine->destroy)
		m->engine->destroy(m);
	machine_core_free(m);
	loop_free(m->loop);
	clock_destroy(m);
	as_free(m->mem);
	as_free(m->pio);
	if (m->ram)
		munmap(m->ram, m->ram_size);
	if (m->ram_fd >= 0)
		close(m->ram_fd);
	free(m->features);
	lock_destroy(&m->lock);
	free(m);
}
