/* SPDX-License-Identifier: MIT */
/*
 * commands.c - what a control socket can be asked for.
 *
 * To add a command: a row in control_commands, the tables of its arguments and of what it
 * returns, and a function.  It runs on the loop's thread with no lock held, and must not wait.
 */
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "control/server.h"
#include "sundog/block.h"
#include "sundog/counters.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { STOP_PATIENCE_S = 60, STOP_PATIENCE_MAX = 7 * 24 * 3600 };

/* --- about the protocol ------------------------------------------------------------------ */

static const struct field hello_ret[] = {
	{"version", FIELD_STRING, "Sundog's version"},
	{"protocol", FIELD_INT, "the version of this protocol"},
	{"name", FIELD_STRING, "the machine's name"},
	{NULL},
};

static int run_hello(struct control_call *call, struct err *e)
{
	json_t *greeting = control_greeting(call->c);

	json_object_update(call->ret, json_object_get(greeting, "sundog"));
	json_decref(greeting);
	return 0;
}

static const struct field schema_ret[] = {
	{"schema", FIELD_OBJECT, "a JSON Schema; $defs has one for each kind of message"},
	{NULL},
};

static int run_schema(struct control_call *call, struct err *e)
{
	json_object_set_new(call->ret, "schema", control_schema());
	return 0;
}

static const struct field command_item[] = {
	{"name", FIELD_STRING, "what a request names"},
	{"doc", FIELD_STRING, "what it does"},
	{NULL},
};
static const struct field commands_ret[] = {
	{"commands", FIELD_LIST, "all of them", .sub = command_item},
	{NULL},
};

static int run_commands(struct control_call *call, struct err *e)
{
	json_t *list = json_array();

	for (const struct control_command *cmd = control_commands; cmd->name; cmd++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s}", "name", cmd->name, "doc", cmd->doc));
	json_object_set_new(call->ret, "commands", list);
	return 0;
}

static const struct field events_args[] = {
	{"subscribe", FIELD_BOOL, "false: no more of them (default: true)", true},
	{NULL},
};

static int run_events(struct control_call *call, struct err *e)
{
	json_t *on = json_object_get(call->args, "subscribe");

	call->subscribe = !on || json_is_true(on);
	return 0;
}

/* --- looking ----------------------------------------------------------------------------- */

static const struct field device_item[] = {
	{"id", FIELD_STRING, "its name in this machine"},
	{"type", FIELD_STRING, "its model"},
	{"plugged", FIELD_BOOL, "it was added while the machine ran, and can be removed"},
	{NULL},
};
static const struct field disk_item[] = {
	{"id", FIELD_STRING, "its name in this machine"},
	{"file", FIELD_STRING, "the image, as the user named it"},
	{"format", FIELD_STRING, "raw, qcow2..."},
	{"size", FIELD_INT, "what the guest sees, in bytes"},
	{"read_only", FIELD_BOOL, "the guest cannot write"},
	{NULL},
};
static const struct field status_ret[] = {
	{"name", FIELD_STRING, "the machine's name"},
	{"pid", FIELD_INT, "its process"},
	{"state", FIELD_STRING, "starting, running, paused or down"},
	{"board", FIELD_STRING, "the board's model"},
	{"engine", FIELD_STRING, "what runs the guest's instructions"},
	{"cpus", FIELD_INT, "how many the guest has"},
	{"memory", FIELD_INT, "the guest's, in bytes"},
	{"uptime", FIELD_NUMBER, "seconds since the process took its name"},
	{"guest_time", FIELD_NUMBER, "seconds the machine has run: pauses do not count"},
	{"devices", FIELD_LIST, "in the order they were added", .sub = device_item},
	{"disks", FIELD_LIST, "the newest first", .sub = disk_item},
	{NULL},
};

static json_t *device_list(const struct control *c)
{
	json_t *list = json_array();

	/* They come and go on this thread only. */
	for (const struct device *dev = c->m->devices; dev; dev = dev->next)
		json_array_append_new(list,
				      json_pack("{s:o,s:s,s:b}", "id", fields_text(dev->id), "type",
						dev->type->name, "plugged", dev->plugged));
	return list;
}

static json_t *disk_list(struct machine *m)
{
	json_t *list = json_array();

	for (struct blk *b = blk_next(m, NULL); b; b = blk_next(m, b))
		json_array_append_new(
			list,
			json_pack("{s:o,s:o,s:s,s:I,s:b}", "id", fields_text(blk_id(b)), "file",
				  fields_text(blk_path(b)), "format", blk_format_name(b), "size",
				  (json_int_t)blk_size(b), "read_only", blk_is_read_only(b)));
	return list;
}

