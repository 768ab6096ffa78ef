/* SPDX-License-Identifier: MIT */
/*
 * rsp.h - framing of GDB's remote serial protocol: "$data#checksum", acknowledgements, escapes.
 *
 * Bytes in, packets out, and back; it knows neither sockets nor machines.
 * Source: GDB manual, "Remote Protocol", "Overview" and "Packet Acknowledgment".
 */
#ifndef DEBUG_RSP_H
#define DEBUG_RSP_H

#include "sundog/device.h"

enum { RSP_PACKET_MAX = 16384 }; /* bytes between $ and #, as they are on the wire */

enum rsp_event {
	RSP_NOTHING,
	RSP_PACKET, /* rsp->in has one */
	RSP_BREAK,  /* Ctrl-C */
};

struct rsp {
	u8 in[RSP_PACKET_MAX + 1]; /* unescaped; a NUL follows */
	size_t in_len;
	enum { RSP_IDLE, RSP_DATA, RSP_SUM1, RSP_SUM2 } state;
	size_t wire_len; /* of the packet coming in */
	u8 sum, given;	 /* checksums: counted; as it stands in the packet */
	bool escaped, bad;
	bool no_ack;
	struct buf out;	   /* to be sent; .pos: how much has been */
	struct buf answer; /* the packet being made */
	struct buf last;   /* the last one sent, framed: for a '-' */
};

void rsp_init(struct rsp *r);
void rsp_destroy(struct rsp *r);

enum rsp_event rsp_byte(struct rsp *r, u8 c);

/* Bytes that wait to be sent. */
static inline size_t rsp_waiting(const struct rsp *r)
{
	return r->out.len - r->out.pos;
}
void rsp_sent(struct rsp *r, size_t n);

/* An answer: begin, add what belongs to it, send. */
void rsp_begin(struct rsp *r);
void rsp_add(struct rsp *r, const char *text);
void rsp_addf(struct rsp *r, const char *fmt, ...) printf_fmt(2);
void rsp_add_hex(struct rsp *r, const void *p, size_t len);
void rsp_add_binary(struct rsp *r, const void *p, size_t len);
void rsp_end(struct rsp *r);
/* All at once. */
void rsp_send(struct rsp *r, const char *text);

/* Value of a hexadecimal digit, or -1. */
int rsp_digit(u8 c);
/* A number at *s, not beyond end: at most 16 digits.  Moves *s. */
bool rsp_number(const u8 **s, const u8 *end, u64 *val) must_check;
/* Pairs of digits to bytes; returns how many, or -1 if it is not all such pairs. */
long rsp_unhex(const u8 *s, size_t len, u8 *to, size_t room);

#endif
