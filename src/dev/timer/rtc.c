/* SPDX-License-Identifier: MIT */
/*
 * rtc.c - real-time clock and CMOS memory of the PC/AT: Motorola MC146818A.
 *
 * Source: MC146818A data sheet; port 0x70: Intel ICH data sheets, "RTC I/O Registers".
 *
 *   0x70  w: index (bits 6..0) and NMI disable (bit 7); reads 0xff
 *   0x71  r/w: the byte at the index
 *         0x00 seconds, 0x02 minutes, 0x04 hours, 0x06 day of week, 0x07 date, 0x08 month,
 *         0x09 year, 0x32 century; 0x01, 0x03, 0x05 alarm
 *         0x0a A: UIP, DV, RS; power-on 0x26    0x0b B: SET, PIE, AIE, UIE, SQWE, DM, 24/12,
 *         DSE; power-on 0x02                    0x0c C: IRQF, PF, AF, UF; cleared by a read
 *         0x0d D: VRT, reads 0x80               0x0e..0x7f memory
 *
 * A reset clears PIE, AIE, UIE, SQWE and register C; time and memory go on, as with a battery.
 *
 * Time is clock_wall() plus what the guest set.  While SET is 1 or the divider is held in reset
 * (DV 6, 7) the registers stand still; then time goes on from them, SET leaving the fraction of
 * the second alone.  Flags are worked out when somebody looks, or when a timer comes for an
 * interrupt that is enabled.
 *
 * Not modelled: daylight saving (DSE), the square wave, time bases other than 32768 Hz, extended
 * memory at 0x72.
 */
#include "dev/timer/rtc.h"

#include <errno.h>
#include <stdio.h>

#include "dev/map.h"
#include "sundog/err.h"
#include "sundog/machine.h"

#define NS_PER_SEC 1000000000ull

enum {
	RTC_SECONDS,
	RTC_SECONDS_ALARM,
	RTC_MINUTES,
	RTC_MINUTES_ALARM,
	RTC_HOURS,
	RTC_HOURS_ALARM,
	RTC_DAY_OF_WEEK,
	RTC_DATE,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
	RTC_CENTURY = 0x32,
};

enum { A_UIP = 0x80, A_DV = 0x70, A_RS = 0x0f };
enum {
	B_24H = 0x02,
	B_BINARY = 0x04,
	B_SQWE = 0x08,
	B_UIE = 0x10,
	B_AIE = 0x20,
	B_PIE = 0x40,
	B_SET = 0x80
};
enum { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80 };

/* UIP comes 244 us before the update, which takes 1984 us; both end with the second. */
enum { UIP_NS = 244000 + 1984000 };

struct rtc {
	struct device dev;
	struct region region;
	struct irq_line irq;
	struct timer timer;
	const char *base; /* option */

	u8 index;
	bool nmi_masked;
	u8 cmos[128]; /* time registers: as of the last look, A without UIP, C is flags */
	i64 offset;   /* ns: the guest's time minus clock_wall() */
	u8 dow_shift; /* day of week minus that of the date */
	u64 seen;     /* the guest's time up to which flags are known */
};

/* --- dates ------------------------------------------------------------------------ */

struct date {
	unsigned year, month, day;
};

/* Days since 1970-01-01 of a date in the Gregorian calendar; year from 1970. */
static u64 days_from_date(unsigned y, unsigned m, unsigned d)
{
	/* Years that begin in March put the leap day last. */
	unsigned year = m <= 2 ? y - 1 : y, month = m <= 2 ? m + 9 : m - 3;
	u64 days = 365ull * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d;

	return days - 719469;
}

static struct date date_from_days(u64 days)
{
	u64 z = days + 719468, era = z / 146097, doe = z % 146097;
	u64 yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = (unsigned)(doe - (365 * yoe + yoe / 4 - yoe / 100));
	unsigned mp = (5 * doy + 2) / 153;
	struct date d = {
		.year = (unsigned)(yoe + era * 400) + (mp >= 10),
		.month = mp < 10 ? mp + 3 : mp - 9,
		.day = doy - (153 * mp + 2) / 5 + 1,
	};

