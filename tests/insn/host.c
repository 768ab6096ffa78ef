/* SPDX-License-Identifier: MIT */
/*
 * host.c - runs a case natively, in this very process.
 *
 * Everything travels through signal frames: host_run() traps, the handler replaces the
 * registers in its frame by those of the case (all of them, CS and the FPU included) and
 * returns into the case; the exception that ends it, an INT3 if nothing else, comes back to
 * the handler, which takes the registers out of the frame and puts the tester's own back.
 * What a frame does not carry (DS, ES, FS, GS and the bases) is switched in assembly around
 * the handler, before compiled code can miss its FS base or trip over EFLAGS.AC.
 */
#include <asm/ldt.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "insn/insn_test.h"

enum phase { IDLE, IN_CASE };

static volatile enum phase phase;
static greg_t saved[NGREG];
static const struct test_case *entering;
static struct outcome *leaving;
static volatile bool too_long;
static u64 last_tick;
const struct test_case *host_current;

/* Switched by host_signal: the case's selectors and bases, and the tester's FS base. */
u16 host_sel[4];
u64 host_base[2], host_own_fs;
u64 host_have_bases;

void host_signal(int sig, siginfo_t *si, void *ctx);
int host_on_signal(int sig, siginfo_t *si, ucontext_t *uc);
void host_trap(void);
extern const char host_trap_end[];

__asm__(".text\n"
	"host_trap: int3\n"
	"host_trap_end:\n"
	"	push $0x202; popfq\n" /* the frame carries neither NT nor ID */
	"	ret\n"
	"host_signal:\n"
	"	pushfq; andl $~0x40000, (%rsp); popfq\n"
	"	cld\n"
	"	mov %ds, host_sel+0(%rip); mov %es, host_sel+2(%rip)\n"
	"	mov %fs, host_sel+4(%rip); mov %gs, host_sel+6(%rip)\n"
	"	cmpl $0, host_have_bases(%rip)\n"
	"	je 1f\n"
	"	rdfsbase %rax; mov %rax, host_base+0(%rip)\n"
	"	rdgsbase %rax; mov %rax, host_base+8(%rip)\n"
	"	xor %eax, %eax\n"
	"	mov %eax, %fs; mov %eax, %gs\n"
	"	mov host_own_fs(%rip), %rax; wrfsbase %rax\n"
	"1:	mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
	"	push %rbx\n"
	"	call host_on_signal\n"
	"	pop %rbx\n"
	"	test %eax, %eax\n"
	"	jz 3f\n"
	"	mov host_sel+0(%rip), %ds; mov host_sel+2(%rip), %es\n"
	"	cmpl $0, host_have_bases(%rip)\n"
	"	je 2f\n"
	"	mov host_base+0(%rip), %rax; wrfsbase %rax\n"
	"	mov host_base+8(%rip), %rax; wrgsbase %rax\n"
	"2:	ret\n"
	/* A tick while the guest runs: an engine may have put something at GS. */
	"3:	cmpl $0, host_have_bases(%rip)\n"
	"	je 2b\n"
	"	mov host_base+8(%rip), %rax; wrgsbase %rax\n"
	"	ret\n");

/* In the order of enum gpr. */
static const u8 gpr_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
			      REG_RSI, REG_RDI, REG_R8,	 REG_R9,  REG_R10, REG_R11,
			      REG_R12, REG_R13, REG_R14, REG_R15};

enum { FX_USED = 416, FRAME_FLAGS = FL_ARITH | FL_TF | FL_DF | FL_AC | FL_RF };

/* XSAVE components of vector registers in the frame: where CPUID says. */
enum { XC_YMM = 2, XC_K = 5, XC_ZMM = 6, XC_ZMM16 = 7, NR_XC = 8 };

static unsigned xc_offset[NR_XC];
static u64 xcr0;

static void find_components(void)
{
	u32 a, b, c, d;

	xcr0 = vector_components();
	for (unsigned i = 2; i < NR_XC; i++) {
		__cpuid_count(0xd, i, a, b, c, d);
		xc_offset[i] = b;
	}
}

