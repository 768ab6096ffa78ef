/* SPDX-License-Identifier: MIT */
/*
 * identify.c - what the controller and its namespace say of themselves.
 *
 * Source: NVM Express Base Specification 1.4, "Identify command".
 */
#include <stdio.h>

#include "dev/nvme/nvme.h"

enum { CNS_NAMESPACE = 0, CNS_CONTROLLER = 1, CNS_ACTIVE = 2, CNS_DESCRIPTORS = 3 };
enum { CNS_COMMANDS_CONTROLLER = 6, NIDT_UUID = 3, UUID_SIZE = 16 };
enum { /* offsets in Identify Controller */
       CTL_SERIAL = 4,
       CTL_MODEL = 24,
       CTL_FIRMWARE = 64,
       CTL_NQN = 768,
       CTL_POWER = 2048,
};
enum { ONCS_DATASET = 4, ONCS_ZEROES = 8, VWC_PRESENT = 1, VWC_ALL_NS = 6, OAES_NAMESPACE = 0x100 };
enum { LPA_EXTENDED = 4, FRMW_ONE_FIXED = 3, CNTRLTYPE_IO = 1 };
enum { OVER_K = 0x157, CRITICAL_K = 0x175, MAX_POWER_CW = 2500, NS_OPTPERF = 0x10 };
enum { DLFEAT_ZEROES = 1, DLFEAT_DEAC = 8, NS_THIN = 1 };

/* ASCII, padded with spaces. */
static void put_text(u8 *p, size_t size, const char *text)
{
	size_t len = strlen(text);

	memset(p, ' ', size);
	memcpy(p, text, len < size ? len : size);
}

static void put_nqn(const struct nvme *n, u8 *p)
{
	const u8 *u = n->uuid;

	snprintf((char *)p, 256,
		 "nqn.2014-08.org.nvmexpress:uuid:"
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		 u[13], u[14], u[15]);
}

static void controller(const struct nvme *n, u8 *p)
{
	st_le16(p + 0, ld_le16(n->pci.config + PCI_VENDOR));
	st_le16(p + 2, ld_le16(n->pci.config + PCI_SUBVENDOR));
	put_text(p + CTL_SERIAL, 20, *n->serial ? n->serial : n->pci.dev.id);
	put_text(p + CTL_MODEL, 40, "Sundog NVMe");
	put_text(p + CTL_FIRMWARE, 8, SUNDOG_VERSION);
	p[72] = 6; /* recommended arbitration burst, log2 */
	p[77] = NVME_MDTS;
	st_le32(p + 80, NVME_VERSION);
	st_le32(p + 92, OAES_NAMESPACE);
	p[111] = CNTRLTYPE_IO;
	p[258] = NVME_MAX_ABORTS - 1;
	p[259] = NVME_MAX_AERS - 1;
	p[260] = FRMW_ONE_FIXED;
	p[261] = LPA_EXTENDED;
	p[262] = NVME_NR_ERRORS - 1;
	st_le16(p + 266, OVER_K);
	st_le16(p + 268, CRITICAL_K);
	p[512] = 0x66; /* entry sizes: least and most, log2 */
	p[513] = 0x44;
	st_le16(p + 514, NVME_MAX_ENTRIES);
	st_le32(p + 516, 1); /* namespaces */
	st_le16(p + 520, ONCS_DATASET | ONCS_ZEROES);
	p[525] = VWC_PRESENT | VWC_ALL_NS;
	put_nqn(n, p + CTL_NQN);
	st_le16(p + CTL_POWER, MAX_POWER_CW);
}

static void namespace(const struct nvme *n, u8 *p)
{
	u64 blocks = nvme_blocks(n);
	u16 page = (u16)((NVME_PAGE >> n->lba_shift) - 1);

	st_le64(p + 0, blocks);
	st_le64(p + 8, blocks);
	st_le64(p + 16, blocks);
	p[24] = NS_THIN | NS_OPTPERF;
	p[33] = DLFEAT_ZEROES | DLFEAT_DEAC;
	for (unsigned at = 64; at <= 72; at += 2) /* NPWG, NPWA, NPDG, NPDA, NOWS */
		st_le16(p + at, page);
	p[99] = blk_is_read_only(n->disk);
	p[130] = (u8)n->lba_shift;
}

static void descriptors(const struct nvme *n, u8 *p)
{
	p[0] = NIDT_UUID;
	p[1] = UUID_SIZE;
	memcpy(p + 4, n->uuid, UUID_SIZE);
}

u32 nvme_identify(struct nvme_req *r)
{
	const struct nvme *n = r->nvme;
	u32 nsid = cmd_nsid(r), status;
	u8 page[NVME_PAGE] = {0};

	switch (cmd_dword(r, 10) & 0xff) {
	case CNS_NAMESPACE:
		if (nsid != NVME_NSID && nsid != (u32)NVME_ALL_NS)
			return ST_BAD_NAMESPACE | ST_DNR;
		namespace(n, page);
		break;
	case CNS_CONTROLLER: controller(n, page); break;
	case CNS_ACTIVE:
		if (nsid >= 0xfffffffe)
			return ST_BAD_NAMESPACE | ST_DNR;
		if (nsid < NVME_NSID)
			st_le32(page, NVME_NSID);
		break;
	case CNS_DESCRIPTORS:
		if (nsid != NVME_NSID)
			return ST_BAD_NAMESPACE | ST_DNR;
		descriptors(n, page);
		break;
	case CNS_COMMANDS_CONTROLLER: /* of the NVM command set: no limits but MDTS */
		if (cmd_dword(r, 11) >> 24)
			return ST_BAD_FIELD | ST_DNR;
		break;
	default: return ST_BAD_FIELD | ST_DNR;
	}
	status = nvme_map(r, sizeof(page));
	return status ? status : nvme_give(r, page, sizeof(page));
}
