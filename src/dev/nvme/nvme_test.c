/* SPDX-License-Identifier: MIT */
/*
 * nvme_test.c - the controller with a small driver at the other end: commands, errors, PRP
 * lists, queues that are full, requests that take their time, resets and shutdown among them.
 */
#include "dev/testbed.h"

#include "dev/memdisk.h"
#include "dev/nvme/nvme.h"
#include "dev/pci/host.h"

#define ECAM 0xb0008000ull
#define BAR 0xc0000000ull

/* The driver's memory. */
enum { ASQ = 0x10000, ACQ = 0x14000, SQ = 0x18000, CQ = 0x1c000, LIST = 0x20000, DATA = 0x40000 };
enum { ADMIN_ENTRIES = 32, IO_ENTRIES = 8, CC_ON = 0x460001, LATER = 0xffff };

const struct device_type *const device_types[] = {&pci_host_type, &nvme_type, NULL};

static struct machine *m;
static struct device *dev;

/* One pair of queues as the driver sees it. */
static struct pair {
	unsigned id, size, tail, head, phase;
	gpa_t sq, cq;
} admin, io;

struct cmd {
	u8 op;
	u32 nsid;
	u64 prp1, prp2;
	u32 dw10, dw11, dw12;
};

static u32 rd(u32 reg)
{
	return (u32)as_load(m->mem, BAR + reg, 4);
}

static void wr(u32 reg, u32 val)
{
	as_store(m->mem, BAR + reg, val, 4);
}

static u16 put(struct pair *p, const struct cmd *c)
{
	static u16 cid;
	gpa_t at = p->sq + p->tail * NVME_SQE;

	memset(tb_ram + at, 0, NVME_SQE);
	as_store(m->mem, at, (u32)++cid << 16 | c->op, 4);
	as_store(m->mem, at + 4, c->nsid, 4);
	as_store(m->mem, at + 24, c->prp1, 8);
	as_store(m->mem, at + 32, c->prp2, 8);
	as_store(m->mem, at + 40, c->dw10, 4);
	as_store(m->mem, at + 44, c->dw11, 4);
	as_store(m->mem, at + 48, c->dw12, 4);
	p->tail = (p->tail + 1) % p->size;
	return cid;
}

static void ring(const struct pair *p)
{
	wr(NVME_DOORBELLS + 8 * p->id, p->tail);
}

/* The next completion's status without DNR, LATER if there is none. */
static u16 reap(struct pair *p, u16 *cid, u32 *result)
{
	gpa_t at = p->cq + p->head * NVME_CQE;
	u16 status = (u16)as_load(m->mem, at + 14, 2);

	if ((status & 1) != p->phase)
		return LATER;
	if (cid)
		*cid = (u16)as_load(m->mem, at + 12, 2);
	if (result)
		*result = (u32)as_load(m->mem, at, 4);
	p->head++;
	if (p->head == p->size) {
		p->head = 0;
		p->phase = !p->phase;
	}
	wr(NVME_DOORBELLS + 8 * p->id + 4, p->head);
	return status >> 1 & 0x7ff;
}

static u16 call_result(struct pair *p, struct cmd c, u32 *result)
{
	u16 cid = put(p, &c), got = 0, status;

	ring(p);
	status = reap(p, &got, result);
	CHECK(status == LATER || got == cid);
	return status;
}

static u16 call(struct pair *p, struct cmd c)
{
	return call_result(p, c, NULL);
}

static void pair_init(struct pair *p, unsigned id, unsigned size, gpa_t sq, gpa_t cq)
{
	*p = (struct pair){.id = id, .size = size, .phase = 1, .sq = sq, .cq = cq};
	memset(tb_ram + cq, 0, size * NVME_CQE);
}

static void plug(void)
{
	as_store(m->mem, ECAM + PCI_BAR0, BAR, 4);
	as_store(m->mem, ECAM + PCI_COMMAND, PCI_CMD_MEM | PCI_CMD_MASTER, 2);
	as_store(m->mem, ECAM + 0x42, 0x8000, 2); /* MSI-X on */
	for (unsigned v = 0; v < 3; v++) {
		as_store(m->mem, BAR + 0x2000 + 16 * v, 0xfee00000, 8);
		as_store(m->mem, BAR + 0x2000 + 16 * v + 8, 0x40 + v, 8);
	}
}

