/* SPDX-License-Identifier: MIT */
/*
 * exec_test_run.c - runs one instruction on the host and through its exec function.
 *
 * Guest addresses are host addresses: the soft_ functions here know one buffer and nothing
 * else, and raise what the host's page tables would.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "isa/x86/exec_test.h"
#include "isa/x86/system.h"
#include "sundog/machine.h"

enum { GUARD = 16 * 4096 };

static struct outcome host_out;
struct regs host_regs;
u64 host_sp, host_code, host_ret;
extern const char host_done[], host_unwind[];

__asm__(".text\n"
	"host_enter:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, host_sp(%rip)\n"
	"	push host_regs+128(%rip); popfq\n"
	"	mov host_regs+0(%rip), %rax;   mov host_regs+8(%rip), %rcx\n"
	"	mov host_regs+16(%rip), %rdx;  mov host_regs+24(%rip), %rbx\n"
	"	mov host_regs+32(%rip), %rsp;  mov host_regs+40(%rip), %rbp\n"
	"	mov host_regs+48(%rip), %rsi;  mov host_regs+56(%rip), %rdi\n"
	"	mov host_regs+64(%rip), %r8;   mov host_regs+72(%rip), %r9\n"
	"	mov host_regs+80(%rip), %r10;  mov host_regs+88(%rip), %r11\n"
	"	mov host_regs+96(%rip), %r12;  mov host_regs+104(%rip), %r13\n"
	"	mov host_regs+112(%rip), %r14; mov host_regs+120(%rip), %r15\n"
	"	jmp *host_code(%rip)\n"
	"host_done:\n"
	"	mov %rsp, host_regs+32(%rip)\n"
	"	mov host_sp(%rip), %rsp\n"
	"	pushfq; pop host_regs+128(%rip)\n"
	"	mov %rax, host_regs+0(%rip);   mov %rcx, host_regs+8(%rip)\n"
	"	mov %rdx, host_regs+16(%rip);  mov %rbx, host_regs+24(%rip)\n"
	"	mov %rbp, host_regs+40(%rip)\n"
	"	mov %rsi, host_regs+48(%rip);  mov %rdi, host_regs+56(%rip)\n"
	"	mov %r8, host_regs+64(%rip);   mov %r9, host_regs+72(%rip)\n"
	"	mov %r10, host_regs+80(%rip);  mov %r11, host_regs+88(%rip)\n"
	"	mov %r12, host_regs+96(%rip);  mov %r13, host_regs+104(%rip)\n"
	"	mov %r14, host_regs+112(%rip); mov %r15, host_regs+120(%rip)\n"
	"host_unwind:\n"
	"	cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	static const u8 map[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				   REG_R12, REG_R13, REG_R14, REG_R15};
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	unsigned i;

	if ((u64)g[REG_RIP] < host_code || (u64)g[REG_RIP] >= host_code + 16)
		_exit(99); /* a fault of our own */
	for (i = 0; i < 16; i++)
		host_regs.gpr[i] = (u64)g[map[i]];
	host_regs.flags = (u64)g[REG_EFL];
	host_out.vector = (int)g[REG_TRAPNO];
	host_out.error =
		host_out.vector == X86_PF || host_out.vector == X86_GP ? (u64)g[REG_ERR] : 0;
	host_out.addr = host_out.vector == X86_PF ? (u64)g[REG_CR2] : 0;
	g[REG_RIP] = (greg_t)(uintptr_t)host_unwind;
	g[REG_RSP] = (greg_t)host_sp;
	g[REG_EFL] &= ~(greg_t)(FL_DF | FL_TF | FL_AC | FL_RF);
}

static u8 *code;
u8 *test_buf;

