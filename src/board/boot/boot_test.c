/* SPDX-License-Identifier: MIT */
/* boot_test.c - kernels of each kind get in; damaged and hostile ones are refused with a reason. */
#include "dev/testbed.h"

#include <errno.h>
#include <unistd.h>

#include "board/boot/boot.h"
#include "isa/x86/state.h"

enum { RAM = 64 << 20, LOAD = 0x100000, FILE_MAX = 1 << 20 };

static struct machine *m;
static u8 *ram;
static struct region low, high;
static struct cpu_state state;
static char path[] = "/tmp/boot_test.XXXXXX";
static u8 image[FILE_MAX];
static struct boot boot;

static void write_image(size_t len)
{
	FILE *f = fopen(path, "wb");

	CHECK(f && (len == 0 || fwrite(image, len, 1, f) == 1) && fclose(f) == 0);
}

static int try_open(size_t len, struct machine_cfg *cfg, struct err *e)
{
	struct machine_cfg plain = {.kernel = path};

	write_image(len);
	*e = (struct err){0};
	boot = (struct boot){.low_end = RAM, .rsdp = 0xe0000, .nr_ranges = 1};
	boot.map[0] = (struct mem_range){0, 0x9fc00, MEM_RAM};
	if (cfg)
		cfg->kernel = path;
	return boot_open(&boot, m, cfg ? cfg : &plain, e);
}

static void refused(size_t len, const char *why)
{
	struct err e;

	if (try_open(len, NULL, &e) == -ENOEXEC && strstr(e.msg, why))
		return;
	fprintf(stderr, "wanted \"%s\", got %d \"%s\"\n", why, e.code, e.msg);
	exit(1);
}

static void accepted(size_t len, struct machine_cfg *cfg)
{
	struct err e;

	if (try_open(len, cfg, &e) == 0 && boot_load(&boot, &e) == 0)
		return;
	fprintf(stderr, "refused: %s\n", e.msg);
	exit(1);
}

/* A bzImage of one setup sector and 8 KiB. */
static size_t make_linux(void)
{
	u8 *h = image;

	memset(image, 0, sizeof(image));
	h[0x1f1] = 1;
	st_le32(h + 0x1f4, 8192 / 16);
	st_le16(h + 0x1fe, 0xaa55);
	h[0x201] = 0x6a;
	memcpy(h + 0x202, "HdrS", 4);
	st_le16(h + 0x206, 0x20f);
	h[0x211] = 1;
	st_le32(h + 0x22c, 0x7fffffff);
	st_le16(h + 0x236, 1);
	st_le32(h + 0x238, 2047);
	st_le64(h + 0x258, 0x1000000);
	st_le32(h + 0x260, 0x100000);
	memset(h + 1024, 0x90, 8192);
	return 1024 + 8192;
}

static void test_linux(void)
{
	size_t len = make_linux();
	struct machine_cfg cfg = {.append = "quiet"};
	const u8 *zp = ram + BOOT_PARAMS;

	accepted(len, &cfg);
	CHECK(state.rip == 0x1000200 && state.gpr[RSI] == BOOT_PARAMS && state.efer == 0x500);
	CHECK(ram[0x1000000] == 0x90 && state.seg[SEG_CS].sel == 0x10 && state.cr3 == 0x9000);
	CHECK(strstr((char *)ram + BOOT_CMDLINE, "console=ttyS0") &&
	      strstr((char *)ram + BOOT_CMDLINE, " quiet"));
	CHECK(ld_le64(zp + 0x70) == 0xe0000 && zp[0x1e8] == 1 && zp[0x210] == 0xff);
	CHECK(ld_le32(ram + ld_le64(zp + 0x250) + 8) == 9);
	memset(ram + 0x1000000, 0, 8192);
	CHECK(boot_load(&boot, &(struct err){0}) == 0 && ram[0x1000fff] == 0x90);
	boot_close(&boot);

	cfg = (struct machine_cfg){.cmdline = "only this", .initrd = path};
	st_le16(image + 0x236, 0); /* a 32-bit kernel */
	accepted(len, &cfg);
	CHECK(state.rip == 0x1000000 && state.cr0 == 0x11 && state.efer == 0);
	CHECK(strcmp((char *)ram + BOOT_CMDLINE, "only this") == 0);
	CHECK(ld_le32(zp + 0x21c) == len && ld_le32(zp + 0x218) == RAM - 0x3000);
	CHECK(memcmp(ram + RAM - 0x3000, image, len) == 0);
	boot_close(&boot);
}

