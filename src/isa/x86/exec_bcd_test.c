/* SPDX-License-Identifier: MIT */
/*
 * exec_bcd_test.c - the decimal instructions against the host CPU, in its 32-bit mode.
 *
 * They do not exist in 64-bit code, so the test far-returns into the 32-bit code segment that
 * Linux keeps for 32-bit programs, and far-jumps back.  Where there is none (the kernel was
 * built or booted without it), the test is skipped.
 */
#include <cpuid.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isa/x86/exec_test.h"

u64 bcd_sp;
extern const char bcd_done[];
u64 bcd_run(u32 eax, u32 flags, u8 *page);

/* page: 32-bit code; its end is the stack.  Returns flags << 32 | eax. */
__asm__(".text\n"
	"bcd_run:\n"
	"	push %rbx; push %rbp\n"
	"	mov %rsp, bcd_sp(%rip)\n"
	"	mov %edi, %eax\n"
	"	lea 4096(%rdx), %rsp\n"
	"	push $0x23; push %rdx; lretq\n"
	"bcd_done:\n"
	"	mov bcd_sp(%rip), %rsp\n"
	"	shl $32, %rcx; mov %eax, %eax; or %rcx, %rax\n"
	"	pop %rbp; pop %rbx; ret\n");

static u8 *page;

static void assemble(const u8 *insn, unsigned len)
{
	u8 *p = page;
	u64 done = (u64)(uintptr_t)bcd_done;

	*p++ = 0x56; /* push esi */
	*p++ = 0x9d; /* popfd */
	memcpy(p, insn, len);
	p += len;
	*p++ = 0x9c; /* pushfd */
	*p++ = 0x59; /* pop ecx */
	*p++ = 0xea; /* jmp 33:64 bytes into the page */
	st_le32(p, (u32)(uintptr_t)page + 64);
	st_le16(p + 4, 0x33);
	p = page + 64; /* 64-bit again: jmp *0(%rip) */
	*p++ = 0xff;
	*p++ = 0x25;
	st_le32(p, 0);
	memcpy(p + 4, &done, 8);
}

static bool have_32bit(void)
{
	int status;
	pid_t pid;

	assemble((const u8[]){0x90}, 1);
	pid = fork();
	if (pid == 0)
		_exit((u32)bcd_run(42, 2, page) != 42);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static const struct bcd {
	const char *name;
	exec_fn *fn;
	u8 bytes[2];
	unsigned len;
	u16 undef;
} insns[] = {
	{"aaa", exec_aaa, {0x37}, 1, FL_OF | FL_SF | FL_ZF | FL_PF},
	{"aas", exec_aas, {0x3f}, 1, FL_OF | FL_SF | FL_ZF | FL_PF},
	{"daa", exec_daa, {0x27}, 1, FL_OF},
	{"das", exec_das, {0x2f}, 1, FL_OF},
	{"aam", exec_aam, {0xd4, 10}, 2, FL_OF | FL_AF | FL_CF},
	{"aam 7", exec_aam, {0xd4, 7}, 2, FL_OF | FL_AF | FL_CF},
	{"aad", exec_aad, {0xd5, 10}, 2, FL_OF | FL_AF | FL_CF},
	{"aad 0xf3", exec_aad, {0xd5, 0xf3}, 2, FL_OF | FL_AF | FL_CF},
};

static bool check(const struct bcd *t, u32 ax, u64 flags, u64 mask)
{
	struct op op = {.fn = t->fn, .imm = t->bytes[1], .size = 1};
	struct regs in = {.gpr = {0xabcd0000u | ax}, .flags = flags};
	u64 host = bcd_run((u32)in.gpr[RAX], (u32)flags, page);
	struct outcome ours;

	test_guest_run(&op, &in, &ours);
	if ((u32)host == ours.r.gpr[RAX] && !((host >> 32 ^ ours.r.flags) & mask))
		return true;
	printf("FAIL %s ax %04x flags %03llx: host %04x %03llx, ours %04x %03llx\n", t->name, ax,
	       (long long)flags, (u16)host, (long long)(host >> 32 & FL_ARITH),
	       (u16)ours.r.gpr[RAX], (long long)(ours.r.flags & FL_ARITH));
	return false;
}

int main(void)
{
	unsigned failed = 0, i, ax, fl, a, b, c, d;
	u64 mask;

	__cpuid(0, a, b, c, d);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (page == MAP_FAILED || !have_32bit()) {
		puts("no 32-bit code segment here: skipped");
		return 77;
	}
	test_guest_init();
	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		assemble(insns[i].bytes, insns[i].len);
		mask = FL_ARITH & ~(b == signature_AMD_ebx ? 0 : insns[i].undef);
		for (ax = 0; ax < 0x10000 && failed < 2000; ax += ax < 0x400 ? 1 : 37) {
			for (fl = 0; fl < 4; fl++)
				failed += !check(&insns[i], ax,
						 (fl & 1 ? FL_CF | FL_OF : 0) |
							 (fl & 2 ? FL_AF | FL_PF : 0) | FL_FIXED,
						 mask);
		}
	}
	printf("%u failed\n", failed);
	return failed != 0;
}
