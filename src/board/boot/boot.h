/* SPDX-License-Identifier: MIT */
/*
 * boot.h - direct boot: putting a kernel into guest RAM and a CPU at its entry.
 *
 * A way to boot is one struct boot_ops in one file, and one line in boot.c.  Everything that
 * a user can get wrong is found by check(), when the machine is built; load() runs at every
 * reset and puts the pristine files back.
 *
 * Files are hostile: no length, offset or count in them is believed before it was checked
 * against the file's size and the guest's RAM.
 */
#ifndef BOARD_BOOT_BOOT_H
#define BOARD_BOOT_BOOT_H

#include "sundog/types.h"

struct blk;
struct cpu_state;
struct err;
struct machine;
struct machine_cfg;

enum { BOOT_FILE_HEAD = 0x10000 };

struct boot_file {
	const char *path, *what; /* "kernel": for messages; borrowed */
	u64 size;
	u8 *head; /* its first bytes: BOOT_FILE_HEAD, or all if it has fewer or is a pipe */
	u64 head_len;
	bool regular;
	int fd; /* if it is regular */
};

/* One entry of the memory map that the guest is told; types as in e820. */
enum { MEM_RAM = 1, MEM_RESERVED = 2, MEM_ACPI = 3, MEM_NVS = 4 };

struct mem_range {
	u64 base, size;
	u32 type;
};

enum { BOOT_MAX_RANGES = 16, BOOT_MAX_MODULES = 64 };

/* Where the board leaves room for us; all in the first 640 KiB, which are always RAM. */
enum {
	BOOT_GDT = 0x1000,
	BOOT_PARAMS = 0x7000,	   /* zero page, hvm_start_info or multiboot information */
	BOOT_PAGE_TABLES = 0x9000, /* PML4, PDPT, four page directories */
	BOOT_SETUP_DATA = 0xf000,
	BOOT_CMDLINE = 0x20000,
	BOOT_CMDLINE_MAX = 0x10000,
	BOOT_TABLES = 0x30000, /* module lists, memory maps, strings */
	BOOT_TABLES_END = 0x90000,
	BOOT_HIGH = 0x100000,
};

struct boot {
	struct machine *m;
	const struct boot_ops *ops;
	struct boot_file kernel, initrd;
	struct boot_file modules[BOOT_MAX_MODULES];
	char *module_args[BOOT_MAX_MODULES]; /* path and arguments, for the kernel */
	char *module_paths[BOOT_MAX_MODULES];
	unsigned nr_modules;
	char *cmdline;
	bool own_cmdline;	/* the user's alone (--cmdline), nothing of ours in it */
	struct boot_disk *disk; /* where the kernel comes from if no file is named; or NULL */

	/* Of the board. */
	struct mem_range map[BOOT_MAX_RANGES];
	unsigned nr_ranges;
	u64 low_end; /* RAM is contiguous from 1 MiB to here, below 4 GiB */
	gpa_t rsdp;  /* of ACPI */

	/* What check() found out, for load(). */
	struct {
		u64 base, size, entry;	/* of the kernel in guest memory */
		u64 file_off, file_len; /* what is copied to base, for formats with one piece */
		u64 initrd;		/* where it goes */
		bool long_mode;
	} plan;
};

/*
 * A disk to boot from, and how that went.  The board fills in the first two, before
 * boot_open(); see disk.h.
 */
struct boot_disk {
	struct blk *blk;
	const char *device;    /* what it is for the guest; NULL: boot_open() chooses */
	char *kernel, *initrd; /* where they were, for messages; owned */
	char *root;	       /* for the kernel command line; owned */
	char *said;	       /* the last line about what is booted; owned */
};

struct boot_ops {
	const char *name; /* "Linux bzImage": for people */
	const char *dflt_cmdline;
	bool tells_panic; /* dflt_cmdline has what BOOT_LINUX_CMDLINE says of panics */
	bool (*match)(const struct boot_file *f);
	int (*check)(struct boot *b, struct err *e);
	int (*load)(struct boot *b, struct err *e);
};

