/* SPDX-License-Identifier: MIT */
/* The list of image formats. */
#include "block/format.h"

const struct blk_format *const blk_formats[] = {&blk_raw, &blk_qcow2, NULL};