static void test_bad_linux(void)
{
	size_t len = make_linux();

	refused(len - 1, "truncated");
	refused(0x230, "not a kernel");
	image[0x1f1] = 255;
	refused(len, "truncated");
	make_linux();
	st_le32(image + 0x1f4, 0xffffffff);
	refused(len, "truncated");
	st_le32(image + 0x1f4, 0);
	refused(len, "no code");
	make_linux();
	st_le16(image + 0x206, 0x204);
	refused(len, "2.04 is too old");
	make_linux();
	st_le32(image + 0x260, 0xffffffff);
	refused(len, "4 GiB");
	st_le32(image + 0x260, 100 << 20);
	refused(len, "117 MiB are needed");
	make_linux();
	st_le64(image + 0x258, ~0ull);
	refused(len, "preferred address");
	make_linux();
	st_le32(image + 0x238, 5);
	refused(len, "command line");
}

static u8 *phdr(unsigned n, u32 type, u32 off, u64 addr, u32 filesz, u32 memsz)
{
	u8 *p = image + 64 + 56 * n;

	st_le32(p, type);
	st_le64(p + 8, off);
	st_le64(p + 16, addr + 0x80000000);
	st_le64(p + 24, addr);
	st_le64(p + 32, filesz);
	st_le64(p + 40, memsz);
	st_le16(image + 56, (u16)(n + 1));
	return p;
}

/* An ELF64 with a load segment at 1 MiB and a PVH note. */
static size_t make_pvh(void)
{
	memset(image, 0, sizeof(image));
	memcpy(image, "\x7f\x45\x4c\x46\x02\x01\x01", 7);
	st_le16(image + 18, 62);
	st_le64(image + 24, LOAD + 0x80000000 + 4);
	st_le64(image + 32, 64);
	st_le16(image + 54, 56);
	phdr(0, 1, 0x1000, LOAD, 0x1000, 0x3000);
	phdr(1, 4, 0x2000, 0, 20, 20);
	memset(image + 0x1000, 0xcc, 0x1000);
	st_le32(image + 0x2000, 4);
	st_le32(image + 0x2004, 4);
	st_le32(image + 0x2008, 18);
	memcpy(image + 0x200c, "Xen", 4);
	st_le32(image + 0x2010, LOAD + 16);
	return 0x2014;
}

static void test_pvh(void)
{
	size_t len = make_pvh();
	struct machine_cfg cfg = {.initrd = path};
	const u8 *info = ram + BOOT_PARAMS, *mod;

	memset(ram + LOAD, 1, 0x4000);
	accepted(len, &cfg);
	CHECK(state.rip == LOAD + 16 && state.gpr[RBX] == BOOT_PARAMS && state.cr0 == 0x11);
	CHECK(ram[LOAD + 0xfff] == 0xcc && ram[LOAD + 0x2fff] == 0 && ram[LOAD + 0x3000] == 1);
	CHECK(ld_le32(info) == 0x336ec578 && ld_le32(info + 12) == 1 && ld_le32(info + 48) == 1);
	mod = ram + ld_le64(info + 16);
	CHECK(ld_le64(mod + 8) == len && memcmp(ram + ld_le64(mod), image, len) == 0);
	boot_close(&boot);
}

