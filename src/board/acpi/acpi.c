/* SPDX-License-Identifier: MIT */
/*
 * acpi.c - the ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, DSDT, SSDT, MADT, HPET, MCFG.
 *
 * Source: ACPI Specification 6.4, "ACPI Software Programming Model"; IA-PC HPET
 * Specification, "The ACPI 2.0 HPET Description Table"; PCI Firmware Specification, "MCFG".
 *
 * The DSDT is dsdt.asl, compiled when Sundog is built; what depends on options is in a small
 * SSDT of named integers.
 */
#include "board/acpi/acpi.h"

#include <errno.h>

#include "board/dsdt.hex"
#include "dev/misc/acpipm.h"

enum {
	HEADER = 36,
	RSDP_SIZE = 36,
	FADT_SIZE = 276,
	FACS_SIZE = 64,
	MAX_TABLES = 8,
	ALIGN = 64,
	NAME_SIZE = 14
};
enum { GAS_MEMORY = 0, GAS_IO = 1 };
enum { RESET_PORT = 0xcf9, RESET_VALUE = 0x0f, CENTURY = 0x32 };
enum { BOOT_LEGACY = 1, BOOT_8042 = 2, BOOT_NO_VGA = 4 };
enum { /* FADT flags */
       WBINVD = 1 << 0,
       PROC_C1 = 1 << 2,
       NO_SLEEP_BUTTON = 1 << 5,
       NO_FIXED_RTC = 1 << 6,
       RESET_REG_SUP = 1 << 10,
};

struct tables {
	const struct acpi_desc *d;
	u8 *buf;
	size_t size, used;
	u32 base;
	u32 listed[MAX_TABLES]; /* addresses for RSDT and XSDT */
	unsigned nr_listed;
	bool full;
};

static u8 checksum(const u8 *p, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return (u8)-sum;
}