static void enable(void)
{
	pair_init(&admin, 0, ADMIN_ENTRIES, ASQ, ACQ);
	wr(NVME_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
	as_store(m->mem, BAR + NVME_ASQ, ASQ, 8);
	as_store(m->mem, BAR + NVME_ACQ, ACQ, 8);
	wr(NVME_CC, CC_ON);
	CHECK(rd(NVME_CSTS) == CSTS_RDY);
}

static u16 make_cq(unsigned id, unsigned entries, unsigned vector)
{
	return call(&admin, (struct cmd){.op = ADM_CREATE_CQ,
					 .prp1 = CQ,
					 .dw10 = (entries - 1) << 16 | id,
					 .dw11 = vector << 16 | 3});
}

static u16 make_sq(unsigned id, unsigned entries, unsigned cq)
{
	return call(&admin, (struct cmd){.op = ADM_CREATE_SQ,
					 .prp1 = SQ,
					 .dw10 = (entries - 1) << 16 | id,
					 .dw11 = cq << 16 | 1});
}

static void make_io(unsigned cq_entries)
{
	pair_init(&io, 1, IO_ENTRIES, SQ, CQ);
	CHECK(make_cq(1, cq_entries, 1) == 0);
	CHECK(make_sq(1, IO_ENTRIES, 1) == 0);
}

static void restart(void)
{
	wr(NVME_CC, 0);
	CHECK(rd(NVME_CSTS) == 0);
	enable();
	make_io(IO_ENTRIES);
}

static struct cmd rw(u8 op, u64 lba, unsigned blocks, u64 prp1, u64 prp2)
{
	return (struct cmd){.op = op,
			    .nsid = 1,
			    .prp1 = prp1,
			    .prp2 = prp2,
			    .dw10 = (u32)lba,
			    .dw11 = (u32)(lba >> 32),
			    .dw12 = blocks - 1};
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_registers(void)
{
	CHECK(as_load(m->mem, BAR, 8) == 0x203c0103ffull);
	CHECK(rd(NVME_VS) == 0x10400 && rd(NVME_CSTS) == 0);
	wr(NVME_INTMS, 5);
	wr(NVME_INTMC, 1);
	CHECK(rd(NVME_INTMS) == 4);
	wr(NVME_CC, CC_ON); /* no admin queues */
	CHECK(rd(NVME_CSTS) == CSTS_CFS);
	wr(NVME_CC, 0);
	wr(NVME_AQA, 0x10001);
	wr(NVME_CC, CC_ON | 1 << CC_MPS_SHIFT);
	CHECK(rd(NVME_CSTS) == CSTS_CFS);
	wr(NVME_CC, 0);
	CHECK(rd(NVME_CSTS) == 0);
}

static void test_identify(void)
{
	struct cmd id = {.op = ADM_IDENTIFY, .prp1 = DATA, .dw10 = 1};

	CHECK(call(&admin, id) == 0);
	CHECK(memcmp(tb_ram + DATA + 4, "sn7                 ", 20) == 0);
	CHECK(tb_ram[DATA + 512] == 0x66 && tb_ram[DATA + 77] == 7);
	id.dw10 = 0;
	CHECK(call(&admin, id) == ST_BAD_NAMESPACE);
	id.nsid = 1;
	CHECK(call(&admin, id) == 0 && ld_le64(tb_ram + DATA) == MEMDISK_SIZE / 512);
	CHECK(tb_ram[DATA + 130] == 9);
	id.dw10 = 2;
	CHECK(call(&admin, id) == 0 && ld_le32(tb_ram + DATA) == 0);
	id.nsid = 0;
	CHECK(call(&admin, id) == 0 && ld_le64(tb_ram + DATA) == 1);
	id.dw10 = 3;
	CHECK(call(&admin, id) == ST_BAD_NAMESPACE);
	id.nsid = 1;
	/* Across two pages, neither at its start: the second may not. */
	id.prp1 = DATA + 0x800;
	id.prp2 = DATA + 0x1800;
	CHECK(call(&admin, id) == ST_BAD_PRP);
	id.prp2 = DATA + 0x1000;
	CHECK(call(&admin, id) == 0 && tb_ram[DATA + 0x800] == 3);
	id.dw10 = 0x44;
	CHECK(call(&admin, id) == ST_BAD_FIELD);
	id.dw10 = 1;
	id.prp1 = 1ull << 40;
	CHECK(call(&admin, id) == ST_TRANSFER_ERROR);
	CHECK(call(&admin, (struct cmd){.op = 0x80}) == ST_BAD_OPCODE);
}

static void test_features(void)
{
	struct cmd get = {.op = ADM_GET_FEATURES}, set = {.op = ADM_SET_FEATURES};
	u32 val;

	get.dw10 = set.dw10 = FEAT_NUM_QUEUES;
	set.dw11 = 0x3f003f;
	CHECK(call_result(&admin, set, &val) == 0 && val == 0x10001);
	set.dw11 = 0xffff;
	CHECK(call(&admin, set) == ST_BAD_FIELD);
	get.dw10 = FEAT_WRITE_CACHE;
	CHECK(call_result(&admin, get, &val) == 0 && val == 1);
	set.dw10 = get.dw10 = FEAT_TEMPERATURE;
	set.dw11 = get.dw11 = 1 << 20;
	set.dw11 |= 400;
	CHECK(call(&admin, set) == 0);
	CHECK(call_result(&admin, get, &val) == 0 && val == 400);
	get.dw11 = 0;
	CHECK(call_result(&admin, get, &val) == 0 && val == 0x157);
	set.dw10 |= 1u << 31;
	CHECK(call(&admin, set) == ST_NOT_SAVEABLE);
	get.dw10 = 0x7f;
	CHECK(call(&admin, get) == ST_BAD_FIELD);
}

static void test_queues(void)
{
	CHECK(make_sq(1, 8, 1) == ST_BAD_CQ && make_sq(1, 8, 0) == ST_BAD_QID);
	CHECK(make_cq(0, 8, 0) == ST_BAD_QID && make_cq(3, 8, 0) == ST_BAD_QID);
	CHECK(make_cq(1, 1, 0) == ST_BAD_QUEUE_SIZE && make_cq(1, 1025, 0) == ST_BAD_QUEUE_SIZE);
	CHECK(make_cq(1, 8, 3) == ST_BAD_VECTOR && make_cq(1, 8, 1) == 0);
	CHECK(make_cq(1, 8, 1) == ST_BAD_QID && make_sq(1, 8, 1) == 0);
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_CQ, .dw10 = 1}) == ST_BAD_DELETION);
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_SQ, .dw10 = 1}) == 0);
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_SQ, .dw10 = 1}) == ST_BAD_QID);
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_CQ, .dw10 = 1}) == 0);
}

