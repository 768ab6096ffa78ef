/* SPDX-License-Identifier: MIT */
/*
 * guest.h - what bare-metal payloads stand on.
 *
 * A payload is a C file with main(): it runs in ring 0 with interrupts off, all memory mapped
 * to itself (64-bit payloads; 32-bit ones have paging off), all exceptions caught.  It calls
 * check() and the like, each of which prints one line, and returns.
 *
 * ctx_run() is how anything that traps is tested: it enters any code in any ring and mode and
 * comes back at the next exception or interrupt, which it describes.  Code that ends by
 * DONE_INSN has ended well.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef unsigned long reg_t;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define barrier() asm volatile("" ::: "memory")
#define STR_(x) #x
#define STR(x) STR_(x)

/* The table all CPUs share.  SYSCALL and SYSRET find their segments in it, too. */
enum {
	SEL_CODE = 0x08, /* of the payload's own width */
	SEL_DATA = 0x10,
	SEL_CODE32 = 0x18,
	SEL_UCODE32 = 0x23,
	SEL_UDATA = 0x2b,
	SEL_UCODE64 = 0x33, /* 64-bit payloads only */
	SEL_CODE16 = 0x3b & ~3,
	SEL_DATA16 = 0x40,
	SEL_FREE = 0x48, /* from here to SEL_TSS a test may do as it likes */
	SEL_TSS = 0x200, /* one for each CPU, 16 bytes apart */
	NR_GDT = 128,
};

enum { MAX_CPUS = 8, DONE_VECTOR = 0x40 };
#define DONE_INSN "int $0x40\n"

enum {
	DE = 0,
	DB = 1,
	NMI = 2,
	BP = 3,
	OF = 4,
	BR = 5,
	UD = 6,
	NM = 7,
	DF = 8,
	TS = 10,
	NP = 11,
	SS = 12,
	GP = 13,
	PF = 14,
	MF = 16,
	AC = 17,
	XM = 19
};

enum {
	FL_CF = 1,
	FL_1 = 2,
	FL_PF = 4,
	FL_AF = 0x10,
	FL_ZF = 0x40,
	FL_SF = 0x80,
	FL_TF = 0x100,
	FL_IF = 0x200,
	FL_DF = 0x400,
	FL_OF = 0x800,
	FL_IOPL3 = 0x3000,
	FL_NT = 0x4000,
	FL_RF = 0x10000,
	FL_VM = 0x20000,
	FL_AC = 0x40000,
	FL_VIF = 0x80000,
	FL_VIP = 0x100000,
	FL_ID = 0x200000
};

enum {
	CR0_PE = 1,
	CR0_MP = 2,
	CR0_EM = 4,
	CR0_TS = 8,
	CR0_NE = 0x20,
	CR0_WP = 0x10000,
	CR0_AM = 0x40000
};
#define CR0_PG 0x80000000u
enum {
	CR4_VME = 1,
	CR4_PVI = 2,
	CR4_TSD = 4,
	CR4_DE = 8,
	CR4_PSE = 0x10,
	CR4_PAE = 0x20,
	CR4_PGE = 0x80,
	CR4_OSFXSR = 0x200,
	CR4_OSXMMEXCPT = 0x400,
	CR4_UMIP = 0x800,
	CR4_FSGSBASE = 0x10000,
	CR4_PCIDE = 0x20000,
	CR4_OSXSAVE = 0x40000,
	CR4_SMEP = 0x100000,
	CR4_SMAP = 0x200000
};

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/* Registers, as the trap entry pushes them and then the CPU. */
struct ctx {
#ifdef __x86_64__
	reg_t r15, r14, r13, r12, r11, r10, r9, r8;
#endif
	reg_t di, si, bp, bx, dx, cx, ax;
	reg_t vector, error;
	reg_t ip, cs, flags, sp, ss;
	reg_t es, ds, fs, gs; /* 32-bit: all; 64-bit: ES and DS */
	reg_t cr2;
};

/* --- lib.c: output and checks --- */

