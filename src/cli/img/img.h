/* SPDX-License-Identifier: MIT */
/*
 * img.h - the subcommands of "sundog img": a file and a row in img.c's table for each.
 *
 * All parse into one struct img_args; a subcommand's table of options says which of its
 * members can be set.
 */
#ifndef CLI_IMG_IMG_H
#define CLI_IMG_IMG_H

#include <errno.h>
#include <stdio.h>

#include "block/image.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "sundog/err.h"

struct img_args {
	struct strlist rest; /* what is no option: as many as the command's row wants */
	bool help, json, quiet, no_lock, force, progress;
	const char *format, *second_format, *output_format;
	const char *backing, *output_backing, *backing_format;
	struct strlist create_options;
	bool chain, compressed, shrink, keep, strict, unsafe, list;
	const char *repair, *snapshot;
	const char *snap_create, *snap_apply, *snap_delete;
	unsigned threads;
};

#define IMG_AT(member) offsetof(struct img_args, member)
/* Rows that many subcommands have. */
#define IMG_FORMAT                                                                            \
	{                                                                                     \
		"format", "FORMAT", "raw or qcow2; else the file's name says it", OPTION_STR, \
			IMG_AT(format), .letter = 'f'                                         \
	}
#define IMG_BACKING                                                                                \
	{                                                                                          \
		"backing", "FILE", "what is behind it, instead of the image it names", OPTION_STR, \
			IMG_AT(backing)                                                            \
	}
#define IMG_NO_LOCK                                                                             \
	{                                                                                       \
		"force-share", NULL, "also while somebody writes it: what is read may be torn", \
			OPTION_FLAG, IMG_AT(no_lock), .letter = 'U'                             \
	}
#define IMG_QUIET                                                                      \
	{                                                                              \
		"quiet", NULL, "print nothing but errors", OPTION_FLAG, IMG_AT(quiet), \
			.letter = 'q'                                                  \
	}
#define IMG_JSON                                                                    \
	{                                                                           \
		"json", NULL, "print JSON, for programs", OPTION_FLAG, IMG_AT(json) \
	}
#define IMG_HELP                                                     \
	{                                                            \
		"help", NULL, "this text", OPTION_FLAG, IMG_AT(help) \
	}

struct img_command {
	struct command c;	     /* without .run */
	unsigned min_args, max_args; /* that are no options */
	int error_status; /* of everything that goes wrong; 0: as everywhere, err_status() */
	/* The exit status, or -errno and *e. */
	int (*run)(struct img_args *a, struct err *e);
};

extern const struct img_command img_create, img_info, img_check, img_convert, img_resize,
	img_commit, img_snapshot, img_map, img_compare, img_rebase;

/* open.c: the image at path, as --format, --backing and --force-share say.  Flags: */
enum {
	IMG_WRITE = 1,
	IMG_LAYER = 2,	/* without what is behind it */
	IMG_REPAIR = 4, /* damaged, too */
};
struct blk *img_open(const struct img_args *a, const char *path, unsigned flags, struct err *e);
/* Closes, and says in *e if that failed and r is no error yet; r or that error. */
int img_close(struct blk *b, int r, struct err *e);
int img_no_memory(struct err *e);
/* Behind the image's end there are zeroes. */
int img_read(struct blk *b, u64 off, u8 *buf, size_t len, struct err *e);
/* -errno of reading or writing, as a message. */
int img_failed(const struct blk *b, const char *what, u64 off, int r, struct err *e);
/* The format that a new file has by its name: qcow2 if it ends so, else raw. */
const char *img_format_of(const char *path);

/* Prints what comes from an image: none of its bytes may command the terminal. */
void img_put(const char *s);
bool img_is_zero(const u8 *p, size_t len);
/* "1.5 GiB"; buf is returned. */
enum { IMG_SIZE_TEXT = 32 };
const char *img_size_text(char buf[IMG_SIZE_TEXT], u64 bytes);

/* createopts.c: "cluster_size=4K,..." from -o into c; *opts holds the strings, free it later. */
struct opts;
int img_create_options(const struct strlist *list, struct blk_create *c, struct opts **opts,
		       struct err *e);
/* The keys, for help texts. */
#define IMG_CREATE_KEYS                                                                      \
	"Keys of --option, as qemu-img has them; of a raw image only the last:\n"            \
	"  cluster_size=SIZE        512 to 2M; default: 64K\n"                               \
	"  compat=0.10|1.1          the version: v2 for old programs, or v3 (default)\n"     \
	"  refcount_bits=N          1 to 64, a power of 2; default: 16\n"                    \
	"  compression_type=TYPE    zlib (default) or zstd, for --compressed and copies\n"   \
	"  lazy_refcounts=on        reference counts are written when the image is closed\n" \
	"  extended_l2=on           space is given out in 32nds of a cluster\n"              \
	"  data_file=FILE           keep the guest's bytes in a raw file of their own\n"     \
	"  data_file_raw=on         that file alone has the disk's whole content\n"          \
	"  preallocation=HOW        off (default), metadata (not raw), falloc or full\n"

/* Of all images: snapshot.c. */
struct json_t *img_snapshots_json(const struct blk_snapshot *list, unsigned n);
void img_snapshots_print(const struct blk_snapshot *list, unsigned n);
/* Of a name, whose bytes may be no UTF-8: those become "?". */
struct json_t *img_json_text(const char *s);
/* Prints and takes it; NULL: there was no memory for it. */
int img_print_json(struct json_t *j, struct err *e);

#endif