/*
 * What we tell a Linux kernel unless --cmdline replaces it:
 *   console=ttyS0   the console is COM1
 *   tsc=reliable    all our clocks are one clock: do not compare the TSC with the others,
 *                   where a busy host would make it look bad
 *   cryptomgr.notests
 *                   do not test each built-in cipher before the first process: a third of
 *                   the boot (with fips=1 Linux tests them nevertheless)
 *   panic=-1        a kernel that panics resets at once ...
 *   reboot=panic_warm
 *                   ... and says that it is a warm reset, unlike a wanted one: that is how
 *                   a panic is known from a reboot when the pvpanic driver is not loaded
 */
#define BOOT_LINUX_CMDLINE "console=ttyS0 tsc=reliable cryptomgr.notests panic=-1 reboot=panic_warm"

extern const struct boot_ops boot_linux, boot_pvh, boot_multiboot;
extern const struct boot_ops *const boot_ways[]; /* boot.c; NULL-ended */

/*
 * Opens the files of cfg, or looks for them on b->disk, finds the way to boot and checks.
 * map, nr_ranges, low_end, rsdp and perhaps disk are already in *b, everything else is zero.
 * Errors are -ENOEXEC: input unusable.
 */
int boot_open(struct boot *b, struct machine *m, const struct machine_cfg *cfg, struct err *e);
void boot_close(struct boot *b);
/* Reads them again, since they may have changed, and checks again. */
int boot_load(struct boot *b, struct err *e);

/* file.c */
int boot_file_open(struct boot_file *f, const char *path, const char *what, struct err *e);
/* A regular file that is open already; takes fd, also on failure. */
int boot_file_take(struct boot_file *f, int fd, const char *path, const char *what, struct err *e);
void boot_file_close(struct boot_file *f);
int boot_file_refresh(struct boot_file *f, struct err *e); /* size and head */
/* All of that, or -errno: not so long any more, say. */
int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 len) must_check;

/* detect.c: what is it, for people: "a gzip archive". */
const char *boot_describe(const struct boot_file *f);
enum boot_input { BOOT_INPUT_UNKNOWN, BOOT_INPUT_KERNEL, BOOT_INPUT_DISK };
/* What the file is that a user named for booting, without saying as what. */
enum boot_input boot_classify(const char *path);

/* disk.c: kernel and perhaps initrd of b->disk into b->kernel and b->initrd. */
int boot_disk_read(struct boot *b, const struct machine_cfg *cfg, struct err *e);
void boot_disk_close(struct boot_disk *d);

/* Copy to guest RAM, or clear it; -EFAULT: not all RAM. */
int boot_put(struct boot *b, gpa_t to, const void *p, u64 len) must_check;
int boot_clear(struct boot *b, gpa_t to, u64 len) must_check;
int boot_put_file(struct boot *b, gpa_t to, const struct boot_file *f, u64 off, u64 len,
		  struct err *e) must_check;

/*
 * A place for len bytes, page-aligned, as high as it goes below limit and above floor.
 * 0, or -ENOEXEC and a message that says how much memory would do.
 */
int boot_place(struct boot *b, u64 len, u64 floor, u64 limit, u64 *at, struct err *e);
/* The error above: need is the end of what must fit in RAM below 4 GiB. */
int boot_no_room(struct boot *b, u64 need, struct err *e);

/* entry.c: the state of vCPU 0 when the kernel gets control; the rest is as after reset. */
int boot_enter_long(struct boot *b, u64 entry) must_check;   /* identity-mapped 4 GiB */
int boot_enter_flat32(struct boot *b, u64 entry) must_check; /* protected mode, no paging */
struct cpu_state *boot_cpu(struct boot *b);

/* random.c: len bytes for the guest, from the host or from the machine's seed. */
void boot_random(struct boot *b, u8 *buf, size_t len);

#endif
