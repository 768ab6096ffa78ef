/* SPDX-License-Identifier: MIT */
/*
 * host_x86.c - SIMD traps inside the thunks of host_x86.S.
 *
 * With an exception unmasked, the thunk runs with the guest's MXCSR as it is and the host
 * traps.  The handler sends RIP to host_trap_landing, which makes the entry point return 1;
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

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];

	if (*rip >= (greg_t)host_thunks_start && *rip < (greg_t)host_thunks_end)
		*rip = (greg_t)host_trap_landing;
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

bool host_cpuid_bit(u32 leaf, u32 sub, unsigned reg, unsigned bit)
{
	u32 r[4] = {0};

	return __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> bit & 1;
}