static void put_vectors(u8 *fx, const struct regs *r)
{
	for (unsigned i = 0; i < 16; i++) {
		if (xcr0 & 1 << XC_YMM)
			memcpy(fx + xc_offset[XC_YMM] + 16 * i, r->v[i].b + 16, 16);
		if (xcr0 & 1 << XC_ZMM) {
			memcpy(fx + xc_offset[XC_ZMM] + 32 * i, r->v[i].b + 32, 32);
			memcpy(fx + xc_offset[XC_ZMM16] + 64 * i, r->v[16 + i].b, 64);
		}
	}
	if (xcr0 & 1 << XC_K)
		memcpy(fx + xc_offset[XC_K], r->k, sizeof(r->k));
}

/* A component that the header says is in its initial state may hold anything. */
static void take_vectors(const u8 *fx, struct regs *r)
{
	u64 bv;

	memset(r->v, 0, sizeof(r->v));
	memset(r->k, 0, sizeof(r->k));
	memcpy(&bv, fx + 512, 8);
	bv &= xcr0;
	for (unsigned i = 0; i < 16; i++) {
		if (bv & 1 << XC_YMM)
			memcpy(r->v[i].b + 16, fx + xc_offset[XC_YMM] + 16 * i, 16);
		if (bv & 1 << XC_ZMM)
			memcpy(r->v[i].b + 32, fx + xc_offset[XC_ZMM] + 32 * i, 32);
		if (bv & 1 << XC_ZMM16)
			memcpy(r->v[16 + i].b, fx + xc_offset[XC_ZMM16] + 64 * i, 64);
	}
	if (bv & 1 << XC_K)
		memcpy(r->k, fx + xc_offset[XC_K], sizeof(r->k));
}

static void enter_case(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	u8 *fx = (u8 *)uc->uc_mcontext.fpregs;
	const struct regs *r = &entering->in;
	u64 bv;
	u32 magic;

	memcpy(saved, g, sizeof(saved));
	for (unsigned i = 0; i < 16; i++)
		g[gpr_of[i]] = (greg_t)r->gpr[i];
	g[REG_RIP] = (greg_t)r->rip;
	g[REG_EFL] = (greg_t)((r->rflags & FRAME_FLAGS) | ((u64)g[REG_EFL] & ~(u64)FRAME_FLAGS));
	g[REG_CSGSFS] = (greg_t)(r->cs | (u64)r->ss << 48);
	memcpy(fx, r->fx, FX_USED);
	memcpy(&magic, fx + 464, 4);
	if (magic == 0x46505853) { /* FP_XSTATE_MAGIC1: an XSAVE header follows */
		memcpy(&bv, fx + 512, 8);
		bv |= xcr0;
		memcpy(fx + 512, &bv, 8);
		put_vectors(fx, r);
	}
	host_sel[0] = r->ds;
	host_sel[1] = r->es;
	host_base[0] = r->fs_base;
	host_base[1] = r->gs_base;
	phase = IN_CASE;
}

static void leave_case(ucontext_t *uc)
{
	static const u32 mxcsr = 0x1f80;
	greg_t *g = uc->uc_mcontext.gregs;
	u8 *fx = (u8 *)uc->uc_mcontext.fpregs;
	struct regs *r = &leaving->r;

	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = (u64)g[gpr_of[i]];
	r->rip = (u64)g[REG_RIP];
	r->rflags = (u64)g[REG_EFL];
	r->cs = (u16)g[REG_CSGSFS];
	r->ss = (u16)((u64)g[REG_CSGSFS] >> 48);
	r->ds = host_sel[0];
	r->es = host_sel[1];
	r->fs = host_sel[2];
	r->gs = host_sel[3];
	r->fs_base = host_base[0];
	r->gs_base = host_base[1];
	memcpy(r->fx, fx, FX_USED);
	if (xcr0 & 1 << XC_YMM)
		take_vectors(fx, r);
	leaving->vector = too_long ? VECTOR_TIMEOUT : (int)g[REG_TRAPNO];
	leaving->error = (u32)g[REG_ERR];
	leaving->cr2 = (u64)g[REG_CR2];
	memcpy(g, saved, sizeof(saved));
	memset(fx, 0, 24);
	fx[0] = 0x7f, fx[1] = 0x03; /* FCW */
	memcpy(fx + 24, &mxcsr, 4);
	phase = IDLE;
}

/* The tester itself has crashed: at least say in which case. */
static void crashed(int sig, const ucontext_t *uc)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "signal %d at %#llx in the tester itself, case %lld\n",
			 sig, (long long)uc->uc_mcontext.gregs[REG_RIP],
			 host_current ? (long long)host_current->number : -1);

	if (write(2, text, (size_t)n) < 0)
		_exit(98);
	_exit(99);
}

