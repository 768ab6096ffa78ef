/* SPDX-License-Identifier: MIT */
/* lapic_fuzz.c - the local APICs of four vCPUs: registers, MSRs, messages, pins and time. */
#include "dev/intc/lapic_fake.h"
#include "fuzz/input.h"

/* VCPU_INTR is never missing: an acknowledge without it finds nothing. */
static void check_pin(struct vcpu *cpu)
{
	if (!(atomic_load(&cpu->pending) & VCPU_INTR))
		CHECK(lapic_soft.ack(cpu) == -1);
}

static void step(struct input *in, struct vcpu *cpu, u8 op)
{
	struct irq_line lint = lapic_lint(&fake_machine, op >> 4 & 1);
	struct msi_msg msg;
	struct lapic_state st;
	u64 val;

	switch (op & 15) {
	case 0: lapic_soft.read(cpu, (u32)input_take(in, 1) << 4); break;
	case 1:
	case 2:
	case 3:
		val = input_take(in, 1) << 4;
		lapic_soft.write(cpu, (u32)val, input_take(in, 4));
		break;
	case 4: lapic_soft.read_msr(cpu, 0x800 | (u32)input_take(in, 1), &val); break;
	case 5:
		val = 0x800 | input_take(in, 1);
		lapic_soft.write_msr(cpu, (u32)val, input_take(in, 8));
		break;
	case 6: lapic_soft.set_base(cpu, 0xfee00000 | (input_take(in, 2) & 0xfff)); break;
	case 7:
		msg = (struct msi_msg){0xfee00000 | input_take(in, 3), (u32)input_take(in, 2)};
		lapic_deliver(&fake_machine, &msg);
		break;
	case 8: irq_set(&lint, op & 32); break;
	case 9: fake_lapic_advance(input_step(in) & 0xffffff); break;
	case 10: lapic_soft.set_tsc_deadline(cpu, fake_now + input_take(in, 3)); break;
	case 11: lapic_soft.set_tpr(cpu, (u8)input_take(in, 1)); break;
	case 12: lapic_soft.reset(cpu, op & 16); break;
	case 13:
		lapic_soft.get(cpu, &st);
		lapic_soft.set(cpu, &st);
		break;
	case 14: CHECK(lapic_soft.ack(cpu) < 256); break;
	default: lapic_soft.write(cpu, 0xb0, 0); break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size < 2048 ? size : 2048};

	fake_cpus_new();
	while (in.left) {
		u8 op = (u8)input_take(&in, 1);

		step(&in, &fake_cpu[op >> 6], op);
		for (unsigned i = 0; i < FAKE_CPUS; i++)
			check_pin(&fake_cpu[i]);
	}
	fake_cpus_free();
	return 0;
}
