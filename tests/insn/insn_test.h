/* SPDX-License-Identifier: MIT */
/*
 * insn_test.h - one case of the instruction test: what goes in, and the two that run it.
 *
 * The arena is a handful of pages at the same linear addresses on the host and in the guest,
 * with the same contents and rights.  All other memory below 4 GiB is absent on both sides.
 */
#ifndef TESTS_INSN_INSN_TEST_H
#define TESTS_INSN_INSN_TEST_H

#include "isa/x86/insn.h"
#include "isa/x86/state.h"

#define ARENA 0x10000000ull

enum { PAGE = 4096, ARENA_PAGES = 9, ARENA_SIZE = ARENA_PAGES * PAGE };

/* Pages of the arena; those between them are absent. */
enum {
	PAGE_CODE = 0, /* two, writable and executable */
	PAGE_DATA = 3, /* two */
	PAGE_LAST = 6, /* writable */
	PAGE_RO = 7,
};

enum page_rights { ABSENT, RWX, RW, RO };

extern const u8 arena_rights[ARENA_PAGES];

/* Selectors: those that Linux gives its programs; the last two are in the LDT. */
enum {
	SEL_KERNEL_CS = 0x10,
	SEL_KERNEL_DATA = 0x18,
	SEL_CS32 = 0x23,
	SEL_DATA = 0x2b,
	SEL_CS64 = 0x33,
	SEL_CS16 = 0x07,
	SEL_DATA16 = 0x0f,
	LIMIT_DATA16 = 0x6fff, /* the arena without its read-only page */
};

enum mode { MODE64, MODE32, MODE32_LDT, MODE16, NR_MODES };

struct regs {
	u64 gpr[16];
	u64 rip, rflags;
	u64 fs_base, gs_base;
	u16 cs, ss, ds, es, fs, gs;
	u8 fx[512]; /* as FXSAVE64 has it; the last 96 bytes do not count */
	/* Vector registers whole, the low 16 bytes of the first 16 being in fx only; opmasks. */
	union vreg v[32];
	u64 k[8];
};

enum { VECTOR_TIMEOUT = -1 };

struct outcome {
	struct regs r;
	int vector; /* of the exception that ended it: #BP if all went well */
	u32 error;
	u64 cr2; /* of a #PF */
};

/* Bytes that differ from the image, in the order in which they are put there. */
struct poke {
	u32 off; /* in the arena */
	u32 len;
	u8 bytes[64];
};

enum { MAX_POKES = 24, MAX_CODE = 256 };

struct test_case {
	u64 number;
	enum mode mode;
	bool seq; /* several instructions */
	bool ring0;
	bool twice; /* the guest runs it once more, with the blocks that are there by then */
	unsigned row;
	u32 code_off;
	unsigned code_len;
	u8 code[MAX_CODE];
	struct op op; /* of the only instruction */
	u64 target;   /* where its memory operand is */
	struct regs in;
	unsigned nr_pokes, nr_data_pokes; /* those of the code come last */
	struct poke pokes[MAX_POKES];
};

/* --- gen.c ------------------------------------------------------------------------------- */

struct gen_cfg {
	bool fsgsbase; /* FS and GS may have a base */
	bool ldt;      /* there are SEL_CS16 and SEL_DATA16 */
	bool cs32;     /* there is SEL_CS32 */
	u64 xcr0;      /* vector registers there are */
	int row;       /* only this one, or -1 */
	bool no_seq;
	bool patch_no_flags; /* what a sequence changes in itself has nothing to do with flags */
	/*
	 * No host has to run it: only sequences, of 64-bit code, in ring 0 too, and of 32-bit code,
	 * with what goes elsewhere (calls, returns, system calls, to code of the other kind) or
	 * loads segments among them.
	 */
	bool wild;
};

void gen_init(const struct gen_cfg *cfg);
/* What the arena holds before the pokes; the same for all cases of a batch. */
void gen_image(u64 seed, u64 batch, u8 image[ARENA_SIZE]);
void gen_case(u64 seed, u64 number, struct test_case *c);
/* The pokes for the code, after it was changed. */
void gen_put_code(struct test_case *c);
u64 gen_seg_base(const struct test_case *c, unsigned seg);
u64 mode_cs_base(enum mode mode);
enum code_size mode_code_size(enum mode mode);

/* --- rows.c ------------------------------------------------------------------------------ */

/* Why a row is not run here, and what runs it instead; NULL if it is run. */
const char *row_exception(unsigned row);
/* Ring 3 gets an exception for it, whatever the operands. */
bool row_always_faults(unsigned row);
/* May it stand in a sequence? */
bool row_in_sequence(unsigned row);
/* ... that no host runs? */
bool row_in_wild_sequence(unsigned row);

/* --- host.c ------------------------------------------------------------------------------ */

struct host_caps {
	bool fsgsbase, ldt, cs32;
};

/* False: this system cannot run the test; says why. */
bool host_init(struct host_caps *caps);
/* Last of all who handle signals: it puts segment registers right for the others. */
void host_take_signals(void);
/* The read-only page is the same in all images. */
void host_fill_ro(const u8 image[ARENA_SIZE]);
void host_put(const u8 image[ARENA_SIZE], const struct test_case *c);
void host_run(const struct test_case *c, struct outcome *out);
/* Called with what a crash of the tester itself should print. */
extern const struct test_case *host_current;

/* --- guest.c ----------------------------------------------------------------------------- */

/* engine: as for --engine.  Translators run without a budget, or they would interpret. */
bool guest_init(const char *engine);
/* XCR0 on both sides: what of the vector registers the host has. */
u64 vector_components(void);
bool guest_translates(void);
/* Blocks translated until now. */
u64 guest_translated(void);
void guest_fini(void);
/* Empty TLB, no blocks. */
void guest_forget(void);
void guest_put(const u8 image[ARENA_SIZE], const struct test_case *c);
/* But for the pages of code. */
void guest_put_data(const u8 image[ARENA_SIZE], const struct test_case *c);
void guest_run(const struct test_case *c, struct outcome *out);
const u8 *guest_arena(void);
struct vcpu *guest_vcpu(void);
/* Disassembles what is at rip. */
unsigned guest_disasm(const struct test_case *c, u64 rip, const u8 *bytes, unsigned len, char *text,
		      size_t size);
bool host_cpu_is_amd(void);

#endif
