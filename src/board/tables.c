/* SPDX-License-Identifier: MIT */
/* tables.c - what the board "pc" leaves for the guest to read: ACPI tables, fw_cfg items. */
#include "board/pc.h"

#include <errno.h>

#include "board/acpi/acpi.h"
#include "dev/devices.h"
#include "dev/misc/acpipm.h"
#include "dev/misc/fwcfg.h"
#include "dev/timer/hpet.h"
#include "sundog/err.h"

enum { TABLES_MAX = 0x10000, E820_ENTRY = 20 };

static void describe(struct pc *pc, struct acpi_desc *d)
{
	struct machine *m = pc->m;

	*d = (struct acpi_desc){
		.nr_cpus = m->nr_vcpus,
		.has_hpet = pc_find(m, &hpet_type),
		.has_i8042 = pc_find(m, &i8042_type),
		.has_pvpanic = pc_find(m, &pvpanic_type),
		.has_fwcfg = pc_find(m, &fwcfg_type),
		.lapic = PC_LAPIC,
		.ioapic = PC_IOAPIC,
		.hpet = PC_HPET,
		.ecam = PC_ECAM,
		.window64 = PC_WINDOW64,
		.window64_end = PC_WINDOW64_END,
		.sci = PC_SCI,
		.pm_base = (u16)acpipm_iobase(pc_find(m, &acpipm_type)),
	};
	d->has_mouse = d->has_i8042 && i8042_has_mouse(pc_find(m, &i8042_type));
	d->has_com1 = as_find(m->pio, 0x3f8) != NULL;
	d->has_com2 = as_find(m->pio, 0x2f8) != NULL;
}

int pc_put_tables(struct pc *pc, struct err *e)
{
	u8 *buf = as_ram(pc->m->mem, PC_TABLES, TABLES_MAX, true);
	struct acpi_desc d;
	int rc;

	if (!buf)
		return err_set(e, -EFAULT, "no RAM for the ACPI tables");
	describe(pc, &d);
	rc = acpi_build(&d, buf, TABLES_MAX, PC_TABLES);
	return rc < 0 ? err_set(e, rc, "the ACPI tables do not fit") : 0;
}

static void put_e820(struct pc *pc, struct device *fw)
{
	const struct boot *b = &pc->boot;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		u8 *p = pc->e820 + i * E820_ENTRY;

		st_le64(p, b->map[i].base);
		st_le64(p + 8, b->map[i].size);
		st_le32(p + 16, b->map[i].type);
	}
	fwcfg_add_file(fw, "etc/e820", pc->e820, b->nr_ranges * E820_ENTRY);
}

static int read_piece(const struct fwcfg_source *s, u64 off, u8 *buf, u64 len)
{
	const struct pc_piece *piece = container_of(s, const struct pc_piece, source);

	return boot_file_read(piece->file, piece->off + off, buf, len);
}

static void add_piece(struct pc *pc, struct device *fw, unsigned n, u16 key,
		      const struct boot_file *file, u64 off, u64 len)
{
	pc->pieces[n] = (struct pc_piece){.source.read = read_piece, .file = file, .off = off};
	fwcfg_add_source(fw, key, &pc->pieces[n].source, len);
}

/* The kernel as an option ROM would load it: a bzImage comes in two pieces. */
static void put_kernel(struct pc *pc, struct device *fw)
{
	const struct boot *b = &pc->boot;
	u64 setup = b->ops == &boot_linux ? b->plan.file_off : 0;

	fwcfg_add_int(fw, FWCFG_SETUP_SIZE, setup, 4);
	add_piece(pc, fw, 0, FWCFG_SETUP_DATA, &b->kernel, 0, setup);
	fwcfg_add_int(fw, FWCFG_KERNEL_ADDR, b->plan.base, 4);
	fwcfg_add_int(fw, FWCFG_KERNEL_SIZE, b->kernel.size - setup, 4);
	add_piece(pc, fw, 1, FWCFG_KERNEL_DATA, &b->kernel, setup, b->kernel.size - setup);
	fwcfg_add_int(fw, FWCFG_INITRD_ADDR, b->plan.initrd, 4);
	fwcfg_add_int(fw, FWCFG_INITRD_SIZE, b->initrd.size, 4);
	add_piece(pc, fw, 2, FWCFG_INITRD_DATA, &b->initrd, 0, b->initrd.size);
	fwcfg_add_int(fw, FWCFG_CMDLINE_ADDR, BOOT_CMDLINE, 4);
	fwcfg_add_int(fw, FWCFG_CMDLINE_SIZE, strlen(b->cmdline) + 1, 4);
	fwcfg_add(fw, FWCFG_CMDLINE_DATA, b->cmdline, strlen(b->cmdline) + 1);
}

void pc_fill_fwcfg(struct pc *pc)
{
	struct machine *m = pc->m;
	struct device *fw = pc_find(m, &fwcfg_type);

	if (!fw)
		return;
	fwcfg_add_int(fw, FWCFG_RAM_SIZE, m->ram_size, 8);
	fwcfg_add_int(fw, FWCFG_NOGRAPHIC, 1, 2);
	fwcfg_add_int(fw, FWCFG_NR_CPUS, m->nr_vcpus, 2);
	fwcfg_add_int(fw, FWCFG_MAX_CPUS, m->nr_vcpus, 2);
	put_e820(pc, fw);
}

void pc_fill_fwcfg_kernel(struct pc *pc)
{
	struct device *fw = pc_find(pc->m, &fwcfg_type);

	if (fw)
		put_kernel(pc, fw);
}