static void test_io(void)
{
	unsigned msis = tb.msis;

	memset(tb_ram + DATA, 0x5a, 0x2000);
	CHECK(call(&io, rw(NVM_WRITE, 3, 2, DATA, 0)) == 0);
	CHECK(disk.data[3 * 512] == 0x5a && disk.data[5 * 512 - 1] == 0x5a && !disk.data[5 * 512]);
	CHECK(tb.msis == msis + 1 && tb.msi.data == 0x41 && !disk.last.flags);
	CHECK(call(&io, rw(NVM_READ, 3, 1, DATA + 0x8000, 0)) == 0);
	CHECK(tb_ram[DATA + 0x81ff] == 0x5a && !tb_ram[DATA + 0x8200]);
	CHECK(call(&io, (struct cmd){NVM_FLUSH, 0xffffffff}) == 0 && disk.flushes == 1);
	CHECK(call(&io, rw(NVM_READ, MEMDISK_SIZE / 512 - 1, 2, DATA, 0)) == ST_LBA_RANGE);
	CHECK(call(&io, rw(NVM_READ, ~0ull, 1, DATA, 0)) == ST_LBA_RANGE);
	CHECK(call(&io, rw(NVM_READ, 0, 1025, DATA, 0)) == ST_BAD_FIELD);
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA + 2, 0)) == ST_BAD_PRP);
	CHECK(call(&io, rw(NVM_READ, 0, 1, TB_RAM, 0)) == ST_TRANSFER_ERROR);
	CHECK(call(&io, (struct cmd){NVM_FLUSH, 2}) == ST_BAD_NAMESPACE);
	CHECK(call(&io, (struct cmd){0x7f, 1}) == ST_BAD_OPCODE);
	disk.error = -EIO;
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == ST_READ_ERROR);
	CHECK(call(&io, rw(NVM_WRITE, 0, 1, DATA, 0)) == ST_WRITE_FAULT);
	disk.error = -ENOSPC;
	CHECK(call(&io, rw(NVM_WRITE, 0, 1, DATA, 0)) == ST_CAPACITY);
	disk.error = 0;
	disk.read_only = true;
	CHECK(call(&io, rw(NVM_WRITE, 0, 1, DATA, 0)) == ST_WRITE_PROTECTED);
	disk.read_only = false;
}