static struct sigaction old_fpe;

/* 1: a case is entered. */
int host_on_signal(int sig, siginfo_t *si, ucontext_t *uc)
{
	u64 rip = (u64)uc->uc_mcontext.gregs[REG_RIP];

	if (sig == SIGALRM) { /* a case that was there at the last tick too does not end */
		too_long = phase == IN_CASE && entering->number == last_tick;
		last_tick = entering ? entering->number : 0;
		if (too_long)
			leave_case(uc);
		return phase == IN_CASE;
	}
	if (phase == IN_CASE) {
		leave_case(uc);
		return 0;
	}
	if (sig == SIGTRAP && rip == (u64)(uintptr_t)host_trap_end) {
		enter_case(uc);
		return 1;
	}
	if (sig == SIGFPE && old_fpe.sa_flags & SA_SIGINFO)
		old_fpe.sa_sigaction(sig, si, uc); /* a thunk of the interpreter's */
	else
		crashed(sig, uc);
	return 0;
}

static u8 *arena(void)
{
	return (u8 *)(uintptr_t)ARENA;
}

static bool map_arena(void)
{
	static const int prot[] = {
		[ABSENT] = PROT_NONE,
		[RWX] = PROT_READ | PROT_WRITE | PROT_EXEC,
		[RW] = PROT_READ | PROT_WRITE,
		[RO] = PROT_READ,
	};

	if (mmap(arena(), ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != arena()) {
		perror("mmap of the arena");
		return false;
	}
	memset(arena(), 0, ARENA_SIZE);
	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		if (mprotect(arena() + i * PAGE, PAGE, prot[arena_rights[i]])) {
			perror("mprotect");
			return false;
		}
	}
	return true;
}

static bool add_ldt(unsigned n, unsigned limit, bool code)
{
	struct user_desc d = {.entry_number = n,
			      .base_addr = (unsigned)ARENA,
			      .limit = limit,
			      .contents = code ? MODIFY_LDT_CONTENTS_CODE : 0};

	return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) == 0;
}

static bool has_cs32(void)
{
	u32 ar = 0;
	bool ok;

	__asm__("lar %2, %0" : "=r"(ar), "=@ccz"(ok) : "r"(SEL_CS32) : "cc");
	return ok && (ar & 0xf8ff00) == 0xc8fb00;
}

bool host_init(struct host_caps *caps)
{
	if (!map_arena())
		return false;
	find_components();
	caps->fsgsbase = getauxval(AT_HWCAP2) & 2;
	caps->cs32 = has_cs32();
	caps->ldt = caps->cs32 && add_ldt(0, 0xffff, true) && add_ldt(1, LIMIT_DATA16, false);
	host_have_bases = caps->fsgsbase;
	if (caps->fsgsbase)
		__asm__ volatile("rdfsbase %0" : "=r"(host_own_fs));
	return true;
}

void host_take_signals(void)
{
	static u8 alt[256 * 1024] __attribute__((aligned(64)));
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGALRM};
	void (*handler)(int, siginfo_t *, void *) = host_signal;
	static const struct itimerval tick = {{.tv_usec = 20000}, {.tv_usec = 20000}};
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigfillset(&sa.sa_mask);
	sigaltstack(&ss, NULL);
	sigaction(SIGFPE, NULL, &old_fpe);
	for (unsigned i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

void host_fill_ro(const u8 image[ARENA_SIZE])
{
	u8 *page = arena() + PAGE_RO * PAGE;

	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
		_exit(98);
	memcpy(page, image + PAGE_RO * PAGE, PAGE);
	if (mprotect(page, PAGE, PROT_READ))
		_exit(98);
}

void host_put(const u8 image[ARENA_SIZE], const struct test_case *c)
{
	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		if (arena_rights[i] == RWX || arena_rights[i] == RW)
			memcpy(arena() + i * PAGE, image + i * PAGE, PAGE);
	}
	for (unsigned i = 0; i < c->nr_pokes; i++)
		memcpy(arena() + c->pokes[i].off, c->pokes[i].bytes, c->pokes[i].len);
}

void host_run(const struct test_case *c, struct outcome *out)
{
	entering = c;
	leaving = out;
	too_long = false;
	host_trap();
}

bool host_cpu_is_amd(void)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_AMD_ebx;
}
