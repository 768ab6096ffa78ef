/* SPDX-License-Identifier: MIT */
/*
 * gen_decode_index.c - build-time program: prints the index from opcode to rows of insns[],
 * so that the decoder's tables are constants.
 */
#include <stdio.h>

#include "isa/x86/insn.h"

struct key {
	u8 map, pfx, op;
	u16 mrm;
};

#define INSN(map_, pfx_, op_, mrm_, ...) {MAP_##map_, PFX_##pfx_, op_, MRM_##mrm_},
static const struct key keys[] = {
#include "isa/x86/opcodes.def"
};
#undef INSN

/* Rows of one opcode: those with a mandatory prefix first, for the first match wins. */
static unsigned print_rows(unsigned map, unsigned op, bool *modrm)
{
	unsigned n = 0;

	for (int any = 0; any < 2; any++) {
		for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
			const struct key *k = &keys[i];

			if (k->map != map || k->op != op || (k->pfx == PFX_ANY) != any)
				continue;
			printf("%u,", i);
			*modrm |= k->mrm != MRM_NONE;
			n++;
		}
	}
	return n;
}

int main(void)
{
	static struct {
		unsigned first, n;
		bool modrm;
	} b[NR_MAPS][256];
	unsigned total = 0;

	printf("static const u16 decode_rows[] = {");
	for (unsigned m = 0; m < NR_MAPS; m++) {
		for (unsigned o = 0; o < 256; o++) {
			b[m][o].first = total;
			b[m][o].n = print_rows(m, o, &b[m][o].modrm);
			total += b[m][o].n;
		}
	}
	printf("};\nstatic const struct decode_bucket decode_index[NR_MAPS][256] = {\n");
	for (unsigned m = 0; m < NR_MAPS; m++) {
		printf("{");
		for (unsigned o = 0; o < 256; o++)
			printf("{%u,%u,%d},", b[m][o].first, b[m][o].n, b[m][o].modrm);
		printf("},\n");
	}
	printf("};\n");
	return 0;
}
