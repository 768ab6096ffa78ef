/* SPDX-License-Identifier: MIT */
/* rsp.c - framing of GDB's remote serial protocol. */
#include "debug/rsp.h"

#include <stdarg.h>
#include <stdio.h>

static const char digits[] = "0123456789abcdef";

void rsp_init(struct rsp *r)
{
	memset(r, 0, sizeof(*r));
}

void rsp_destroy(struct rsp *r)
{
	buf_destroy(&r->out);
	buf_destroy(&r->answer);
	buf_destroy(&r->last);
}

int rsp_digit(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool rsp_number(const u8 **s, const u8 *end, u64 *val)
{
	unsigned n = 0;

	*val = 0;
	for (; *s < end && rsp_digit(**s) >= 0; (*s)++, n++)
		*val = *val << 4 | (u64)rsp_digit(**s);
	return n > 0 && n <= 16;
}

long rsp_unhex(const u8 *s, size_t len, u8 *to, size_t room)
{
	if (len % 2 || len / 2 > room)
		return -1;
	for (size_t i = 0; i < len; i += 2) {
		int high = rsp_digit(s[i]), low = rsp_digit(s[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		to[i / 2] = (u8)(high << 4 | low);
	}
	return (long)(len / 2);
}

/* --- in ------------------------------------------------------------------------------------ */

static void begin_packet(struct rsp *r)
{
	r->state = RSP_DATA;
	r->in_len = r->wire_len = 0;
	r->sum = 0;
	r->escaped = r->bad = false;
}

static enum rsp_event idle_byte(struct rsp *r, u8 c)
{
	switch (c) {
	case '$': begin_packet(r); break;
	case 3: return RSP_BREAK;
	case '-':
		/* Once it is out: who only asks for repeats gets no flood. */
		if (!r->no_ack && !rsp_waiting(r))
			buf_add(&r->out, r->last.data, r->last.len);
		break;
	default: break;
	}
	return RSP_NOTHING;
}

static void data_byte(struct rsp *r, u8 c)
{
	if (c == '$') { /* the rest of the one before got lost */
		begin_packet(r);
		return;
	}
	if (c == '#') {
		r->state = RSP_SUM1;
		return;
	}
	r->sum += c;
	if (r->wire_len++ >= RSP_PACKET_MAX) {
		r->bad = true;
		return;
	}
	if (r->escaped) {
		r->in[r->in_len++] = c ^ 0x20;
		r->escaped = false;
	} else if (c == '}') {
		r->escaped = true;
	} else {
		r->in[r->in_len++] = c;
	}
}

static enum rsp_event end_packet(struct rsp *r, u8 c)
{
	int low = rsp_digit(c);

	r->state = RSP_IDLE;
	if (low < 0 || r->given > 0xf || (r->given << 4 | low) != r->sum) {
		if (!r->no_ack)
			buf_add(&r->out, "-", 1);
		return RSP_NOTHING;
	}
	if (!r->no_ack)
		buf_add(&r->out, "+", 1);
	if (r->bad || r->escaped) {
		rsp_send(r, "E22");
		return RSP_NOTHING;
	}
	r->in[r->in_len] = 0;
	return RSP_PACKET;
}

enum rsp_event rsp_byte(struct rsp *r, u8 c)
{
	switch (r->state) {
	case RSP_IDLE: return idle_byte(r, c);
	case RSP_DATA: data_byte(r, c); return RSP_NOTHING;
	case RSP_SUM1:
		r->given = (u8)rsp_digit(c); /* 255 if it is none */
		r->state = RSP_SUM2;
		return RSP_NOTHING;
	case RSP_SUM2: return end_packet(r, c);
	}
	return RSP_NOTHING;
}

/* --- out ------------------------------------------------------------------------------------ */

void rsp_sent(struct rsp *r, size_t n)
{
	r->out.pos += n;
	if (r->out.pos == r->out.len)
		r->out.pos = r->out.len = 0;
}

void rsp_begin(struct rsp *r)
{
	r->answer.len = 0;
}

void rsp_add_binary(struct rsp *r, const void *p, size_t len)
{
	const u8 *b = p;

	for (size_t i = 0; i < len; i++) {
		u8 esc[2] = {'}', b[i] ^ 0x20};

		if (b[i] == '$' || b[i] == '#' || b[i] == '}' || b[i] == '*')
			buf_add(&r->answer, esc, 2);
		else
			buf_add(&r->answer, &b[i], 1);
	}
}

void rsp_add(struct rsp *r, const char *text)
{
	rsp_add_binary(r, text, strlen(text));
}

void rsp_addf(struct rsp *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rsp_add(r, text);
}

void rsp_add_hex(struct rsp *r, const void *p, size_t len)
{
	const u8 *b = p;

	for (size_t i = 0; i < len; i++) {
		char two[2] = {digits[b[i] >> 4], digits[b[i] & 15]};

		buf_add(&r->answer, two, 2);
	}
}

void rsp_end(struct rsp *r)
{
	char tail[3] = {'#'};
	u8 sum = 0;

	for (size_t i = 0; i < r->answer.len; i++)
		sum += r->answer.data[i];
	tail[1] = digits[sum >> 4];
	tail[2] = digits[sum & 15];
	r->last.len = 0;
	buf_add(&r->last, "$", 1);
	buf_add(&r->last, r->answer.data, r->answer.len);
	buf_add(&r->last, tail, 3);
	buf_add(&r->out, r->last.data, r->last.len);
}

void rsp_send(struct rsp *r, const char *text)
{
	rsp_begin(r);
	rsp_add(r, text);
	rsp_end(r);
}
