/* SPDX-License-Identifier: MIT */
/*
 * boot_fuzz.c - the loaders, on any file at all.
 *
 * The input's first byte asks for the magic numbers of one format to be put in their places,
 * so that random bytes get past them.
 */
#include "fuzz/fuzz_testbed.h"

#include <sys/mman.h>
#include <unistd.h>

#include "board/boot/boot.h"
#include "isa/x86/state.h"

enum { RAM = 32 << 20, FILE_SIZE = 1 << 16, HIGH = 1 << 20 };

static u8 image[FILE_SIZE];
static struct cpu_state state;

static void plant_linux(u8 *p)
{
	p[0x1f1] &= 3;
	memcpy(p + 0x202, "HdrS", 4);
	st_le16(p + 0x1fe, 0xaa55);
	p[0x207] = 2;
	p[0x206] |= 0xc;
	p[0x211] |= 1;
	st_le32(p + 0x1f4, ld_le32(p + 0x1f4) & 0xfff);
	st_le64(p + 0x258, ld_le64(p + 0x258) & 0x1ffffff);
	st_le32(p + 0x260, ld_le32(p + 0x260) & 0x1ffffff);
}

static void plant_elf(u8 *p)
{
	memcpy(p, "\x7f\x45\x4c\x46", 4);
	p[4] = 1 + (p[4] & 1);
	p[5] = 1;
	st_le16(p + 18, p[4] == 2 ? 62 : 3);
	st_le64(p + 32, 64);
	st_le16(p + 54, 56);
	st_le16(p + 56, p[56] & 7);
	for (unsigned i = 0; i < 7; i++) {
		u8 *ph = p + 64 + 56 * i;

		st_le32(ph, ph[0] & 1 ? 1 : 4);
		st_le64(ph + 8, ld_le64(ph + 8) & 0xffff);
		st_le64(ph + 24, ld_le64(ph + 24) & 0x3ffffff);
		st_le64(ph + 32, ld_le64(ph + 32) & 0xffff);
		st_le64(ph + 40, ld_le64(ph + 40) & 0xfffff);
	}
}

static void plant_multiboot(u8 *p)
{
	u32 flags = ld_le32(p + 4) & 0x10007;

	st_le32(p, 0x1badb002);
	st_le32(p + 4, flags);
	st_le32(p + 8, -(0x1badb002 + flags));
	for (unsigned i = 12; i < 32; i += 4)
		st_le32(p + i, ld_le32(p + i) & 0x1fffff);
}

static struct machine *make(void)
{
	static struct machine *m;
	static struct vcpu cpu = {.state = &state}, *cpus[] = {&cpu};
	static const struct machine_cfg cfg = {.seed = 1};
	static struct region low, high;
	u8 *ram;

	if (m)
		return m;
	m = tb_new();
	ram = calloc(1, RAM);
	CHECK(ram);
	m->vcpus = cpus;
	m->nr_vcpus = 1;
	m->cfg = &cfg;
	as_unmap(m->mem, as_find(m->mem, 0));
	low = (struct region){.name = "low", .size = 0xa0000, .kind = REGION_RAM, .host = ram};
	high = (struct region){.name = "high", .base = HIGH, .kind = REGION_RAM};
	high.size = RAM - HIGH;
	high.host = ram + HIGH;
	CHECK(as_map(m->mem, &low) == 0 && as_map(m->mem, &high) == 0);
	return m;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct machine_cfg cfg = {.kernel = path};
	struct boot b = {.low_end = RAM, .rsdp = 0xe0000, .nr_ranges = 1};
	struct machine *m = make();
	struct err e = {0};
	size_t len = 0x300 + size;

	if (fd < 0)
		fd = memfd_create("boot_fuzz", 0);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!size || len > FILE_SIZE)
		return 0;
	memset(image, 0, 0x300);
	memcpy(image, data + 1, size - 1);
	if (data[0] % 4 == 1)
		plant_linux(image);
	else if (data[0] % 4 == 2)
		plant_elf(image);
	else if (data[0] % 4 == 3)
		plant_multiboot(image);
	CHECK(pwrite(fd, image, len, 0) == (ssize_t)len && ftruncate(fd, (off_t)len) == 0);
	b.map[0] = (struct mem_range){0, 0x9fc00, MEM_RAM};
	if (boot_open(&b, m, &cfg, &e) == 0) {
		CHECK(boot_load(&b, &e) == 0);
		boot_close(&b);
	} else {
		CHECK(e.code && e.msg[0]);
	}
	return 0;
}