void test_host_init(void)
{
	static u8 alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
	struct sigaction sa = {.sa_sigaction = on_signal,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	u8 *p = mmap(NULL, BUF + 2 * GUARD + 4096, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (p == MAP_FAILED)
		exit(99);
	code = p;
	test_buf = p + 4096 + GUARD;
	if (mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    mprotect(test_buf, BUF, PROT_READ | PROT_WRITE))
		exit(99);
	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	host_code = (u64)(uintptr_t)code;
	host_ret = (u64)(uintptr_t)host_done;
}

void test_host_run(const u8 *bytes, unsigned len, const struct regs *in, struct outcome *out)
{
	static const u8 jmp[6] = {0xff, 0x25};

	memcpy(code, bytes, len);
	memcpy(code + len, jmp, 6); /* jmp *0(%rip) */
	memcpy(code + len + 6, &host_ret, 8);
	host_out = (struct outcome){.vector = -1};
	host_regs = *in;
	host_enter();
	*out = host_out;
	out->r = host_regs;
}

/* --- what the exec functions call -------------------------------------------------------- */

struct x86_cpu *guest;
bool test_slow;

_Noreturn void x86_raise(struct x86_cpu *cpu, const struct x86_fault *f)
{
	cpu->fault = *f;
	longjmp(cpu->on_fault, X86_JMP_FAULT);
}

_Noreturn void x86_raise_gp(struct x86_cpu *cpu, u16 error)
{
	x86_raise(cpu, &(struct x86_fault){.vector = X86_GP, .has_error = true, .error = error});
}

_Noreturn void x86_raise_noerr(struct x86_cpu *cpu, u8 vector)
{
	x86_raise(cpu, &(struct x86_fault){.vector = vector});
}

_Noreturn void x86_restart(struct x86_cpu *cpu)
{
	longjmp(cpu->on_fault, X86_JMP_RESTART);
}

u64 x86_seg_linear(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, enum mem_access acc)
{
	return (u32)(cpu->st.seg[seg].base + off);
}

static void check(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, enum mem_access acc)
{
	struct x86_fault f = {.vector = X86_PF, .has_error = true};
	u64 i;

	if ((u64)((i64)(lin << 16) >> 16) != lin) {
		if (seg == SEG_SS)
			x86_raise(cpu, &(struct x86_fault){.vector = X86_SS, .has_error = true});
		x86_raise_gp(cpu, 0);
	}
	for (i = lin; i < lin + size; i = (i | 4095) + 1) {
		if (range_fits(i - (u64)(uintptr_t)test_buf, 1, BUF))
			continue;
		f.error = PF_U | (acc == MEM_WRITE ? PF_W : 0);
		f.cr2 = i;
		x86_raise(cpu, &f);
	}
}

void *soft_host(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, enum mem_access acc)
{
	struct tlb_ent *t = acc == MEM_WRITE ? cpu->view->wr : cpu->view->rd;

	check(cpu, seg, lin, size, acc);
	if (test_slow)
		return NULL;
	t[lin >> PAGE_BITS & (TLB_ENTRIES - 1)] = (struct tlb_ent){lin & ~4095ull, lin & ~4095ull};
	return (void *)(uintptr_t)lin;
}

u64 soft_load(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size)
{
	u64 val = 0;

	check(cpu, seg, lin, size, MEM_READ);
	memcpy(&val, (void *)(uintptr_t)lin, size);
	return val;
}

void soft_store(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 val, unsigned size)
{
	check(cpu, seg, lin, size, MEM_WRITE);
	memcpy((void *)(uintptr_t)lin, &val, size);
}

u64 soft_rmw_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, struct mem_rmw *r)
{
	check(cpu, seg, lin, size, MEM_WRITE);
	r->host = NULL;
	return soft_load(cpu, seg, lin, size);
}

bool soft_cmpxchg_slow(struct x86_cpu *cpu, struct mem_rmw *r, u64 *old, u64 val)
{
	return ram_cmpxchg((void *)(uintptr_t)r->lin, old, val, r->size);
}

bool soft_cmpxchg16b_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 old[2], const u64 val[2])
{
	return ram_cmpxchg16((void *)(uintptr_t)lin, old, val);
}

void x86_write_rflags(struct x86_cpu *cpu, u64 val, u64 mask)
{
	u64 fl = (x86_rflags(cpu) & ~mask) | (val & mask);

	flags_put(cpu, fl);
	cpu->st.rflags = (fl & ~(u64)FL_ARITH) | FL_FIXED;
}

/* A port that reads as its number plus how often it was used, and keeps what is written. */
u64 port_uses, port_last;

void x86_check_io(struct x86_cpu *cpu, u16 port, unsigned size)
{
	if (port >= 0x8000)
		x86_raise_gp(cpu, 0);
}

void x86_note_io_access(struct x86_cpu *cpu, u16 port, unsigned size)
{
}

u64 vcpu_load(struct vcpu *cpu, struct addrspace *as, u64 addr, unsigned size)
{
	return zero_extend(addr + port_uses++, size);
}

void vcpu_store(struct vcpu *cpu, struct addrspace *as, u64 addr, u64 val, unsigned size)
{
	port_uses++;
	port_last = val;
}

void test_guest_init(void)
{
	guest = aligned_alloc(64, (sizeof(*guest) + 63) & ~63ull);
	memset(guest, 0, sizeof(*guest));
	guest->view = guest->view_ac[0] = calloc(1, sizeof(*guest->view));
	guest->v.machine = calloc(1, sizeof(*guest->v.machine));
	guest->v.state = &guest->st;
	guest->code64 = guest->long_mode = true;
	guest->code_size = CODE64;
	guest->stack_size = 8;
	guest->cpl = 3;
}

void test_guest_forget(void)
{
	memset(guest->view, 0xff, sizeof(*guest->view));
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		guest->view->rd[i].host = guest->view->wr[i].host = 0;
}

void test_guest_run(const struct op *op, const struct regs *in, struct outcome *out)
{
	volatile bool again;

	memcpy(guest->st.gpr, in->gpr, sizeof(in->gpr));
	guest->st.gpr[GPR_ZERO] = 0;
	guest->st.gpr[GPR_PC] = 0x1000;
	guest->st.rflags = (in->flags & ~(u64)FL_ARITH) | FL_FIXED;
	flags_put(guest, in->flags);
	guest->op = op;
	*out = (struct outcome){.vector = -1};
	do {
		again = false;
		switch (setjmp(guest->on_fault)) {
		case 0: op->fn(guest, op); break;
		case X86_JMP_RESTART: again = true; break;
		default:
			out->vector = guest->fault.vector;
			out->error = guest->fault.error;
			out->addr = guest->fault.cr2;
		}
	} while (again);
	memcpy(out->r.gpr, guest->st.gpr, sizeof(in->gpr));
	out->r.flags = x86_rflags(guest);
}