static void test_zeroes(void)
{
	struct cmd c = rw(NVM_WRITE_ZEROES, 3, 1, 0, 0);
	u8 *range = tb_ram + LIST;

	c.dw12 |= 1 << 25;
	CHECK(call(&io, c) == 0 && disk.last.flags == BLK_UNMAP);
	CHECK(!disk.data[3 * 512] && disk.data[4 * 512] == 0x5a);
	memset(disk.data, 7, 0x2000);
	memset(range, 0, 48);
	st_le32(range + 4, 2);
	st_le64(range + 8, 1);
	st_le32(range + 36, 1);
	st_le64(range + 40, 5);
	c = (struct cmd){NVM_DATASET, 1, LIST, 0, 2, 4, 0}; /* three ranges, one empty */
	CHECK(call(&io, c) == 0 && disk.data[511] == 7 && !disk.data[512] && !disk.data[1535]);
	CHECK(disk.data[1536] == 7 && !disk.data[5 * 512] && disk.data[6 * 512] == 7);
	st_le64(range + 40, MEMDISK_SIZE);
	CHECK(call(&io, c) == ST_LBA_RANGE);
	/* One after the other also when each takes its time. */
	st_le64(range + 40, 6);
	disk.hold = true;
	CHECK(call(&io, c) == LATER && disk.nr_held == 1);
	memdisk_finish(0);
	CHECK(disk.nr_held == 1 && reap(&io, NULL, NULL) == LATER);
	memdisk_finish(0);
	CHECK(reap(&io, NULL, NULL) == 0 && !disk.data[6 * 512]);
	disk.hold = false;
}

/* Every length and offset that needs a list, and a list across pages. */
static void test_prp(void)
{
	for (unsigned i = 0; i < 128; i++)
		st_le64(tb_ram + LIST + 8 * i, DATA + 0x1000 * (i + 1));
	for (unsigned i = 0; i < 0x80000; i++)
		disk.data[i] = (u8)(i / 512 * 7 + i);
	CHECK(call(&io, rw(NVM_READ, 0, 1024, DATA, LIST)) == 0);
	CHECK(memcmp(tb_ram + DATA, disk.data, 0x80000) == 0 && disk.last.iovcnt == 1);
	CHECK(call(&io, rw(NVM_READ, 1, 64, DATA + 0x204, LIST)) == 0);
	CHECK(memcmp(tb_ram + DATA + 0x204, disk.data + 512, 64 * 512) == 0);
	/* Three entries before the end of a page, of which the last leads on. */
	for (unsigned i = 0; i < 2; i++)
		st_le64(tb_ram + LIST + 0xfe8 + 8 * i, DATA + 0x2000 * (i + 1));
	st_le64(tb_ram + LIST + 0xff8, LIST + 0x2000);
	st_le64(tb_ram + LIST + 0x2000, DATA + 0x6000);
	st_le64(tb_ram + LIST + 0x2008, DATA + 0x8000);
	CHECK(call(&io, rw(NVM_READ, 0, 40, DATA, LIST + 0xfe8)) == 0 && disk.last.iovcnt == 5);
	CHECK(memcmp(tb_ram + DATA + 0x6000, disk.data + 0x3000, 0x1000) == 0);
	CHECK(memcmp(tb_ram + DATA + 0x8000, disk.data + 0x4000, 0x1000) == 0);
	st_le64(tb_ram + LIST + 0xff8, LIST + 0x2008);
	CHECK(call(&io, rw(NVM_READ, 0, 40, DATA, LIST + 0xfe8)) == ST_BAD_PRP);
	st_le64(tb_ram + LIST, DATA + 8);
	CHECK(call(&io, rw(NVM_READ, 0, 24, DATA, LIST)) == ST_BAD_PRP);
	CHECK(call(&io, rw(NVM_READ, 0, 24, DATA, LIST + 4)) == ST_BAD_PRP);
	CHECK(call(&io, rw(NVM_READ, 0, 24, DATA, TB_RAM)) == ST_TRANSFER_ERROR);
}

/* A completion queue with room for one: the rest waits in the submission queue. */
static void test_full(void)
{
	struct cmd flush = {NVM_FLUSH, 1};
	u16 cid[4], got;

	wr(NVME_CC, 0);
	enable();
	make_io(2);
	io.size = 8;
	for (unsigned i = 0; i < 4; i++)
		cid[i] = put(&io, &flush);
	disk.submitted = 0;
	ring(&io);
	for (unsigned i = 0; i < 4; i++) {
		CHECK(disk.submitted == i + 1);
		io.size = 2;
		CHECK(reap(&io, &got, NULL) == 0 && got == cid[i]);
		io.size = 8;
	}
}

