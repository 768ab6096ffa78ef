/* SPDX-License-Identifier: MIT */
/*
 * fpu_image_test.c - what FSTENV, FSAVE, FXSAVE and XSAVE leave in memory and take from it,
 * against the host CPU (fpu_judge.h).
 */
#include "isa/x86/fpu/fpu_judge.h"

/* These bytes on both; then memory and state must be the same. */
static void image_case(const u8 *bytes, unsigned len, const char *name)
{
	static struct judge j;
	struct op op;
	unsigned at = 0;

	memset(mem + 1024, 0xa5, 1024);
	memcpy(code, bytes, len);
	code[len] = 0xc3;
	judge_host(&j);
	while (at < len) {
		u8 one[16] = {0};
		int n = x86_decode(bytes + at, len - at, CODE64, 0, &op);

		memcpy(one, bytes + at, n);
		memcpy(code, one, 16);
		if (!run_guest(&op, n))
			break;
		at += n;
	}
	memcpy(code, bytes, len);
	check(at == len, name);
	compare(row_named(name), &j, false);
}

static void test_env(void)
{
	/* [rdi] to [rbx]: fldenv, fnstenv; frstor, fnsave; with 66 as well. */
	static const struct {
		const char *name;
		u8 len, b[8];
	} t[] = {
		{"fnstenv", 4, {0xd9, 0x27, 0xd9, 0x33}},
		{"fnstenv", 6, {0x66, 0xd9, 0x27, 0x66, 0xd9, 0x33}},
		{"fnsave", 4, {0xdd, 0x27, 0xdd, 0x33}},
		{"fnsave", 6, {0x66, 0xdd, 0x27, 0x66, 0xdd, 0x33}},
		{"fldcw", 4, {0xd9, 0x2f, 0xd9, 0x3b}},
	};

	for (unsigned i = 0; i < 200 * ARRAY_SIZE(t); i++) {
		unsigned n = i % ARRAY_SIZE(t);
		u8 *env = mem + 256;

		case_seed = seed;
		random_state(false);
		cpu->st.gpr[RDI] = (u64)(uintptr_t)env;
		cpu->st.gpr[RBX] = (u64)(uintptr_t)mem + 1024;
		for (unsigned k = 0; k < 128; k++)
			env[k] = (u8)rnd();
		if (rnd() % 4)
			env[0] |= 0x3f; /* else something is pending afterwards */
		/* The host gives selectors as it likes. */
		env[16] = env[17] = env[24] = env[25] = 0;
		if (t[n].b[0] == 0x66)
			env[8] = env[9] = env[12] = env[13] = 0;
		image_case(t[n].b, t[n].len, t[n].name);
	}
}

static void test_pointers(void)
{
	struct op op;

	random_state(false);
	cpu->st.seg[SEG_CS].sel = 0x33;
	cpu->st.seg[SEG_DS].sel = 0x2b;
	memcpy(code, "\xd9\x07", 2); /* fld dword [rdi] */
	check(run_guest(&op, 2), "fld");
	check(cpu->st.x87.fip == 0x400000 && cpu->st.x87.fcs == 0x33 && cpu->st.x87.fop == 0x107 &&
		      cpu->st.x87.fdp == cpu->st.gpr[RDI] && cpu->st.x87.fds == 0x2b,
	      "FIP, FOP and FDP after a load");
	memcpy(code, "\xd9\xe8", 2); /* fld1 */
	check(run_guest(&op, 2), "fld1");
	check(cpu->st.x87.fop == 0x1e8 && cpu->st.x87.fdp == cpu->st.gpr[RDI],
	      "FOP and FDP after a register form");
	memcpy(code, "\xdb\xe2", 2); /* fnclex */
	check(run_guest(&op, 2), "fnclex");
	check(cpu->st.x87.fop == 0x1e8, "control instructions leave FOP");
}

/* The formats of real mode, which the host cannot show: SDM volume 1, figures 8-10 and 8-12. */
static void test_env_real(void)
{
	u8 *img = mem + 1024;
	struct op op;

	random_state(false);
	cpu->st.cr0 = CR0_NE;
	cpu->st.x87.fip = 0x1234;
	cpu->st.x87.fcs = 0xf000;
	cpu->st.x87.fdp = 0x0010;
	cpu->st.x87.fds = 0x2345;
	cpu->st.x87.fop = 0x123;
	cpu->st.gpr[RDI] = (u64)(uintptr_t)img;
	memcpy(code, "\xd9\x37", 2); /* fnstenv [rdi] */
	check(run_guest(&op, 2), "fnstenv");
	check(ld_le16(img + 12) == 0x1234 && ld_le32(img + 16) == (0xf000 | 0x123) &&
		      ld_le16(img + 20) == 0x3460 && ld_le32(img + 24) == 0x2000,
	      "the 32-bit real format");
	memcpy(code, "\x66\xd9\x37", 3);
	check(run_guest(&op, 3), "fnstenv");
	check(ld_le16(img + 6) == 0x1234 && ld_le16(img + 8) == (0xf000 | 0x123) &&
		      ld_le16(img + 10) == 0x3460 && ld_le16(img + 12) == 0x2000,
	      "the 16-bit real format");
	memcpy(code, "\x66\xd9\x27", 3); /* fldenv [rdi] */
	check(run_guest(&op, 3), "fldenv");
	check(cpu->st.x87.fip == 0xf1234 && cpu->st.x87.fcs == 0 && cpu->st.x87.fdp == 0x23460 &&
		      cpu->st.x87.fop == 0x123,
	      "fldenv of the 16-bit real format");
	cpu->st.cr0 = CR0_PE | CR0_NE;
}