/* Zeroed room for a table, or NULL when there is no more. */
static u8 *room(struct tables *t, size_t len)
{
	size_t at = (t->used + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	if (!range_fits(at, len, t->size)) {
		t->full = true;
		return NULL;
	}
	memset(t->buf + at, 0, len);
	t->used = at + len;
	return t->buf + at;
}

static u32 address(const struct tables *t, const u8 *p)
{
	return t->base + (u32)(p - t->buf);
}

static void put_header(u8 *p, const char *signature, u32 len, u8 revision)
{
	memcpy(p, signature, 4);
	st_le32(p + 4, len);
	p[8] = revision;
	memcpy(p + 10, "SUNDOG", 6);
	memcpy(p + 16, "SUNDOGPC", 8);
	st_le32(p + 24, 1);
	memcpy(p + 28, "SNDG", 4);
	st_le32(p + 32, 1);
}

/* Close a table: its checksum, and its place in RSDT and XSDT if it is listed there. */
static u32 finish(struct tables *t, u8 *p, bool listed)
{
	u32 at = address(t, p);

	p[9] = 0;
	p[9] = checksum(p, ld_le32(p + 4));
	if (listed && t->nr_listed < MAX_TABLES)
		t->listed[t->nr_listed++] = at;
	return at;
}

static void put_gas(u8 *p, u8 space, u8 bits, u8 access, u64 addr)
{
	p[0] = space;
	p[1] = bits;
	p[3] = access;
	st_le64(p + 4, addr);
}

static u32 add_facs(struct tables *t)
{
	u8 *p = room(t, FACS_SIZE);

	if (!p)
		return 0;
	memcpy(p, "FACS", 4);
	st_le32(p + 4, FACS_SIZE);
	p[32] = 2; /* version */
	return address(t, p);
}

static u32 add_dsdt(struct tables *t)
{
	u8 *p = room(t, sizeof(dsdt_aml_code));

	if (!p)
		return 0;
	memcpy(p, dsdt_aml_code, sizeof(dsdt_aml_code));
	return address(t, p);
}

/* The registers of fixed hardware: old fields for those who know no other, and new ones. */
static void put_pm_registers(u8 *p, u32 pm)
{
	st_le32(p + 56, pm + ACPIPM_EVENT);
	st_le32(p + 64, pm + ACPIPM_CONTROL);
	st_le32(p + 76, pm + ACPIPM_TIMER);
	st_le32(p + 80, pm + ACPIPM_GPE0);
	p[88] = 4;
	p[89] = 2;
	p[91] = 4;
	p[92] = ACPIPM_GPE0_LEN;
	put_gas(p + 148, GAS_IO, 32, 2, pm + ACPIPM_EVENT);
	put_gas(p + 172, GAS_IO, 16, 2, pm + ACPIPM_CONTROL);
	put_gas(p + 208, GAS_IO, 32, 3, pm + ACPIPM_TIMER);
	put_gas(p + 220, GAS_IO, ACPIPM_GPE0_LEN * 8, 1, pm + ACPIPM_GPE0);
}

static void add_fadt(struct tables *t, u32 facs, u32 dsdt)
{
	u8 *p = room(t, FADT_SIZE);

	if (!p)
		return;
	put_header(p, "FACP", FADT_SIZE, 6);
	st_le32(p + 36, facs);
	st_le32(p + 40, dsdt);
	p[45] = 1; /* desktop */
	st_le16(p + 46, t->d->sci);
	put_pm_registers(p, t->d->pm_base);
	st_le16(p + 96, 0xfff);	 /* no C2 */
	st_le16(p + 98, 0xffff); /* no C3 */
	p[108] = CENTURY;
	st_le16(p + 109, BOOT_LEGACY | BOOT_NO_VGA | (t->d->has_i8042 ? BOOT_8042 : 0));
	st_le32(p + 112, WBINVD | PROC_C1 | NO_SLEEP_BUTTON | NO_FIXED_RTC | RESET_REG_SUP);
	put_gas(p + 116, GAS_IO, 8, 1, RESET_PORT);
	p[128] = RESET_VALUE;
	p[131] = 4; /* 6.4 */
	/* Not the FACS once more at 132: one of the two fields must be zero. */
	st_le64(p + 140, dsdt);
	memcpy(p + 268, "SUNDOG", 6);
	finish(t, p, true);
}

static u8 *put_override(u8 *p, u8 irq, u32 gsi, u16 flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = irq;
	st_le32(p + 4, gsi);
	st_le16(p + 8, flags);
	return p + 10;
}

static void add_madt(struct tables *t)
{
	u32 len = HEADER + 8 + t->d->nr_cpus * 8 + 12 + 2 * 10 + 6;
	u8 *table = room(t, len), *p;

	if (!table)
		return;
	put_header(table, "APIC", len, 4);
	st_le32(table + 36, (u32)t->d->lapic);
	st_le32(table + 40, 1); /* there are PICs too */
	p = table + HEADER + 8;
	for (unsigned i = 0; i < t->d->nr_cpus; i++, p += 8) {
		p[1] = 8; /* type 0: a local APIC */
		p[2] = p[3] = (u8)i;
		st_le32(p + 4, 1);
	}
	p[0] = 1; /* I/O APIC */
	p[1] = 12;
	st_le32(p + 4, (u32)t->d->ioapic);
	p = put_override(p + 12, 0, 2, 0);
	p = put_override(p, (u8)t->d->sci, t->d->sci, 0x0d); /* level, active high */
	p[0] = 4;					     /* LINT1 is NMI at every CPU */
	p[1] = 6;
	p[2] = 0xff;
	p[5] = 1;
	finish(t, table, true);
}

static void add_hpet(struct tables *t)
{
	u8 *p;

	if (!t->d->has_hpet)
		return;
	p = room(t, 56);
	if (!p)
		return;
	put_header(p, "HPET", 56, 1);
	st_le32(p + 36, 0x8086a201);
	put_gas(p + 40, GAS_MEMORY, 0, 0, t->d->hpet);
	finish(t, p, true);
}

static void add_mcfg(struct tables *t)
{
	u8 *p = room(t, 60);

	if (!p)
		return;
	put_header(p, "MCFG", 60, 1);
	st_le64(p + 44, t->d->ecam);
	p[55] = 0xff; /* last bus */
	finish(t, p, true);
}

/* Name (\NAME, value) */
static u8 *put_name(u8 *p, const char *name, u64 val)
{
	p[0] = 0x08;
	memcpy(p + 1, name, 4);
	p[5] = 0x0e; /* a qword */
	st_le64(p + 6, val);
	return p + NAME_SIZE;
}

static void add_ssdt(struct tables *t)
{
	const struct acpi_desc *d = t->d;
	const struct {
		const char *name;
		u64 val;
	} names[] = {
		{"HSTA", d->has_hpet ? 0x0f : 0},
		{"KSTA", d->has_i8042 ? 0x0f : 0},
		{"MSTA", d->has_mouse ? 0x0f : 0},
		{"C1ST", d->has_com1 ? 0x0f : 0},
		{"C2ST", d->has_com2 ? 0x0f : 0},
		{"VSTA", d->has_pvpanic ? 0x0f : 0},
		{"FSTA", d->has_fwcfg ? 0x0b : 0}, /* there, but not for people to see */
		{"P64B", d->window64},
		{"P64E", d->window64_end - 1},
		{"P64L", d->window64_end - d->window64},
	};
	u32 len = HEADER + NAME_SIZE * ARRAY_SIZE(names);
	u8 *table = room(t, len), *p;

	if (!table)
		return;
	put_header(table, "SSDT", len, 2);
	p = table + HEADER;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		p = put_name(p, names[i].name, names[i].val);
	finish(t, table, true);
}

static void add_roots(struct tables *t, u8 *rsdp)
{
	u32 n = t->nr_listed;
	u8 *rsdt = room(t, HEADER + 4 * n), *xsdt = room(t, HEADER + 8 * n);

	if (!rsdt || !xsdt)
		return;
	put_header(rsdt, "RSDT", HEADER + 4 * n, 1);
	put_header(xsdt, "XSDT", HEADER + 8 * n, 1);
	for (unsigned i = 0; i < n; i++) {
		st_le32(rsdt + HEADER + 4 * i, t->listed[i]);
		st_le64(xsdt + HEADER + 8 * i, t->listed[i]);
	}
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "SUNDOG", 6);
	rsdp[15] = 2;
	st_le32(rsdp + 16, finish(t, rsdt, false));
	st_le32(rsdp + 20, RSDP_SIZE);
	st_le64(rsdp + 24, finish(t, xsdt, false));
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

int acpi_build(const struct acpi_desc *d, u8 *buf, size_t size, u32 base)
{
	struct tables t = {.d = d, .buf = buf, .size = size, .base = base};
	u8 *rsdp = room(&t, RSDP_SIZE);
	u32 facs = add_facs(&t), dsdt = add_dsdt(&t);

	add_fadt(&t, facs, dsdt);
	add_madt(&t);
	add_hpet(&t);
	add_mcfg(&t);
	add_ssdt(&t);
	if (rsdp)
		add_roots(&t, rsdp);
	return t.full ? -E2BIG : (int)t.used;
}