static void test_slow(void)
{
	struct cmd read = rw(NVM_READ, 0, 1, DATA, 0);
	u16 cid[2], got;

	restart();
	disk.hold = true;
	for (unsigned i = 0; i < 2; i++)
		cid[i] = put(&io, &read);
	ring(&io);
	CHECK(disk.nr_held == 2 && reap(&io, NULL, NULL) == LATER);
	memdisk_finish(1);
	CHECK(reap(&io, &got, NULL) == 0 && got == cid[1]);

	/* The queue goes when what is in it is done. */
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_SQ, .dw10 = 1}) == LATER);
	memdisk_finish(0);
	CHECK(reap(&io, &got, NULL) == 0 && got == cid[0] && reap(&admin, NULL, NULL) == 0);
	CHECK(call(&admin, (struct cmd){.op = ADM_DELETE_CQ, .dw10 = 1}) == 0);

	/* A reset is over when nothing is in flight, and what comes then touches no queue. */
	make_io(IO_ENTRIES);
	CHECK(call(&io, read) == LATER);
	wr(NVME_CC, 0);
	CHECK(rd(NVME_CSTS) == CSTS_RDY);
	wr(NVME_CC, CC_ON);
	CHECK(rd(NVME_CSTS) == CSTS_RDY);
	wr(NVME_CC, 0);
	memdisk_finish(0);
	CHECK(rd(NVME_CSTS) == 0 && reap(&io, NULL, NULL) == LATER);
	enable();
	make_io(IO_ENTRIES);

	/* So with a reset of the machine. */
	CHECK(call(&io, read) == LATER);
	device_reset_all(m);
	plug();
	memdisk_finish(0);
	CHECK(reap(&io, NULL, NULL) == LATER && rd(NVME_CSTS) == 0);
	disk.hold = false;
	enable();
	make_io(IO_ENTRIES);
}

static void test_shutdown(void)
{
	unsigned flushes = disk.flushes;

	disk.hold = true;
	CHECK(call(&io, rw(NVM_WRITE, 0, 1, DATA, 0)) == LATER);
	wr(NVME_CC, CC_ON | 1 << CC_SHN_SHIFT);
	CHECK(rd(NVME_CSTS) == (CSTS_RDY | CSTS_SHST_OCCURRING));
	memdisk_finish(0);
	CHECK(disk.nr_held == 1 && disk.last.op == BLK_FLUSH);
	CHECK(rd(NVME_CSTS) == (CSTS_RDY | CSTS_SHST_OCCURRING));
	memdisk_finish(0);
	CHECK(rd(NVME_CSTS) == (CSTS_RDY | CSTS_SHST_COMPLETE) && disk.flushes == flushes + 1);
	disk.hold = false;
	restart();
}

static void test_events(void)
{
	struct cmd aer = {.op = ADM_ASYNC_EVENT};
	struct cmd log = {.op = ADM_GET_LOG, .prp1 = DATA, .dw10 = 1023 << 16 | LOG_CHANGED_NS};
	u32 what;

	for (unsigned i = 0; i < NVME_MAX_AERS; i++)
		CHECK(call(&admin, aer) == LATER);
	CHECK(call(&admin, aer) == ST_TOO_MANY_AERS);
	disk_resize(disk.size);
	CHECK(reap(&admin, NULL, NULL) == LATER); /* nobody wants to know */
	CHECK(call(&admin, (struct cmd){.op = ADM_SET_FEATURES, .dw10 = 0xb, .dw11 = 0x100}) == 0);
	disk_resize(MEMDISK_SIZE / 2);
	CHECK(reap(&admin, NULL, &what) == 0 && what == 0x040002);
	disk_resize(disk.size);
	CHECK(reap(&admin, NULL, NULL) == LATER); /* not before the log is read */
	CHECK(call(&admin, log) == 0 && ld_le32(tb_ram + DATA) == 1);
	CHECK(reap(&admin, NULL, &what) == 0 && what == 0x040002);
	CHECK(call(&io, rw(NVM_READ, MEMDISK_SIZE / 1024, 1, DATA, 0)) == ST_LBA_RANGE);
	disk.size = MEMDISK_SIZE;
	wr(NVME_DOORBELLS + 16, 0); /* no such queue yet */
	CHECK(reap(&admin, NULL, &what) == 0 && what == 0x010000);
	log.dw10 = 63 << 16 | LOG_ERRORS;
	CHECK(call(&admin, log) == 0 && ld_le16(tb_ram + DATA + 8) == 1);
	wr(NVME_DOORBELLS + 8, 99);
	CHECK(reap(&admin, NULL, &what) == 0 && what == 0x010100);
	log.dw10 = 127 << 16 | LOG_SMART;
	CHECK(call(&admin, log) == 0 && tb_ram[DATA + 3] == 100 && ld_le64(tb_ram + DATA + 64));
	log.dw10 = 0x77;
	CHECK(call(&admin, log) == ST_BAD_LOG);
}

