/* SPDX-License-Identifier: MIT */
/*
 * spec.h - numbers of NVM Express: registers, commands, statuses and structures.
 *
 * Source: NVM Express Base Specification 1.4, "Controller Registers", "Admin Command Set",
 * "NVM Command Set", "Status Field Definition".
 */
#ifndef DEV_NVME_SPEC_H
#define DEV_NVME_SPEC_H

enum { /* registers */
       NVME_CAP = 0x00,
       NVME_VS = 0x08,
       NVME_INTMS = 0x0c,
       NVME_INTMC = 0x10,
       NVME_CC = 0x14,
       NVME_CSTS = 0x1c,
       NVME_AQA = 0x24,
       NVME_ASQ = 0x28,
       NVME_ACQ = 0x30,
       NVME_DOORBELLS = 0x1000,
};

enum { /* controller configuration and status */
       CC_EN = 1,
       CC_CSS_SHIFT = 4,
       CC_MPS_SHIFT = 7,
       CC_AMS_SHIFT = 11,
       CC_SHN_SHIFT = 14,
       CC_IOSQES_SHIFT = 16,
       CC_IOCQES_SHIFT = 20,
       CSTS_RDY = 1,
       CSTS_CFS = 2,
       CSTS_SHST = 3 << 2,
       CSTS_SHST_OCCURRING = 1 << 2,
       CSTS_SHST_COMPLETE = 2 << 2,
};

enum { /* of this controller */
       NVME_VERSION = 0x00010400,
       NVME_PAGE = 4096,
       NVME_MAX_ENTRIES = 1024,
       NVME_MDTS = 7, /* log2 of pages */
       NVME_MAX_PAGES = 1 << NVME_MDTS,
       NVME_MAX_TRANSFER = NVME_MAX_PAGES * NVME_PAGE,
       NVME_SQE = 64,
       NVME_CQE = 16,
       NVME_MAX_AERS = 4,
       NVME_MAX_ABORTS = 4,
       NVME_NSID = 1, /* the only namespace */
       NVME_ALL_NS = -1,
};

enum { /* admin commands */
       ADM_DELETE_SQ = 0x00,
       ADM_CREATE_SQ = 0x01,
       ADM_GET_LOG = 0x02,
       ADM_DELETE_CQ = 0x04,
       ADM_CREATE_CQ = 0x05,
       ADM_IDENTIFY = 0x06,
       ADM_ABORT = 0x08,
       ADM_SET_FEATURES = 0x09,
       ADM_GET_FEATURES = 0x0a,
       ADM_ASYNC_EVENT = 0x0c,
};

enum { /* NVM commands */
       NVM_FLUSH = 0x00,
       NVM_WRITE = 0x01,
       NVM_READ = 0x02,
       NVM_WRITE_ZEROES = 0x08,
       NVM_DATASET = 0x09,
};

/* Status codes with their type, as in bits 11:1 of a completion's status field, and DNR. */
enum nvme_status {
	ST_OK = 0,
	ST_BAD_OPCODE = 0x01,
	ST_BAD_FIELD = 0x02,
	ST_TRANSFER_ERROR = 0x04,
	ST_INTERNAL = 0x06,
	ST_BAD_NAMESPACE = 0x0b,
	ST_SEQUENCE = 0x0c,
	ST_BAD_PRP = 0x13,
	ST_WRITE_PROTECTED = 0x20,
	ST_LBA_RANGE = 0x80,
	ST_CAPACITY = 0x81,
	ST_BAD_CQ = 0x100,
	ST_BAD_QID = 0x101,
	ST_BAD_QUEUE_SIZE = 0x102,
	ST_TOO_MANY_AERS = 0x105,
	ST_BAD_VECTOR = 0x108,
	ST_BAD_LOG = 0x109,
	ST_BAD_DELETION = 0x10c,
	ST_NOT_SAVEABLE = 0x10d,
	ST_NOT_CHANGEABLE = 0x10e,
	ST_WRITE_FAULT = 0x280,
	ST_READ_ERROR = 0x281,
	ST_DNR = 0x4000,    /* it would fail again */
	ST_LATER = 0x10000, /* not a status: the completion comes later, or never */
};

enum { /* features */
       FEAT_ARBITRATION = 0x01,
       FEAT_POWER = 0x02,
       FEAT_TEMPERATURE = 0x04,
       FEAT_ERROR_RECOVERY = 0x05,
       FEAT_WRITE_CACHE = 0x06,
       FEAT_NUM_QUEUES = 0x07,
       FEAT_COALESCING = 0x08,
       FEAT_VECTOR = 0x09,
       FEAT_ATOMICITY = 0x0a,
       FEAT_EVENTS = 0x0b,
       FEAT_EVENTS_NAMESPACE = 1 << 8,
       NVME_NR_FEATURES = 0x0c,
};

enum { LOG_ERRORS = 1, LOG_SMART = 2, LOG_FIRMWARE = 3, LOG_CHANGED_NS = 4 };

#endif
