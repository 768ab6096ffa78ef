/* SPDX-License-Identifier: MIT */
/*
 * nvme_fuzz.c - an NVMe controller: registers, configuration registers and commands as the
 * input says, on a disk that finishes some requests later.
 */
#include "fuzz/fuzz_testbed.h"

#include "dev/memdisk.h"
#include "dev/nvme/nvme.h"
#include "dev/pci/host.h"

#define ECAM 0xb0008000ull
#define BAR 0xc0000000ull

enum { QUEUES = 0x10000, QUEUE_SIZE = 0x4000, AREA = 0x40000 };

const struct device_type *const device_types[] = {&pci_host_type, &nvme_type, NULL};

static unsigned tail[4];

static void put(unsigned id, u8 op, u64 prp1, u32 dw10, u32 dw11)
{
	u8 *cmd = tb_ram + QUEUES + id * QUEUE_SIZE + tail[id] * NVME_SQE;

	memset(cmd, 0, NVME_SQE);
	cmd[0] = op;
	st_le64(cmd + 24, prp1);
	st_le32(cmd + 40, dw10);
	st_le32(cmd + 44, dw11);
	tail[id] = (tail[id] + 1) % 8;
}

/* Two pairs of I/O queues; the third is left to the input. */
static void make_queues(void)
{
	for (unsigned q = 1; q <= 2; q++) {
		put(0, ADM_CREATE_CQ, QUEUES + q * QUEUE_SIZE + 0x1000, 7 << 16 | q, 3);
		put(0, ADM_CREATE_SQ, QUEUES + q * QUEUE_SIZE, 7 << 16 | q, q << 16 | 1);
	}
	as_store(tb_machine.mem, BAR + NVME_DOORBELLS, tail[0], 4);
	as_store(tb_machine.mem, BAR + NVME_DOORBELLS + 4, 4, 4);
}

static void enable(void)
{
	struct addrspace *mem = tb_machine.mem;

	as_store(mem, ECAM + PCI_BAR0, BAR, 4);
	as_store(mem, ECAM + PCI_COMMAND, PCI_CMD_MEM | PCI_CMD_MASTER, 2);
	as_store(mem, BAR + NVME_CC, 0, 4);
	as_store(mem, BAR + NVME_AQA, 0x00070007, 4);
	as_store(mem, BAR + NVME_ASQ, QUEUES, 8);
	as_store(mem, BAR + NVME_ACQ, QUEUES + 0x1000, 8);
	as_store(mem, BAR + NVME_CC, 0x460001, 4);
	memset(tail, 0, sizeof(tail));
	make_queues();
}

/* A command that is nearly right, and its doorbell. */
static void command(struct input *in)
{
	unsigned id = (unsigned)input_take(in, 1) % 4;
	u64 at = QUEUES + id * QUEUE_SIZE + tail[id] * NVME_SQE;
	u8 shape = (u8)input_take(in, 1);
	u8 *cmd = tb_ram + at;

	memset(cmd, 0, NVME_SQE);
	cmd[0] = (u8)input_take(in, 1) & 0x1f;
	st_le32(cmd + 4, shape & 1 ? NVME_NSID : (u32)input_take(in, 1));
	st_le64(cmd + 24, AREA + (shape & 2 ? 0x1000 * (shape >> 4) : input_take(in, 3)));
	st_le64(cmd + 32, AREA + (shape & 4 ? 0x2000 : input_take(in, 3)));
	st_le32(cmd + 40, (u32)input_take(in, 2));
	cmd[42] = (u8)input_take(in, 1);
	st_le32(cmd + 44, shape & 8 ? (u32)input_take(in, 1) : (u32)input_take(in, 4));
	st_le32(cmd + 48, (u32)input_take(in, 2));
	if (id && shape & 8) { /* inside the disk */
		st_le32(cmd + 40, ld_le16(cmd + 40) & 0x3ff);
		st_le32(cmd + 44, 0);
		cmd[49] &= 3;
	}
	if (!id && (cmd[0] == ADM_CREATE_SQ || cmd[0] == ADM_CREATE_CQ)) {
		unsigned q = cmd[40] & 3;

		st_le64(cmd + 24, QUEUES + q * QUEUE_SIZE + (cmd[0] == ADM_CREATE_CQ ? 0x1000 : 0));
		st_le16(cmd + 40, (u16)q);
		cmd[44] |= 1;
		if (shape & 8)
			cmd[46] = (u8)(cmd[0] == ADM_CREATE_SQ ? q : 0);
	}
	tail[id] = (tail[id] + 1) % 8;
	as_store(tb_machine.mem, BAR + NVME_DOORBELLS + 8 * id, tail[id], 4);
}

static void extra(struct input *in)
{
	u8 op = (u8)input_take(in, 1);

	switch (op & 7) {
	case 0: enable(); break;
	case 1: disk.hold = op & 8; break;
	case 2: disk.error = op & 8 ? -EIO : 0; break;
	case 3:
		if (disk.nr_held)
			memdisk_finish((op >> 3) % disk.nr_held);
		break;
	case 4: /* the driver has seen what there is */
		as_store(tb_machine.mem, BAR + NVME_DOORBELLS + 4 + (op >> 3 & 3) * 8,
			 input_take(in, 1) & 15, 4);
		break;
	case 5: disk_resize(disk.size); break;
	default: command(in); break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"q35-pcihost", "nvme,drive=d0,max_ioqpairs=3", NULL};
	static const struct fuzz_range ranges[] = {
		{BAR, 0x60, true},    {BAR + NVME_DOORBELLS, 0x30, true},
		{BAR, 0x4000, true},  {ECAM, 0x80, true},
		{AREA, 0x4000, true}, {QUEUES, 4 * QUEUE_SIZE, true},
	};
	struct machine *m = fuzz_machine(specs);

	disk.hold = false;
	disk.error = 0;
	enable();
	fuzz_run(m, data, size, ranges, ARRAY_SIZE(ranges), extra);
	blk_drain(&disk);
	return 0;
}
