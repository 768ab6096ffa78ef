/* SPDX-License-Identifier: MIT */
/* fwcfg.h - what a board puts into fw_cfg. */
#ifndef DEV_MISC_FWCFG_H
#define DEV_MISC_FWCFG_H

#include "sundog/device.h"

extern const struct device_type fwcfg_type;

enum {
	FWCFG_SIGNATURE = 0x00,
	FWCFG_ID = 0x01,
	FWCFG_RAM_SIZE = 0x03,
	FWCFG_NOGRAPHIC = 0x04,
	FWCFG_NR_CPUS = 0x05,
	FWCFG_KERNEL_ADDR = 0x07,
	FWCFG_KERNEL_SIZE = 0x08,
	FWCFG_INITRD_ADDR = 0x0a,
	FWCFG_INITRD_SIZE = 0x0b,
	FWCFG_MAX_CPUS = 0x0f,
	FWCFG_KERNEL_DATA = 0x11,
	FWCFG_INITRD_DATA = 0x12,
	FWCFG_CMDLINE_ADDR = 0x13,
	FWCFG_CMDLINE_SIZE = 0x14,
	FWCFG_CMDLINE_DATA = 0x15,
	FWCFG_SETUP_ADDR = 0x16,
	FWCFG_SETUP_SIZE = 0x17,
	FWCFG_SETUP_DATA = 0x18,
	FWCFG_FILE_DIR = 0x19,
	FWCFG_FILE_FIRST = 0x20,
};

/* Before the machine starts.  Data is borrowed for the device's life; false: it is full. */
bool fwcfg_add(struct device *dev, u16 key, const void *data, u64 len);
bool fwcfg_add_int(struct device *dev, u16 key, u64 val, unsigned size); /* 2, 4 or 8 bytes */
/* The same with data that read() fetches, on a vCPU's thread; what it cannot is zeros. */
struct fwcfg_source {
	int (*read)(const struct fwcfg_source *s, u64 off, u8 *buf, u64 len); /* 0 or -errno */
};
bool fwcfg_add_source(struct device *dev, u16 key, const struct fwcfg_source *s, u64 len);
bool fwcfg_add_file(struct device *dev, const char *name, const void *data, u64 len);

#endif
