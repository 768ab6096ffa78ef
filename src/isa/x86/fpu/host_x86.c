/* SPDX-License-Identifier: MIT */
/*
 * host_x86.c - SIMD traps inside the thunks of host_x86.S.
 *
 * With an exception unmasked, the thunk runs with the guest's MXCSR as it is and the host
 * traps.  The handler sends RIP to host_trap_landing, which makes the entry point return 1
 * (or host_vec_landing, which does so for a thunk that was made at run time);
 * the kernel restores MXCSR with the flags that the instruction raised.
 */
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "isa/x86/fpu/host.h"

/* Written once, before the handler can run: the process's, as signal handlers are. */
static struct sigaction old_action;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool unblocked;

/*
 * Tests of instructions trap with any code segment and FS base, and with alignment checks: so
 * RIP is no address unless CS is ours, no thread-local variable says where thunks are, and
 * bytes are read one by one.
 */
static bool is_marked(const greg_t *gregs)
{
	static const u8 mark[] = {HOST_TRAP_MARK};
	const volatile u8 *rip = (const volatile u8 *)gregs[REG_RIP];
	u16 cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	if ((u16)gregs[REG_CSGSFS] != cs || ((uintptr_t)rip & 4095) < HOST_TRAP_MARK_LEN)
		return false;
	for (unsigned i = 0; i < HOST_TRAP_MARK_LEN; i++)
		if (rip[(int)i - HOST_TRAP_MARK_LEN] != mark[i])
			return false;
	return true;
}

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];

	if (*rip >= (greg_t)host_thunks_start && *rip < (greg_t)host_thunks_end)
		*rip = (greg_t)host_trap_landing;
	else if (is_marked(uc->uc_mcontext.gregs))
		*rip = (greg_t)host_vec_landing;
	else if (old_action.sa_flags & SA_SIGINFO)
		old_action.sa_sigaction(sig, info, context);
	else if (old_action.sa_handler != SIG_DFL && old_action.sa_handler != SIG_IGN)
		old_action.sa_handler(sig);
	else
		signal(sig, SIG_DFL); /* the instruction runs again, and the process dies of it */
}

static void install(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGFPE, NULL, &old_action);
	sigaction(SIGFPE, &sa, NULL);
}

void host_catch_simd_traps(void)
{
	sigset_t set;

	if (unblocked)
		return;
	pthread_once(&once, install);
	/* A synchronous signal that is blocked kills the process. */
	sigemptyset(&set);
	sigaddset(&set, SIGFPE);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	unblocked = true;
}

const void *host_x87_thunk(unsigned esc, unsigned modrm)
{
	if (modrm >= 0xc0)
		return host_x87_reg_thunks + (esc * 64 + (modrm & 63)) * X87_THUNK_STRIDE;
	return host_x87_mem_thunks + (esc * 8 + (modrm >> 3 & 7)) * X87_THUNK_STRIDE;
}

/* Hypervisors take long over CPUID, and the same few leaves are asked for again and again. */
static struct {
	u32 leaf, sub, r[4];
} leaves[] = {{.leaf = 1},
	      {.leaf = 7},
	      {.leaf = 7, .sub = 1},
	      {.leaf = 0xd, .sub = 1},
	      {.leaf = 0x80000001}};

static void read_leaves(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		u32 *r = leaves[i].r;

		__get_cpuid_count(leaves[i].leaf, leaves[i].sub, &r[0], &r[1], &r[2], &r[3]);
	}
}

bool host_cpuid_bit(u32 leaf, u32 sub, unsigned reg, unsigned bit)
{
	static pthread_once_t read_once = PTHREAD_ONCE_INIT;
	u32 r[4] = {0};

	pthread_once(&read_once, read_leaves);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaves[i].leaf == leaf && leaves[i].sub == sub)
			return leaves[i].r[reg] >> bit & 1;
	return __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> bit & 1;
}
