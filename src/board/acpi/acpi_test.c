/* SPDX-License-Identifier: MIT */
/*
 * acpi_test.c - the ACPI tables: checksums and links, and what iasl thinks of them: it must
 * take each apart and put it together again without a warning.
 */
#include "board/acpi/acpi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/check.h"

enum { BASE = 0xe0000, SIZE = 0x10000 };

static u8 buf[SIZE];

static u8 sum(const u8 *p, size_t len)
{
	u8 s = 0;

	while (len--)
		s += *p++;
	return s;
}

static const u8 *at(u64 addr)
{
	CHECK(addr >= BASE && addr < BASE + SIZE - 36);
	return buf + (addr - BASE);
}

static void dump(const u8 *table, const char *name)
{
	FILE *f = fopen(name, "wb");

	CHECK(f);
	CHECK(fwrite(table, ld_le32(table + 4), 1, f) == 1);
	CHECK(fclose(f) == 0);
}

static void run(const char *command)
{
	if (system(command) == 0)
		return;
	fprintf(stderr, "failed: %s\n", command);
	CHECK(system("cat iasl.log >&2") == 0);
	exit(1);
}

/* Disassemble, and compile again. */
static void judge(const char *name, const char *with)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "iasl %s -d %s.dat >iasl.log 2>&1", with, name);
	run(cmd);
	run("! grep -iE 'warning|error|invalid|unknown' iasl.log");
	snprintf(cmd, sizeof(cmd), "! grep -iE 'invalid|unknown' %s.dsl", name);
	run(cmd);
	snprintf(cmd, sizeof(cmd), "iasl -p again %s.dsl >iasl.log 2>&1", name);
	run(cmd);
	run("grep -q ' 0 Errors, 0 Warnings' iasl.log");
}

static void check_tables(const struct acpi_desc *d)
{
	char name[16], dir[] = "/tmp/acpi_test.XXXXXX";
	const u8 *xsdt, *rsdt;
	u32 n;

	CHECK(mkdtemp(dir) && chdir(dir) == 0);
	CHECK(acpi_build(d, buf, SIZE, BASE) > 0);
	CHECK(memcmp(buf, "RSD PTR ", 8) == 0 && sum(buf, 20) == 0 && sum(buf, 36) == 0);
	xsdt = at(ld_le64(buf + 24));
	rsdt = at(ld_le32(buf + 16));
	CHECK(memcmp(xsdt, "XSDT", 4) == 0 && sum(xsdt, ld_le32(xsdt + 4)) == 0);
	CHECK(memcmp(rsdt, "RSDT", 4) == 0 && sum(rsdt, ld_le32(rsdt + 4)) == 0);
	n = (ld_le32(xsdt + 4) - 36) / 8;
	CHECK(n == (d->has_hpet ? 5 : 4));
	for (u32 i = 0; i < n; i++) {
		const u8 *t = at(ld_le64(xsdt + 36 + 8 * i));

		CHECK(ld_le32(rsdt + 36 + 4 * i) == ld_le64(xsdt + 36 + 8 * i));
		CHECK(sum(t, ld_le32(t + 4)) == 0);
		snprintf(name, sizeof(name), "%.4s.dat", (const char *)t);
		dump(t, name);
		if (memcmp(t, "FACP", 4) == 0) {
			dump(at(ld_le64(t + 140)), "DSDT.dat");
			dump(at(ld_le32(t + 36)), "FACS.dat");
			/* Named in both fields, it would be there twice. */
			CHECK(ld_le64(t + 132) == 0);
			CHECK(ld_le32(t + 36) % 64 == 0);
		}
	}
	judge("FACP", "");
	judge("FACS", "");
	judge("APIC", "");
	judge("MCFG", "");
	if (d->has_hpet)
		judge("HPET", "");
	judge("SSDT", "");
	judge("DSDT", "-e SSDT.dat");
	run("rm -f *.dat *.dsl *.aml iasl.log");
	CHECK(chdir("/") == 0 && rmdir(dir) == 0);
}

int main(void)
{
	struct acpi_desc d = {
		.nr_cpus = 8,
		.has_hpet = true,
		.has_i8042 = true,
		.has_com1 = true,
		.lapic = 0xfee00000,
		.ioapic = 0xfec00000,
		.hpet = 0xfed00000,
		.ecam = 0xb0000000,
		.window64 = 1ull << 39,
		.window64_end = 1ull << 40,
		.pm_base = 0x600,
		.sci = 9,
	};

	CHECK(acpi_build(&d, buf, 1000, BASE) == -E2BIG);
	CHECK(acpi_build(&d, buf, 10, BASE) == -E2BIG);
	check_tables(&d);
	d.has_hpet = false;
	d.nr_cpus = 1;
	check_tables(&d);
	return 0;
}