	return d;
}

/* --- registers and time ------------------------------------------------------------- */

static u8 to_reg(const struct rtc *r, unsigned n)
{
	return (u8)(r->cmos[RTC_B] & B_BINARY ? n : (n / 10 % 10) << 4 | n % 10);
}

static unsigned from_reg(const struct rtc *r, u8 v)
{
	return r->cmos[RTC_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 hours_to_reg(const struct rtc *r, unsigned h)
{
	if (r->cmos[RTC_B] & B_24H)
		return to_reg(r, h);
	return (u8)(to_reg(r, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0));
}

static unsigned hours_from_reg(const struct rtc *r, u8 v)
{
	if (r->cmos[RTC_B] & B_24H)
		return from_reg(r, v);
	return from_reg(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

static bool divider_runs(const struct rtc *r)
{
	return (r->cmos[RTC_A] & A_DV) < 0x60;
}

static bool rtc_runs(const struct rtc *r)
{
	return !(r->cmos[RTC_B] & B_SET) && divider_runs(r);
}

/* The guest's time in ns since 1970; under SET, its seconds mean nothing. */
static u64 rtc_now(struct rtc *r)
{
	return clock_wall(r->dev.machine) + (u64)r->offset;
}

static void regs_from_time(struct rtc *r, u64 sec)
{
	u64 days = sec / 86400;
	unsigned s = (unsigned)(sec % 86400);
	struct date d = date_from_days(days);

	r->cmos[RTC_SECONDS] = to_reg(r, s % 60);
	r->cmos[RTC_MINUTES] = to_reg(r, s / 60 % 60);
	r->cmos[RTC_HOURS] = hours_to_reg(r, s / 3600);
	r->cmos[RTC_DAY_OF_WEEK] = to_reg(r, (unsigned)((days + 4 + r->dow_shift) % 7) + 1);
	r->cmos[RTC_DATE] = to_reg(r, d.day);
	r->cmos[RTC_MONTH] = to_reg(r, d.month);
	r->cmos[RTC_YEAR] = to_reg(r, d.year % 100);
	r->cmos[RTC_CENTURY] = to_reg(r, d.year / 100);
}

/* Values no clock shows are taken for the nearest one. */
static unsigned clamp(unsigned v, unsigned lo, unsigned hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static u64 time_from_regs(struct rtc *r)
{
	unsigned century = clamp(from_reg(r, r->cmos[RTC_CENTURY]), 19, 99);
	unsigned year = century * 100 + clamp(from_reg(r, r->cmos[RTC_YEAR]), 0, 99);
	u64 days = days_from_date(clamp(year, 1970, 9999),
				  clamp(from_reg(r, r->cmos[RTC_MONTH]), 1, 12),
				  clamp(from_reg(r, r->cmos[RTC_DATE]), 1, 31));
	unsigned dow = clamp(from_reg(r, r->cmos[RTC_DAY_OF_WEEK]), 1, 7) - 1;

	r->dow_shift = (u8)((dow + 7 - (days + 4) % 7) % 7);
	return days * 86400 + clamp(hours_from_reg(r, r->cmos[RTC_HOURS]), 0, 23) * 3600 +
	       clamp(from_reg(r, r->cmos[RTC_MINUTES]), 0, 59) * 60 +
	       clamp(from_reg(r, r->cmos[RTC_SECONDS]), 0, 59);
}

/* Time goes on from the registers, sub_ns into their second. */
static void set_time(struct rtc *r, u64 sub_ns)
{
	u64 now = time_from_regs(r) * NS_PER_SEC + sub_ns;

	r->offset = (i64)(now - clock_wall(r->dev.machine));
	r->seen = now;
}

/* --- interrupts ----------------------------------------------------------------------- */

/* The periodic rate in cycles of 32768 Hz; 0: none. */
static u64 periodic_cycles(const struct rtc *r)
{
	unsigned rs = r->cmos[RTC_A] & A_RS;

	if (!rs)
		return 0;
	return 1ull << (rs <= 2 ? rs + 6 : rs - 1);
}

/* Cycles of 32768 Hz that have begun at time ns; exact, for whole seconds are apart. */
static u64 cycles_at(u64 ns)
{
	return ns / NS_PER_SEC * 32768 + ns % NS_PER_SEC * 32768 / NS_PER_SEC;
}

static u64 cycle_start(u64 cycle)
{
	return cycle / 32768 * NS_PER_SEC + (cycle % 32768 * NS_PER_SEC + 32767) / 32768;
}

/* One field of the alarm: does v match?  0xc0 and up means any. */
static bool alarm_matches(const struct rtc *r, unsigned reg, unsigned v)
{
	u8 a = r->cmos[reg];

	if (a >= 0xc0)
		return true;
	return v == (reg == RTC_HOURS_ALARM ? hours_from_reg(r, a) : from_reg(r, a));
}

/* The next second after sec that the alarm is for, or 0: none ever comes. */
static u64 next_alarm(const struct rtc *r, u64 sec)
{
	u64 midnight = (sec + 1) / 86400 * 86400;
	unsigned from = (unsigned)((sec + 1) % 86400), minute[2] = {60, 60}, second[2] = {60, 60};

	/* The first match at all, and the first from where we are, in each field. */
	for (unsigned i = 60; i-- > 0;) {
		if (alarm_matches(r, RTC_MINUTES_ALARM, i)) {
			minute[0] = i;
			if (i > from / 60 % 60)
				minute[1] = i;
		}
		if (alarm_matches(r, RTC_SECONDS_ALARM, i)) {
			second[0] = i;
			if (i >= from % 60)
				second[1] = i;
		}
	}
	if (minute[0] == 60 || second[0] == 60)
		return 0;
	for (unsigned h = from / 3600; h < 48; h++) {
		if (!alarm_matches(r, RTC_HOURS_ALARM, h % 24))
			continue;
		if (h != from / 3600)
			return midnight + h * 3600 + minute[0] * 60 + second[0];
		if (alarm_matches(r, RTC_MINUTES_ALARM, from / 60 % 60) && second[1] < 60)
			return midnight + from / 60 * 60 + second[1];
		if (minute[1] < 60)
			return midnight + h * 3600 + minute[1] * 60 + second[0];
	}
	return 0;
}

/* Set the flags for what has happened since the last look. */
static void rtc_flags(struct rtc *r, u64 now)
{
	u64 cycles = periodic_cycles(r), old = r->seen, alarm;

	if (now <= old)
		return;
	if (cycles && cycles_at(now) / cycles != cycles_at(old) / cycles)
		r->cmos[RTC_C] |= C_PF;
	if (rtc_runs(r) && now / NS_PER_SEC != old / NS_PER_SEC) {
		r->cmos[RTC_C] |= C_UF;
		alarm = next_alarm(r, old / NS_PER_SEC);
		if (alarm && alarm <= now / NS_PER_SEC)
			r->cmos[RTC_C] |= C_AF;
	}
	r->seen = now;
}

static u64 earlier(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* When the next enabled interrupt comes, in the guest's time; ~0: never. */
static u64 next_event(struct rtc *r)
{
	u64 cycles = periodic_cycles(r), next = ~0ull, alarm;
	u8 b = r->cmos[RTC_B];

	if ((b & B_PIE) && cycles)
		next = cycle_start((cycles_at(r->seen) / cycles + 1) * cycles);
	if (!rtc_runs(r))
		return next;
	if (b & B_UIE)
		next = earlier(next, (r->seen / NS_PER_SEC + 1) * NS_PER_SEC);
	if (b & B_AIE) {
		alarm = next_alarm(r, r->seen / NS_PER_SEC);
		if (alarm)
			next = earlier(next, alarm * NS_PER_SEC);
	}
	return next;
}

/* Bring registers, flags, IRQ and timer up to date.  Before and after each change. */
static void rtc_update(struct rtc *r)
{
	u64 next = ~0ull, now = 0;
	u8 *c = &r->cmos[RTC_C];

	if (divider_runs(r)) {
		now = rtc_now(r);
		rtc_flags(r, now);
	}
	if (rtc_runs(r))
		regs_from_time(r, r->seen / NS_PER_SEC);
	*c &= ~C_IRQF;
	if (*c & r->cmos[RTC_B] & (C_PF | C_AF | C_UF))
		*c |= C_IRQF;
	irq_set(&r->irq, *c & C_IRQF);
	/* While IRQF is set the line says nothing new: wait until register C is read. */
	if (now && !(*c & C_IRQF))
		next = next_event(r);
	if (next == ~0ull)
		timer_cancel(r->dev.machine->loop, &r->timer);
	else
		timer_arm(r->dev.machine->loop, &r->timer,
			  clock_now(r->dev.machine, CLOCK_GUEST) + (next > now ? next - now : 0));
}

static void rtc_timer(struct timer *t)
{
	rtc_update(container_of(t, struct rtc, timer));
}

/* --- ports ------------------------------------------------------------------------------ */

static bool is_time(unsigned i)
{
	return (i <= RTC_YEAR && i != RTC_SECONDS_ALARM && i != RTC_MINUTES_ALARM &&
		i != RTC_HOURS_ALARM) ||
	       i == RTC_CENTURY;
}

static u8 cmos_read(struct rtc *r, unsigned i)
{
	u8 val = r->cmos[i];

	switch (i) {
	case RTC_A:
		if (rtc_runs(r) && r->seen % NS_PER_SEC >= NS_PER_SEC - UIP_NS)
			val |= A_UIP;
		break;
	case RTC_C:
		r->cmos[RTC_C] = 0;
		/* Now, for the next event may have come before the line is looked at again. */
		irq_set(&r->irq, false);
		break;
	case RTC_D: val = 0x80; break;
	}
	return val;
}

/* Registers A and B: what starts and stops time, and how registers show it. */
static void control_write(struct rtc *r, unsigned i, u8 val)
{
	bool ran = rtc_runs(r), divider_ran = divider_runs(r);

	if (i == RTC_A)
		r->cmos[RTC_A] = val & ~A_UIP;
	else
		r->cmos[RTC_B] = val & B_SET ? val & ~B_UIE : val;
	/* "The first update cycle begins one-half second" after the divider's reset. */
	if (!divider_ran && divider_runs(r)) {
		r->offset += (i64)(NS_PER_SEC / 2) - (i64)(rtc_now(r) % NS_PER_SEC);
		r->seen = rtc_now(r);
	}
	if (!ran && rtc_runs(r))
		set_time(r, rtc_now(r) % NS_PER_SEC);
}

static void cmos_write(struct rtc *r, unsigned i, u8 val)
{
	if (i == RTC_A || i == RTC_B) {
		control_write(r, i, val);
	} else if (i == RTC_C || i == RTC_D) {
		guest_error(&r->dev, "write to a read-only register");
	} else {
		r->cmos[i] = val;
		if (is_time(i) && rtc_runs(r))
			set_time(r, r->seen % NS_PER_SEC);
	}
}

static u64 rtc_read(void *dev, u64 off, unsigned size)
{
	struct rtc *r = dev;
	u8 val;

	if (!off)
		return 0xff;
	rtc_update(r);
	val = cmos_read(r, r->index);
	rtc_update(r);
	return val;
}

static void rtc_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct rtc *r = dev;

	if (!off) {
		r->index = val & 0x7f;
		r->nmi_masked = val & 0x80;
		return;
	}
	rtc_update(r);
	cmos_write(r, r->index, (u8)val);
	rtc_update(r);
}

static const struct io_ops rtc_ops = {rtc_read, rtc_write, IO_8};

void rtc_connect(struct device *dev, struct irq_line irq)
{
	((struct rtc *)dev)->irq = irq;
}

void rtc_set_cmos(struct device *dev, u8 index, u8 val)
{
	if (index > RTC_D && index < 0x80 && index != RTC_CENTURY)
		((struct rtc *)dev)->cmos[index] = val;
}

bool rtc_nmi_masked(struct device *dev)
{
	return ((struct rtc *)dev)->nmi_masked;
}

/* The option "base": utc, or a date and time at which the machine begins. */
static int set_base(struct rtc *r, struct err *e)
{
	unsigned y, mo, d, h, mi, s;
	char end;
	u64 sec;

	if (!strcmp(r->base, "utc"))
		return 0;
	if (sscanf(r->base, "%4u-%2u-%2uT%2u:%2u:%2u%c", &y, &mo, &d, &h, &mi, &s, &end) != 6 ||
	    y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 59)
		return err_set(e, -EINVAL,
			       "%s: base=%s is no time: give utc or, for example, "
			       "2026-01-31T12:00:00",
			       r->dev.id, r->base);
	sec = days_from_date(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
	r->offset = (i64)(sec * NS_PER_SEC - clock_wall(r->dev.machine));
	return 0;
}

static int rtc_realize(struct device *dev, struct err *e)
{
	struct rtc *r = (struct rtc *)dev;
	int rc = set_base(r, e);

	if (rc)
		return rc;
	r->cmos[RTC_A] = 0x26;
	r->cmos[RTC_B] = B_24H;
	r->seen = rtc_now(r);
	r->timer = (struct timer){.owner = dev, .fn = rtc_timer, .clock = CLOCK_GUEST};
	r->region = (struct region){
		.name = "rtc",
		.base = 0x70,
		.size = 2,
		.kind = REGION_IO,
		.ops = &rtc_ops,
		.opaque = r,
		.owner = dev,
	};
	return dev_map(dev, dev->machine->pio, &r->region, 1, e);
}

static void rtc_unrealize(struct device *dev)
{
	struct rtc *r = (struct rtc *)dev;

	timer_cancel(dev->machine->loop, &r->timer);
	dev_unmap(dev->machine->pio, &r->region, 1);
}

static void rtc_reset(struct device *dev)
{
	struct rtc *r = (struct rtc *)dev;

	r->index = 0;
	r->nmi_masked = false;
	r->cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	r->cmos[RTC_C] = 0;
	rtc_update(r);
}

static int rtc_post_load(struct device *dev, struct err *e)
{
	struct rtc *r = (struct rtc *)dev;

	if (r->index > 127 || r->dow_shift > 6)
		return err_set(e, -EINVAL, "%s: its state is damaged", dev->id);
	if (r->seen > rtc_now(r))
		r->seen = rtc_now(r);
	rtc_update(r);
	return 0;
}

static const struct param rtc_params[] = {
	{"base", PARAM_STR, offsetof(struct rtc, base), "utc",
	 "utc, or the time at start as 2026-01-31T12:00:00"},
	{0},
};

static const struct state_field rtc_state[] = {
	STATE_FIELD(struct rtc, index, STATE_INT),
	STATE_FIELD(struct rtc, nmi_masked, STATE_INT),
	STATE_FIELD(struct rtc, cmos, STATE_BLOB),
	STATE_FIELD(struct rtc, offset, STATE_INT),
	STATE_FIELD(struct rtc, dow_shift, STATE_INT),
	STATE_FIELD(struct rtc, seen, STATE_INT),
	{0},
};

const struct device_type mc146818rtc_type = {
	.name = "mc146818rtc",
	.doc = "real-time clock and CMOS memory",
	.size = sizeof(struct rtc),
	.version = 1,
	.params = rtc_params,
	.state = rtc_state,
	.realize = rtc_realize,
	.unrealize = rtc_unrealize,
	.reset = rtc_reset,
	.post_load = rtc_post_load,
};
