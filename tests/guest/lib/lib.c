/* SPDX-License-Identifier: MIT */
/* lib.c - output on COM1, checks and their count, the end by isa-debug-exit. */
#include "guest.h"

#include <stdarg.h>

enum { COM1 = 0x3f8, LSR = 5, THR_EMPTY = 0x20, DEBUG_EXIT = 0xf4 };
enum { PASSED = 16, FAILED = 1 };

static volatile unsigned checks, failures, print_lock;

static void put(char c)
{
	while (!(inb(COM1 + LSR) & THR_EMPTY))
		;
	outb(COM1, (u8)c);
}

static void put_hex(u64 v)
{
	unsigned n = 1;

	while (n < 16 && v >> 4 * n)
		n++;
	while (n-- > 0)
		put("0123456789abcdef"[v >> 4 * n & 15]);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_decimal(unsigned v)
{
	if (v >= 10)
		put_decimal(v / 10);
	put((char)('0' + v % 10));
}

/* %s, %u, %x, %lx, %llx, %%. */
static void vprint(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		unsigned longs = 0;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		while (*++fmt == 'l')
			longs++;
		if (*fmt == 's')
			put_string(va_arg(ap, const char *));
		else if (*fmt == 'u')
			put_decimal(va_arg(ap, unsigned));
		else if (*fmt == 'x')
			put_hex(longs > 1    ? va_arg(ap, unsigned long long)
				: longs == 1 ? va_arg(ap, unsigned long)
					     : va_arg(ap, unsigned));
		else
			put(*fmt);
	}
}

static void lock(void)
{
	while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE))
		pause();
}

static void unlock(void)
{
	__atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
}

void print(const char *fmt, ...)
{
	va_list ap;

	lock();
	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
	unlock();
}

static bool verdict(bool ok)
{
	__atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);
	if (!ok)
		__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
	return ok;
}

bool check(const char *name, u64 got, u64 expected)
{
	if (got == expected)
		print("ok %s\n", name);
	else
		print("FAIL %s: expected %llx, got %llx\n", name, (unsigned long long)expected,
		      (unsigned long long)got);
	return verdict(got == expected);
}

bool check_true(const char *name, bool ok)
{
	print(ok ? "ok %s\n" : "FAIL %s: expected true, got false\n", name);
	return verdict(ok);
}

bool check_between(const char *name, u64 got, u64 low, u64 high)
{
	bool ok = got >= low && got <= high;

	if (ok)
		print("ok %s\n", name);
	else
		print("FAIL %s: expected %llx to %llx, got %llx\n", name, (unsigned long long)low,
		      (unsigned long long)high, (unsigned long long)got);
	return verdict(ok);
}

bool check_trap(const char *name, const struct ctx *c, unsigned vector, reg_t error, const void *ip)
{
	bool ok = c->vector == vector && c->error == error && c->ip == (reg_t)ip;

	if (ok)
		print("ok %s\n", name);
	else
		print("FAIL %s: expected vector %x error %lx at %lx, got vector %lx error %lx at "
		      "%lx "
		      "(cs %lx flags %lx cr2 %lx)\n",
		      name, vector, error, (reg_t)ip, c->vector, c->error, c->ip, c->cs, c->flags,
		      c->cr2);
	return verdict(ok);
}

bool check_done(const char *name, const struct ctx *c)
{
	return check_trap(name, c, DONE_VECTOR, 0, (const void *)c->ip);
}

void skip(const char *name, const char *why)
{
	print("skip %s: %s\n", name, why);
}

static _Noreturn void leave(u8 how)
{
	for (;;) {
		outb(DEBUG_EXIT, how);
		asm volatile("cli; hlt");
	}
}

void finish(void)
{
	print("end %u checks, %u failed\n", checks, failures);
	leave(checks && !failures ? PASSED : FAILED);
}

void give_up(const char *why)
{
	print("FAIL %s\n", why);
	leave(FAILED);
}

void *memset(void *p, int c, size_t n)
{
	void *to = p;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return p;
}

void *memcpy(void *p, const void *q, size_t n)
{
	void *to = p;

	asm volatile("rep movsb" : "+D"(to), "+S"(q), "+c"(n)::"memory");
	return p;
}

int memcmp(const void *p, const void *q, size_t n)
{
	const u8 *a = p, *b = q;

	for (; n; a++, b++, n--)
		if (*a != *b)
			return *a - *b;
	return 0;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (u8)*a - (u8)*b;
}
