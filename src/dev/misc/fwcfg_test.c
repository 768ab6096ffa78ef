/* SPDX-License-Identifier: MIT */
/* fwcfg_test.c - fw_cfg by its ports and by DMA. */
#include "dev/testbed.h"

#include "dev/misc/fwcfg.h"

enum { CMD = 0x1000, DEST = 0x2000 };

static struct machine *m;

static void choose(u16 key)
{
	as_store(m->pio, 0x510, key, 2);
}

static u32 dma(u32 control, u32 len, u64 to)
{
	st_be32(tb_ram + CMD, control);
	st_be32(tb_ram + CMD + 4, len);
	st_be64(tb_ram + CMD + 8, to);
	as_store(m->pio, 0x514, 0, 4);
	as_store(m->pio, 0x518, __builtin_bswap32(CMD), 4);
	return ld_be32(tb_ram + CMD);
}

static void test_ports(void)
{
	char sig[5] = {0};

	choose(FWCFG_SIGNATURE);
	for (unsigned i = 0; i < 4; i++)
		sig[i] = (char)tb_in(m, 0x511);
	CHECK(strcmp(sig, "QEMU") == 0 && tb_in(m, 0x511) == 0);
	choose(FWCFG_RAM_SIZE);
	CHECK(tb_in(m, 0x511) == 0xef && tb_in(m, 0x511) == 0xcd);
	choose(0x3000);
	CHECK(tb_in(m, 0x511) == 0);
	CHECK(as_load(m->pio, 0x514, 4) == 0x554d4551);
	CHECK(as_load(m->pio, 0x518, 4) == 0x47464320);
}

static void test_dma(void)
{
	memset(tb_ram + DEST, 0xff, 16);
	CHECK(dma(FWCFG_KERNEL_DATA << 16 | 8 | 2, 12, DEST) == 0);
	CHECK(memcmp(tb_ram + DEST, "kernel\0\0\0\0\0\0\xff", 13) == 0);
	CHECK(dma(FWCFG_KERNEL_DATA << 16 | 8 | 4, 3, 0) == 0);
	CHECK(dma(2, 3, DEST) == 0 && memcmp(tb_ram + DEST, "nel", 3) == 0);
	CHECK(dma(FWCFG_KERNEL_DATA << 16 | 8 | 16, 3, DEST) == 1);
	CHECK(dma(FWCFG_KERNEL_DATA << 16 | 8 | 2, 0xffffffff, DEST) == 1);
	CHECK(dma(FWCFG_KERNEL_DATA << 16 | 8 | 2, 8, ~0ull - 3) == 1);
	as_store(m->pio, 0x514, 0xffffffff, 4);
	as_store(m->pio, 0x518, 0xffffffff, 4);
	CHECK(m->guest_errors == 1);
}

static void test_files(struct device *fw)
{
	u8 dir[4 + 64];

	CHECK(fwcfg_add_file(fw, "opt/a", "hello", 5));
	choose(FWCFG_FILE_DIR);
	for (unsigned i = 0; i < sizeof(dir); i++)
		dir[i] = tb_in(m, 0x511);
	CHECK(ld_be32(dir) == 1 && ld_be32(dir + 4) == 5 && ld_be16(dir + 8) == 0x20);
	CHECK(strcmp((char *)dir + 12, "opt/a") == 0);
	choose(0x20);
	CHECK(tb_in(m, 0x511) == 'h');
	for (unsigned i = 1; i < 16; i++)
		CHECK(fwcfg_add_file(fw, "opt/b", "", 0));
	CHECK(!fwcfg_add_file(fw, "opt/b", "", 0));
}

int main(void)
{
	struct device *fw;

	m = tb_new();
	fw = tb_add(m, "fw_cfg");
	fwcfg_add_int(fw, FWCFG_RAM_SIZE, 0xabcdef, 8);
	fwcfg_add(fw, FWCFG_KERNEL_DATA, "kernel", 6);
	test_ports();
	test_dma();
	test_files(fw);
	tb_free(m);
	return 0;
}