void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Each prints one line and counts; true: it was well. */
bool check(const char *name, u64 got, u64 expected);
bool check_true(const char *name, bool ok);
bool check_between(const char *name, u64 got, u64 low, u64 high);
/* ctx ended with this vector, error code and instruction pointer. */
bool check_trap(const char *name, const struct ctx *c, unsigned vector, reg_t error,
		const void *ip);
/* ... and ended well. */
bool check_done(const char *name, const struct ctx *c);
void skip(const char *name, const char *why);
_Noreturn void finish(void);		 /* says how it went */
_Noreturn void give_up(const char *why); /* fail */
void *memset(void *p, int c, size_t n);
void *memcpy(void *p, const void *q, size_t n);
int memcmp(const void *p, const void *q, size_t n);
int strcmp(const char *a, const char *b);

/* --- trap.c, trap*.S --- */

/* A context that will run code at ip in ring 0 on a stack of its own, or in another ring. */
struct ctx ctx_kernel(const void *ip);
struct ctx ctx_user(const void *ip);
/* Run until the next trap. */
void ctx_run(struct ctx *c);

typedef void irq_fn(struct ctx *frame);
/* Call fn on this vector, and go on behind; NULL: back to ending ctx_run(). */
void on_vector(unsigned vector, irq_fn *fn);
/* Gates: type 14 interrupt, 15 trap (6, 7: 16-bit, 5: task), and in 64-bit code ist. */
void set_gate(unsigned vector, const void *ip, u16 sel, unsigned type, unsigned dpl, unsigned ist);
void default_gate(unsigned vector);
/* The usual entry of a vector. */
const void *trap_entry(unsigned vector);

/* The ctx's kernel stack, and what rings 1 to 3 use. */
int main(void);
extern u8 ctx_stack[MAX_CPUS][16384], user_stack[MAX_CPUS][16384];
void *ring0_stack(void); /* where traps from outer rings push */

unsigned this_cpu(void);
void cpu_init(unsigned cpu); /* tables of this CPU */

/* An instruction in ring 0 that may fault; gives the vector or -1, the error in last_error. */
extern volatile reg_t fixup_ip, fixup_error;
extern volatile int fixup_vector;
#define TRY(insn, ...)                                                                     \
	({                                                                                 \
		fixup_vector = -1;                                                         \
		asm volatile("movl $1f, fixup_ip\n" insn "\n1:" : __VA_ARGS__ : "memory"); \
		fixup_ip = 0;                                                              \
		fixup_vector;                                                              \
	})

/* Code as text: name is its start, name_end its end. */
#define CODE_(bits, name, text)                                                          \
	extern const u8 name[], name##_end[];                                            \
	asm(".pushsection .text\n.code" #bits "\n" #name ":\n" text "\n" #name "_end:\n" \
	    ".code" STR(GUEST_BITS) "\n.popsection\n");
#ifdef __x86_64__
#define GUEST_BITS 64
#else
#define GUEST_BITS 32
#endif
#define CODE(name, text) CODE_64_OR_32(name, text)
#ifdef __x86_64__
#define CODE_64_OR_32(name, text) CODE_(64, name, text)
#else
#define CODE_64_OR_32(name, text) CODE_(32, name, text)
#endif
#define CODE16(name, text) CODE_(16, name, text)
#define CODE32(name, text) CODE_(32, name, text)
/* A place inside of such code. */
#define LABEL(name) extern const u8 name[]

/* --- segments --- */

extern u64 gdt[NR_GDT];
enum {
	SEG_DATA_RW = 0x92,
	SEG_DATA_RO = 0x90,
	SEG_DATA_DOWN = 0x96,
	SEG_CODE_RX = 0x9a,
	SEG_CODE_X = 0x98,
	SEG_CODE_CONF = 0x9e,
	SEG_32 = 0x4000,
	SEG_64 = 0x2000,
	SEG_4K = 0x8000
};
#define DPL(n) ((n) << 5)
/* A descriptor; access is the type byte, and SEG_32 and so on. */
static inline u64 descriptor(u32 base, u32 limit, u32 access)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(access & 0xff) << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(access >> 12 & 15) << 52 |
	       (u64)(base >> 24) << 56;
}
/* Put one (64-bit: system descriptors take two) in a free slot, 0 and up; gives the selector. */
static inline u16 gdt_put(unsigned slot, u64 desc)
{
	gdt[SEL_FREE / 8 + slot] = desc;
	barrier();
	return (u16)(SEL_FREE + 8 * slot);
}