static double seconds(u64 ns)
{
	return (double)(ns / 1000000) / 1000;
}

static u64 uptime(const struct control *c)
{
	return clock_now(c->m, CLOCK_HOST) - c->born;
}

static int run_status(struct control_call *call, struct err *e)
{
	static const char *const states[] = {
		[MACHINE_BUILT] = "starting",
		[MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",
		[MACHINE_DOWN] = "down",
	};
	struct machine *m = call->c->m;
	json_t *s = json_pack("{s:o,s:i,s:s,s:s,s:s,s:i,s:I,s:f,s:f,s:o,s:o}", "name",
			      fields_text(call->c->cfg.name), "pid", (int)getpid(), "state",
			      states[atomic_load(&m->state)], "board", m->board->name, "engine",
			      m->engine->name, "cpus", (int)m->nr_vcpus, "memory",
			      (json_int_t)m->ram_size, "uptime", seconds(uptime(call->c)),
			      "guest_time", seconds(clock_now(m, CLOCK_GUEST)), "devices",
			      device_list(call->c), "disks", disk_list(m));

	json_object_update(call->ret, s);
	json_decref(s);
	return 0;
}

static const struct field metric_item[] = {
	{"name", FIELD_STRING, "[a-z0-9_]+"},
	{"doc", FIELD_STRING, "what is counted"},
	{"value", FIELD_NUMBER, "since the machine was started"},
	{NULL},
};
static const struct field metrics_ret[] = {
	{"metrics", FIELD_LIST, "all there are", .sub = metric_item},
	{NULL},
};

struct metric_sink {
	struct counter_sink sink;
	const char *prefix;
	json_t *list;
};

static void put_metric(struct counter_sink *s, const char *name, const char *doc, double value)
{
	struct metric_sink *to = container_of(s, struct metric_sink, sink);
	json_t *v = value == (double)(json_int_t)value ? json_integer((json_int_t)value)
						       : json_real(value);

	json_array_append_new(to->list, json_pack("{s:s++,s:s,s:o}", "name", to->prefix, name, "",
						  "doc", doc, "value", v));
}

static int run_metrics(struct control_call *call, struct err *e)
{
	struct metric_sink to = {{put_metric}, "", json_array()};
	struct machine *m = call->c->m;

	counter_put(&to.sink, "uptime_seconds", "since the process took its name",
		    seconds(uptime(call->c)));
	counter_put(&to.sink, "guest_seconds", "the machine has run",
		    seconds(clock_now(m, CLOCK_GUEST)));
	counter_put(&to.sink, "guest_errors", "times the guest did what a data sheet forbids",
		    (double)atomic_load(&m->guest_errors));
	to.prefix = "engine_";
	if (m->engine->stats) {
		machine_stop_vcpus(m);
		m->engine->stats(m, &to.sink);
		machine_start_vcpus(m);
	}
	json_object_set_new(call->ret, "metrics", to.list);
	return 0;
}

static const struct field console_ret[] = {
	{"path", FIELD_STRING, "a Unix socket with the raw bytes of the first serial port"},
	{NULL},
};

static int run_console(struct control_call *call, struct err *e)
{
	if (!call->c->cfg.console)
		return err_set(e, -EOPNOTSUPP,
			       "the console is elsewhere; start the machine with "
			       "--console socket");
	json_object_set_new(call->ret, "path", fields_text(call->c->cfg.console));
	return 0;
}

/* --- doing ------------------------------------------------------------------------------- */

/* Who debugs a machine decides when it runs. */
static int check_debugger(const struct machine *m, struct err *e)
{
	if (m->cfg->gdb)
		return err_set(e, -EBUSY,
			       "the machine was started with --gdb; the debugger stops "
			       "it and lets it go on");
	return 0;
}

static int run_pause(struct control_call *call, struct err *e)
{
	int r = check_debugger(call->c->m, e);

	if (r == 0)
		machine_pause(call->c->m);
	return r;
}

static int run_resume(struct control_call *call, struct err *e)
{
	int r = check_debugger(call->c->m, e);

	if (r == 0)
		machine_resume(call->c->m);
	return r;
}

static int run_reset(struct control_call *call, struct err *e)
{
	machine_request_reset(call->c->m);
	return 0;
}

static int run_quit(struct control_call *call, struct err *e)
{
	machine_request_end(call->c->m, EXIT_GUEST_OFF, "control");
	return 0;
}

static const struct field heard_ret[] = {
	{"heard", FIELD_BOOL, "the guest listens to the power button"},
	{NULL},
};

static int run_powerdown(struct control_call *call, struct err *e)
{
	json_object_set_new(call->ret, "heard", json_boolean(machine_power_button(call->c->m)));
	return 0;
}

static const struct field stop_args[] = {
	{"timeout", FIELD_INT, "seconds to wait for the guest (default: 60)", true,
	 STOP_PATIENCE_MAX},
	{NULL},
};

void control_stop_now(struct timer *t)
{
	struct control *c = container_of(t, struct control, stop_timer);

	machine_request_end(c->m, EXIT_GUEST_OFF, "control");
}

static int run_stop(struct control_call *call, struct err *e)
{
	json_t *timeout = json_object_get(call->args, "timeout");
	u64 patience = timeout ? (u64)json_integer_value(timeout) : STOP_PATIENCE_S;
	struct machine *m = call->c->m;
	bool heard;

	/* A paused guest hears nothing. */
	if (!m->cfg->gdb && patience)
		machine_resume(m);
	heard = patience && machine_power_button(m);
	if (heard)
		timer_arm(m->loop, &call->c->stop_timer,
			  clock_now(m, CLOCK_HOST) + patience * 1000000000);
	else
		control_stop_now(&call->c->stop_timer);
	json_object_set_new(call->ret, "heard", json_boolean(heard));
	return 0;
}

static const struct field add_args[] = {
	{"spec", FIELD_STRING, "as after --device: NAME,key=value"},
	{NULL},
};
static const struct field id_fields[] = {
	{"id", FIELD_STRING, "the device's"},
	{NULL},
};
static const struct field del_args[] = {
	{"id", FIELD_STRING, "the device's"},
	{"force", FIELD_BOOL, "now, whatever the guest does with it (default: false)", true},
	{NULL},
};

static const struct field resize_args[] = {
	{"id", FIELD_STRING, "the disk's"},
	{"size", FIELD_INT, "bytes"},
	{NULL},
};

/* A smaller disk drops what is behind its end, so nothing may be on its way there. */
static int run_disk_resize(struct control_call *call, struct err *e)
{
	struct machine *m = call->c->m;
	const char *id = json_string_value(json_object_get(call->args, "id"));
	json_int_t size = json_integer_value(json_object_get(call->args, "size"));
	struct blk *b = blk_find(m, id);
	int r;

	if (!b)
		return err_set(e, -ENOENT, "no disk \"%.60s\"; \"status\" lists them", id);
	if (size <= 0)
		return err_set(e, -EINVAL, "a disk has at least one sector of %d bytes",
			       BLK_SECTOR);
	machine_stop_vcpus(m);
	blk_drain(b);
	r = blk_resize(b, (u64)size, e);
	machine_start_vcpus(m);
	return r;
}

const struct control_command control_commands[] = {
	/* clang-format off */
	{"hello", "say who you are", NULL, hello_ret, run_hello},
	{"schema", "tell this protocol as JSON Schema", NULL, schema_ret, run_schema},
	{"commands", "list the commands", NULL, commands_ret, run_commands},
	{"events", "send events on this connection", events_args, NULL, run_events},
	{"status", "tell what the machine is and does", NULL, status_ret, run_status},
	{"metrics", "tell the counters", NULL, metrics_ret, run_metrics},
	{"console", "tell where the console is", NULL, console_ret, run_console},
	{"pause", "bring the machine to rest", NULL, NULL, run_pause},
	{"resume", "let it run again", NULL, NULL, run_resume},
	{"reset", "reset it, at once; the event \"reset\" follows", NULL, NULL, run_reset},
	{"powerdown", "press the power button", NULL, heard_ret, run_powerdown},
	{"stop", "press the power button, wait for the guest, then turn the machine off; at once if "
	 "the guest does not listen; a paused machine runs again for it", stop_args, heard_ret,
	 run_stop},
	{"quit", "turn it off", NULL, NULL, run_quit},
	{"disk_resize", "make a disk larger or smaller, and tell the guest", resize_args, NULL,
	 run_disk_resize},
	{"device_add", "plug in a device", add_args, id_fields, control_device_add},
	{"device_del", "ask the guest to let go of one; \"device-removed\" says that it has", del_args,
	 NULL, control_device_del},
	{NULL},
	/* clang-format on */
};