/* FIP, FOP and FDP are ours, and the host's are unlike between vendors. */
static void clear_pointers(u8 *img)
{
	memset(img + 6, 0, 18);
}

static void test_xsave(void)
{
	/* xsave64 [rdi], xsavec64 [rdi], fxsave64 [rdi] */
	static const struct {
		const char *name;
		u8 len, b[4];
	} t[] = {{"xsave", 4, {0x48, 0x0f, 0xae, 0x27}},
		 {"xsavec", 4, {0x48, 0x0f, 0xc7, 0x27}},
		 {"fxsave", 4, {0x48, 0x0f, 0xae, 0x07}}};

	for (unsigned i = 0; i < 300; i++) {
		unsigned n = i % ARRAY_SIZE(t);
		static struct judge j;
		struct op op;

		if (!host_cpuid_bit(1, 0, 2, 27) || !host_cpuid_bit(0xd, 1, 0, 1))
			continue; /* no OSXSAVE, no XSAVEC */
		case_seed = seed;
		random_state(false);
		cpu->st.x87.ftw |= 1;
		cpu->st.gpr[RDI] = (u64)(uintptr_t)mem + 1024;
		cpu->st.gpr[RAX] = i / 3 % 4;
		cpu->st.gpr[RDX] = 0;
		memset(mem + 1024, 0xa5, 1024);
		memset(mem + 1024 + 512, 0, 64);
		memcpy(code, t[n].b, t[n].len);
		code[t[n].len] = 0xc3;
		judge_host(&j);
		check(run_guest(&op, t[n].len), t[n].name);
		/* Padding behind ST(i) and what the host keeps as MXCSR_MASK. */
		clear_pointers(mem + 1024);
		clear_pointers(mem_host + 1024);
		if (mem[1024 + 28] != 0xa5)
			memcpy(mem_host + 1024 + 28, mem + 1024 + 28, 4);
		for (unsigned k = 0; k < 8; k++)
			memcpy(mem_host + 1024 + 42 + 16 * k, mem + 1024 + 42 + 16 * k, 6);
		compare(row_named(t[n].name), &j, false);
	}
}

static void test_xsave_round_trip(void)
{
	static const u8 save[][4] = {{0x48, 0x0f, 0xae, 0x27}, {0x48, 0x0f, 0xc7, 0x27}};
	static const u8 restore[] = {0x48, 0x0f, 0xae, 0x2f};
	static u8 area[1024];
	struct cpu_state before;
	struct op op;

	for (unsigned i = 0; i < 100; i++) {
		random_state(false);
		if (i % 3 == 0)
			exec_fninit(cpu, &op), memset(cpu->st.x87.st, 0, 128);
		if (i % 5 == 0)
			memset(cpu->st.v, 0, sizeof(cpu->st.v));
		cpu->st.gpr[RDI] = (u64)(uintptr_t)mem + 1024;
		cpu->st.gpr[RAX] = 3;
		cpu->st.gpr[RDX] = 0;
		memset(mem + 1024, 0, 1024);
		before = cpu->st;
		memcpy(code, save[i % 2], 4);
		check(run_guest(&op, 4), "a save");
		check((mem[1024 + 512] & 1) == (i % 3 != 0), "XSTATE_BV of x87");
		memcpy(area, mem + 1024, 1024);
		random_state(false);
		memcpy(mem + 1024, area, 1024);
		memcpy(cpu->st.gpr, before.gpr, sizeof(before.gpr));
		memcpy(code, restore, 4);
		check(run_guest(&op, 4), "xrstor");
		if (i % 2 || i % 5)
			check(cpu->st.mxcsr == before.mxcsr, "MXCSR restored");
		check(!memcmp(&cpu->st.x87, &before.x87, sizeof(before.x87)), "x87 restored");
		for (unsigned k = 0; k < 16; k++)
			check(!memcmp(&cpu->st.v[k], &before.v[k], 16), "vectors restored");
	}
	/* Restores that must be refused. */
	memset(mem + 1024, 0, 1024);
	cpu->st.gpr[RAX] = 3;
	memcpy(code, restore, 4);
	check(faults_at((u64)(uintptr_t)mem + 1024 + 16, 4, X86_GP), "xrstor alignment");
	mem[1024 + 512] = 4;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a component not in XCR0");
	mem[1024 + 512] = 3;
	mem[1024 + 520] = 1;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a reserved header bit");
	mem[1024 + 520] = 0;
	mem[1024 + 26] = 1;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a reserved MXCSR bit");
}

/* With CR0.NE clear an exception stays pending while instructions go on; the host sees none. */
static void test_pending(void)
{
	static const u8 code_bytes[][2] = {{0xd8, 0xc1}, {0xd9, 0xfa}, {0xd9, 0x07}, {0xdd, 0x1f}};
	struct op op;

	for (unsigned i = 0; i < ARRAY_SIZE(code_bytes); i++) {
		random_state(false);
		cpu->st.cr0 &= ~(u64)CR0_NE;
		cpu->st.x87.fcw = 0x340;
		cpu->st.x87.ftw = 0xff;
		cpu->st.x87.fsw = FSW_ZE | FSW_ES | FSW_B;
		memcpy(code, code_bytes[i], 2);
		check(run_guest(&op, 2), "x87 with CR0.NE clear");
		check((cpu->st.x87.fsw & (FSW_ZE | FSW_ES)) == (FSW_ZE | FSW_ES), "still pending");
		cpu->st.cr0 |= CR0_NE;
	}
}

int main(int argc, char **argv)
{
	judge_init(argc, argv);
	test_env();
	test_env_real();
	test_pointers();
	test_xsave();
	test_xsave_round_trip();
	test_pending();
	return judge_verdict();
}