static void test_bad_elf(void)
{
	size_t len = make_pvh();

	refused(0x1800, "truncated");
	st_le16(image + 56, 0xffff);
	refused(len, "too many");
	make_pvh();
	st_le64(image + 32, ~0ull - 100);
	refused(len, "ELF file");
	make_pvh();
	phdr(0, 1, 0x1000, LOAD, 0x7fffffff, 0x7fffffff);
	st_le16(image + 56, 2);
	refused(len, "beyond its end");
	phdr(0, 1, 0x1000, LOAD, 0x1000, 0x10);
	st_le16(image + 56, 2);
	refused(len, "larger in the file");
	phdr(0, 1, 0x1000, 0x1000, 0x1000, 0x1000);
	st_le16(image + 56, 2);
	refused(len, "below 1 MiB");
	phdr(0, 1, 0x1000, ~0ull - 16, 0x100, 0x1000);
	st_le16(image + 56, 2);
	refused(len, "wraps");
	phdr(0, 1, 0x1000, LOAD, 0x1000, 0x7fffffff);
	st_le16(image + 56, 2);
	refused(len, "too small");
	make_pvh();
	phdr(2, 1, 0x1000, LOAD + 0x100, 0x1000, 0x3000);
	refused(len, "overlap");
	make_pvh();
	st_le32(image + 0x2010, 0x10);
	refused(len, "outside");
	make_pvh();
	st_le32(image + 0x2000, 0xfffffff0);
	refused(len, "ELF file");
	make_pvh();
	st_le16(image + 18, 183);
	refused(len, "another CPU");
}

/* Addresses in the header: header at 0x10, all of the file to 1 MiB, 4 KiB of bss. */
static size_t make_multiboot(u32 flags)
{
	u8 *h = image + 0x10;

	memset(image, 0, sizeof(image));
	st_le32(h, 0x1badb002);
	st_le32(h + 4, flags);
	st_le32(h + 8, -(0x1badb002 + flags));
	st_le32(h + 12, LOAD + 0x10);
	st_le32(h + 16, LOAD);
	st_le32(h + 20, 0);
	st_le32(h + 24, LOAD + 0x2000);
	st_le32(h + 28, LOAD + 0x40);
	memset(image + 0x40, 0xab, 0x1000 - 0x40);
	return 0x1000;
}

static void test_multiboot(void)
{
	char spec[64];
	const char *modules[] = {spec, NULL};
	struct machine_cfg cfg = {.append = "-v", .modules = modules};
	const u8 *mbi = ram + BOOT_PARAMS, *mod;
	size_t len = make_multiboot(0x10003);
	char want[64];

	snprintf(spec, sizeof(spec), "%s=a b", path);
	accepted(len, &cfg);
	CHECK(state.rip == LOAD + 0x40 && state.gpr[RAX] == 0x2badb002);
	CHECK(state.gpr[RBX] == BOOT_PARAMS && ram[LOAD + 0xfff] == 0xab && !ram[LOAD + 0x1fff]);
	CHECK(ld_le32(mbi) == 0x24d && ld_le32(mbi + 4) == 639 && ld_le32(mbi + 8) == 63 * 1024);
	snprintf(want, sizeof(want), "%s -v", path);
	CHECK(strcmp((char *)ram + ld_le32(mbi + 16), want) == 0);
	CHECK(ld_le32(mbi + 20) == 1);
	mod = ram + ld_le32(mbi + 24);
	CHECK(ld_le32(mod) == LOAD + 0x2000 && ld_le32(mod + 4) == LOAD + 0x3000);
	snprintf(want, sizeof(want), "%s a b", path);
	CHECK(strcmp((char *)ram + ld_le32(mod + 8), want) == 0);
	CHECK(ld_le32(mbi + 44) == 24 && ld_le32(ram + ld_le32(mbi + 48)) == 20);
	boot_close(&boot);

	len = make_pvh(); /* as an ELF, whose entry is virtual */
	st_le32(image + 0x1000, 0x1badb002);
	st_le32(image + 0x1004, 0);
	st_le32(image + 0x1008, -0x1badb002u);
	accepted(len, NULL);
	CHECK(state.rip == LOAD + 4 && state.gpr[RAX] == 0x2badb002);
	boot_close(&boot);
}