static void test_intx(void)
{
	restart();
	as_store(m->mem, ECAM + 0x42, 0, 2);
	CHECK(!tb.level[17]);
	put(&admin, &(struct cmd){.op = ADM_IDENTIFY, .prp1 = DATA, .dw10 = 1});
	ring(&admin);
	CHECK(tb.level[17]);
	wr(NVME_INTMS, 1);
	CHECK(!tb.level[17]);
	wr(NVME_INTMC, 1);
	CHECK(tb.level[17] && reap(&admin, NULL, NULL) == 0 && !tb.level[17]);
	as_store(m->mem, ECAM + 0x42, 0x8000, 2);
}

/* A queue that the driver puts outside of memory: the controller gives up, a reset cures it. */
static void test_fatal(void)
{
	struct cmd bad = {.op = ADM_CREATE_SQ, .prp1 = 1ull << 40, .dw10 = 7 << 16 | 2};

	bad.dw11 = 1 << 16 | 1;
	CHECK(call(&admin, bad) == 0);
	wr(NVME_DOORBELLS + 16, 1);
	CHECK(rd(NVME_CSTS) == (CSTS_RDY | CSTS_CFS));
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == LATER);
	restart();
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == 0);
}

/* Without bus mastering it keeps its hands off memory. */
static void test_no_master(void)
{
	as_store(m->mem, ECAM + PCI_COMMAND, PCI_CMD_MEM, 2);
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == LATER);
	as_store(m->mem, ECAM + PCI_COMMAND, PCI_CMD_MEM | PCI_CMD_MASTER, 2);
	CHECK(reap(&io, NULL, NULL) == 0);
}

static void test_state(void)
{
	struct cmd left = rw(NVM_READ, 0, 1, DATA, 0);
	struct buf b = {0};
	struct err e = {0};

	/* One is left in a queue, as when there was too much to do at one go. */
	put(&io, &left);
	((struct nvme *)dev)->sq[1].tail = io.tail;
	CHECK(device_save(dev, &b) == 0);
	device_reset_all(m);
	CHECK(device_load(dev, &b, &e) == 0);
	buf_destroy(&b);
	loop_step(m->loop);
	CHECK(reap(&io, NULL, NULL) == 0);
	plug();
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == 0);
	((struct nvme *)dev)->cq[1].nr_sqs--; /* it could be deleted under its submissions */
	CHECK(nvme_type.post_load(dev, &e) == -EINVAL);
	restart();
	((struct nvme *)dev)->sq[1].cqid = NVME_MAX_QUEUES;
	CHECK(nvme_type.post_load(dev, &e) == -EINVAL);
	restart();
}

static void test_options(void)
{
	static const char *const bad[] = {"nvme,drive=no", "nvme,drive=d0,max_ioqpairs=65",
					  "nvme,drive=d0,logical_block_size=1024",
					  "nvme,drive=d0,serial=123456789012345678901"};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = {0};

		CHECK(!tb_try_add(m, bad[i], &e) && e.code == -EINVAL);
	}
}

int main(void)
{
	m = tb_new();
	tb_add(m, "q35-pcihost");
	test_options();
	dev = tb_add(m, "nvme,drive=d0,serial=sn7,max_ioqpairs=2");
	plug();
	test_registers();
	enable();
	test_identify();
	test_features();
	test_queues();
	make_io(IO_ENTRIES);
	test_io();
	test_zeroes();
	test_prp();
	test_full();
	test_slow();
	test_shutdown();
	test_events();
	test_intx();
	test_fatal();
	test_no_master();
	test_state();
	disk.hold = true; /* it goes with something in flight */
	CHECK(call(&io, rw(NVM_READ, 0, 1, DATA, 0)) == LATER);
	tb_free(m);
	CHECK(!disk.nr_held);
	return 0;
}
