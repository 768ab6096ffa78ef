/* SPDX-License-Identifier: MIT */
/* payload.c - something to debug: two CPUs that count, and a way to crash and to reset. */
typedef unsigned long long u64;

volatile u64 counter, watched, read_only = 7, second_counter, second_watched;
volatile int do_crash, do_reset, do_halt, bytes[8];
extern const char trampoline[], trampoline_end[];

static void write_apic(unsigned reg, unsigned val)
{
	*(volatile unsigned *)(0xfee00000ul + reg) = val;
}

__attribute__((noinline)) int square(int n)
{
	int result = n * n;

	watched = (u64)result;
	return result;
}

/* The test turns its "mov $1, %eax" into another number. */
__asm__(".globl answer, after_answer\n"
	"answer: mov $1, %eax\n"
	"ret\n"
	"after_answer: nop\n");
extern int answer(void);
volatile int last_answer;

__attribute__((noinline)) u64 look(void)
{
	return read_only;
}

__attribute__((noinline)) void crash(void)
{
	static const struct {
		unsigned short limit;
		u64 base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void reset(void)
{
	__asm__ volatile("outb %0, %1" : : "a"((char)0xfe), "Nd"((short)0x64));
}

static void fill(void)
{
	u64 n = sizeof(bytes) / sizeof(bytes[0]);
	void *to = (void *)bytes;

	__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0x11111111) : "memory");
}

void second_main(void);
__attribute__((noinline)) void second_step(void)
{
	second_counter++;
	if (second_counter % 1000 == 0)
		second_watched = second_counter;
}

void second_main(void)
{
	for (;;)
		second_step();
}

static void start_second(void)
{
	for (int i = 0; i < trampoline_end - trampoline; i++)
		((volatile char *)0x8000)[i] = trampoline[i];
	write_apic(0xf0, 0x1ff);
	write_apic(0x310, 1u << 24);
	write_apic(0x300, 0x4500);
	write_apic(0x310, 1u << 24);
	write_apic(0x300, 0x4608);
}

int main(void);
int main(void)
{
	start_second();
	for (int n = 0;; n++) {
		int s = square(n & 0xff);

		counter += (u64)s;
		look();
		last_answer = answer();
		if (n % 16 == 0)
			fill();
		if (do_crash)
			crash();
		if (do_reset)
			reset();
		if (do_halt)
			__asm__ volatile("cli; hlt");
	}
}