static void test_bad_multiboot(void)
{
	size_t len = make_multiboot(0x10008);

	refused(len, "demands");
	make_multiboot(3);
	refused(len, "not an x86 ELF");
	make_multiboot(0x10003);
	refused(0x1c + 8, "truncated");
	st_le32(image + 0x10 + 12, LOAD + 0x1000);
	refused(len, "before the file");
	make_multiboot(0x10003);
	st_le32(image + 0x10 + 20, LOAD + 0x10000);
	refused(len, "more than the file");
	make_multiboot(0x10003);
	st_le32(image + 0x10 + 24, LOAD + 1);
	refused(len, "bss ends");
	make_multiboot(0x10003);
	st_le32(image + 0x10 + 24, 0xffffffff);
	refused(len, "4 GiB");
	make_multiboot(0x10003);
	st_le32(image + 0x10 + 28, 0);
	refused(len, "entry");
}

static void test_others(void)
{
	struct machine_cfg cfg = {.kernel = "/nonexistent"};
	struct err e = {0};

	memset(image, 0, 4096);
	refused(0, "empty");
	refused(1, "no format");
	memcpy(image, "\x1f\x8b\x08", 3);
	refused(4096, "gzip");
	memcpy(image, "QFI\xfb", 4);
	refused(4096, "qcow2");
	memcpy(image, "hello\nworld\n", 12);
	refused(12, "a text file");
	boot = (struct boot){.low_end = RAM};
	CHECK(boot_open(&boot, m, &cfg, &e) == -ENOEXEC && strstr(e.msg, "No such file"));
	cfg.kernel = "/";
	boot = (struct boot){.low_end = RAM};
	CHECK(boot_open(&boot, m, &cfg, &e) == -ENOEXEC && strstr(e.msg, "directory"));
}

/* A file that changes under a running machine is an error of the next reset, no more. */
static void test_changing(void)
{
	size_t len = make_linux();
	struct machine_cfg cfg = {.initrd = path};
	struct err e = {0};

	accepted(len, &cfg);
	image[1024 + 7] = 0x42;
	write_image(len);
	CHECK(boot_load(&boot, &e) == 0 && ram[0x1000007] == 0x42);
	write_image(len - 1);
	CHECK(boot_load(&boot, &e) == -ENOEXEC && strstr(e.msg, "truncated"));
	write_image(0);
	CHECK(boot_load(&boot, &e) == -ENOEXEC && strstr(e.msg, "empty"));
	memset(image, 'x', 100);
	write_image(100);
	CHECK(boot_load(&boot, &e) == -ENOEXEC && strstr(e.msg, "is now a text file"));
	boot_close(&boot);
}

int main(void)
{
	static struct vcpu cpu = {.state = &state};
	static struct vcpu *cpus[] = {&cpu};
	static const struct machine_cfg seeded = {.seed = 1};
	int fd = mkstemp(path);

	CHECK(fd >= 0 && close(fd) == 0);
	m = tb_new();
	ram = calloc(1, RAM);
	CHECK(ram);
	m->vcpus = cpus;
	m->nr_vcpus = 1;
	m->cfg = &seeded;
	as_unmap(m->mem, as_find(m->mem, 0));
	low = (struct region){.name = "low", .size = 0xa0000, .kind = REGION_RAM, .host = ram};
	high = (struct region){
		.name = "high", .base = LOAD, .size = RAM - LOAD, .kind = REGION_RAM};
	high.host = ram + LOAD;
	CHECK(as_map(m->mem, &low) == 0 && as_map(m->mem, &high) == 0);
	test_linux();
	test_bad_linux();
	test_pvh();
	test_bad_elf();
	test_multiboot();
	test_bad_multiboot();
	test_others();
	test_changing();
	unlink(path);
	free(ram);
	m->nr_vcpus = 0;
	tb_free(m);
	return 0;
}