/* --- the CPU --- */

#define CR_ACCESS(n)                                                    \
	static inline reg_t read_cr##n(void)                            \
	{                                                               \
		reg_t v;                                                \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                               \
	}                                                               \
	static inline void write_cr##n(reg_t v)                         \
	{                                                               \
		asm volatile("mov %0, %%cr" #n ::"r"(v) : "memory");    \
	}
CR_ACCESS(0)
CR_ACCESS(2)
CR_ACCESS(3)
CR_ACCESS(4)
#ifdef __x86_64__
CR_ACCESS(8)
#endif
#undef CR_ACCESS

#define DR_ACCESS(n)                                                    \
	static inline reg_t read_dr##n(void)                            \
	{                                                               \
		reg_t v;                                                \
		asm volatile("mov %%dr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                               \
	}                                                               \
	static inline void write_dr##n(reg_t v)                         \
	{                                                               \
		asm volatile("mov %0, %%dr" #n ::"r"(v) : "memory");    \
	}
DR_ACCESS(0)
DR_ACCESS(1)
DR_ACCESS(2)
DR_ACCESS(3)
DR_ACCESS(6)
DR_ACCESS(7)
#undef DR_ACCESS

static inline u8 inb(u16 port)
{
	u8 v;
	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline void outb(u16 port, u8 v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u16 inw(u16 port)
{
	u16 v;
	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline void outw(u16 port, u16 v)
{
	asm volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u32 inl(u16 port)
{
	u32 v;
	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline void outl(u16 port, u32 v)
{
	asm volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" ::"a"((u32)v), "d"((u32)(v >> 32)), "c"(msr) : "memory");
}
static inline u64 rdtsc(void)
{
	u32 lo, hi;
	asm volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (u64)hi << 32;
}
enum { EAX, EBX, ECX, EDX };
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid"
		     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(sub)
		     : "memory");
}
static inline bool cpu_has(u32 leaf, u32 sub, unsigned reg, unsigned bit)
{
	u32 r[4];
	cpuid(leaf & 0x80000000u, 0, r);
	if (leaf > r[EAX])
		return false;
	cpuid(leaf, sub, r);
	return r[reg] >> bit & 1;
}
static inline bool is_amd(void)
{
	u32 r[4];
	cpuid(0, 0, r);
	return r[ECX] == 0x444d4163;
}
/* QEMU's TCG: for what it does not survive. */
static inline bool is_tcg(void)
{
	u32 r[4];
	cpuid(0x40000000, 0, r);
	return r[EBX] == 0x54474354;
}
static inline void cli(void)
{
	asm volatile("cli" ::: "memory");
}
static inline void sti(void)
{
	asm volatile("sti" ::: "memory");
}
static inline void pause(void)
{
	asm volatile("pause" ::: "memory");
}
/* One halt with interrupts on, which the interrupt ends. */
static inline void halt(void)
{
	asm volatile("sti; hlt; cli" ::: "memory");
}
static inline void invlpg(const volatile void *p)
{
	asm volatile("invlpg (%0)" ::"r"(p) : "memory");
}
struct __attribute__((packed)) table_reg {
	u16 limit;
	reg_t base;
};
static inline struct table_reg read_gdtr(void)
{
	struct table_reg r;
	asm volatile("sgdt %0" : "=m"(r));
	return r;
}
static inline struct table_reg read_idtr(void)
{
	struct table_reg r;
	asm volatile("sidt %0" : "=m"(r));
	return r;
}

#endif
