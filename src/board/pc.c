/* SPDX-License-Identifier: MIT */
/*
 * pc.c - the board "pc": a small modern PC that boots kernels directly.
 *
 * Here is its life; memory.c, lines.c and devices.c have what is on it, acpi/ what it tells
 * the guest of itself, boot/ how a kernel gets in.
 */
#include "board/pc.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/intc/lapic.h"
#include "dev/misc/acpipm.h"
#include "sundog/err.h"

enum { BDA = 0x400, BDA_SIZE = 0x100, BDA_RESET_FLAG = 0x72, WARM_RESET = 0x1234 };

static void free_lapics(struct machine *m)
{
	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		struct vcpu *cpu = m->vcpus[i];

		if (cpu->lapic_ops != &lapic_soft)
			continue;
		lapic_soft.destroy(cpu);
		cpu->lapic_ops = NULL;
	}
}

static void pc_destroy(struct machine *m)
{
	struct pc *pc = m->board_priv;

	if (!pc)
		return;
	if (pc->has_kernel)
		boot_close(&pc->boot);
	free_lapics(m);
	pc_close_disks(pc);
	pc_unmap_ram(pc);
	free(pc);
	m->board_priv = NULL;
}

static int pc_build(struct machine *m, const struct machine_cfg *cfg, struct err *e)
{
	struct pc *pc;
	int rc;

	pc = calloc(1, sizeof(*pc));
	if (!pc)
		return err_set(e, -ENOMEM, "out of memory");
	pc->m = m;
	pc->boot.m = m;
	pc->boot.rsdp = PC_TABLES;
	m->board_priv = pc;
	rc = pc_map_ram(pc, e);
	if (rc == 0)
		rc = pc_open_disks(pc, cfg, e);
	if (rc == 0) {
		pc_memory_map(pc);
		rc = pc_add_devices(pc, cfg, e);
	}
	if (rc == 0)
		rc = pc_open_kernel(pc, cfg, e);
	if (rc == 0)
		rc = pc_add_disk_devices(pc, e);
	if (rc == 0)
		pc_fill_fwcfg(pc);
	return rc; /* machine_free() destroys the rest */
}

/* What a BIOS leaves in its data area: small kernels look there. */
static int put_bios_data(struct pc *pc)
{
	u8 bda[BDA_SIZE] = {0};

	st_le16(bda + 0x00, 0x3f8);
	st_le16(bda + 0x02, 0x2f8);
	st_le16(bda + 0x0e, PC_EBDA >> 4);
	st_le16(bda + 0x13, PC_EBDA >> 10);
	return boot_put(&pc->boot, BDA, bda, sizeof(bda));
}

static int pc_reset(struct machine *m, struct err *e)
{
	struct pc *pc = m->board_priv;
	int rc;

	rc = put_bios_data(pc);
	if (rc)
		return err_set(e, rc, "cannot write the BIOS data area");
	rc = pc_put_tables(pc, e);
	if (rc)
		return rc;
	if (!pc->has_kernel)
		return 0;
	rc = boot_load(&pc->boot, e);
	if (rc == 0)
		pc_fill_fwcfg_kernel(pc);
	return rc;
}

/*
 * Linux leaves 0x1234 in the BIOS's reset flag before a warm reset, which our command line
 * asks for on a panic and nowhere else.
 */
static bool pc_crashed(struct machine *m)
{
	struct pc *pc = m->board_priv;
	const u8 *flag = as_ram(m->mem, BDA + BDA_RESET_FLAG, 2, false);

	return flag && pc->has_kernel && pc->boot.ops->tells_panic && !pc->boot.own_cmdline &&
	       ld_le16(flag) == WARM_RESET;
}

static bool pc_power_button(struct machine *m)
{
	return acpipm_power_button(pc_find(m, &acpipm_type));
}

static void pc_msi(struct machine *m, const struct msi_msg *msg)
{
	lapic_deliver(m, msg);
}

const struct board board_pc = {
	.name = "pc",
	.doc = "small modern PC: PCIe, ACPI, I/O APIC, 16550, fw_cfg",
	.max_cpus = PC_MAX_CPUS,
	.build = pc_build,
	.destroy = pc_destroy,
	.reset = pc_reset,
	.crashed = pc_crashed,
	.power_button = pc_power_button,
	.plug = pc_plug,
	.plug_disk = pc_plug_disk,
	.unplug = pc_unplug,
	.irq = pc_irq,
	.msi = pc_msi,
};
