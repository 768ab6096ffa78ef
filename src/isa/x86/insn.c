/* SPDX-License-Identifier: MIT */
/* insn.c - the tables that opcodes.def and operands.def describe. */
#include "isa/x86/insn.h"

/* Bare names as the rows use them. */
enum {
	CF = FL_CF,
	PF = FL_PF,
	AF = FL_AF,
	ZF = FL_ZF,
	SF = FL_SF,
	OF = FL_OF,
	DF = FL_DF,
	IF = FL_IF,
	TF = FL_TF,
	OSZAPC = FL_ARITH,
	OSZAP = OSZAPC & ~CF,
	SZAPC = OSZAPC & ~OF,
	SZAP = OSZAP & ~OF,
	OSZPC = OSZAPC & ~AF,
	SZPC = OSZPC & ~OF,
	SZP = SZPC & ~CF,
	OSAPC = OSZAPC & ~ZF,
	OSZP = OSZPC & ~CF,
	OSZPA = OSZAP,
	OSAP = OSAPC & ~CF,
	ZPC = ZF | PF | CF,
	OSZC = OF | SF | ZF | CF,
};

enum {
	LOCK = A_LOCK,
	CPL0 = A_CPL0,
	ENDS = A_ENDS,
	NO64 = A_NO64,
	ONLY64 = A_ONLY64,
	DEF64 = A_DEF64,
	FORCE64 = A_FORCE64,
	PROT = A_PROT,
	ALIGN = A_ALIGN,
	FPU = A_FPU,
	SSE = A_SSE,
	NOWAIT = A_NOWAIT,
	UNTESTABLE = A_UNTESTABLE,
	RMW = A_RMW,
	WO = A_WO,
	SCALAR = A_SCALAR,
	NOREXB = A_NOREXB,
	PLAIN = A_PLAIN,
	MODX = A_MODX,
	NOREXW = A_NOREXW,
	REXW = A_REXW,
	SRCSIZE = A_SRCSIZE,
	SYNC = A_SYNC,
	REXB = A_REXB,
	AVX = A_AVX,
	AVX512 = A_AVX | A_AVX512,
};

enum {
	EK = EV_K,
	EZ = EV_K | EV_Z,
	EMUST = EV_K | EV_MUST,
	EB = EV_B,
	EER = EV_ER | EV_SAE,
	ESAE = EV_SAE,
	ENF = EV_NF,
	EPACK = EV_PACK,
	EBCAST = EV_BCAST,
};

const struct operand_desc operands[NR_OPERANDS] = {
#define OPERAND(name_, kind_, size_, mem_) [OPND_##name_] = {#name_, OK_##kind_, size_, mem_},
#include "isa/x86/operands.def"
#undef OPERAND
};

/* The functions and thunks that the rows name. */
#define INSN(map_, pfx_, op_, mrm_, name_, fn_, ...) extern exec_fn exec_##fn_;
#define VEC(map_, pfx_, op_, name_, fn_, ...) \
	extern exec_fn exec_##fn_;            \
	extern const char host_t_##map_##_##pfx_##_##op_[];
#define VECI VEC
#define VECY VEC
#define VEC0 VEC
#define VECF VEC
#define VECS VEC
#define VECG(map_, pfx_, op_, ext_, name_, fn_, ...) \
	extern exec_fn exec_##fn_;                   \
	extern const char host_t_##map_##_##pfx_##_##op_##_##ext_[];
#define VEX(map_, pfx_, op_, mrm_, w_, l_, name_, fn_, ...) extern exec_fn exec_##fn_;
#define EVEX VEX
#include "isa/x86/opcodes.def"
#undef INSN

#define ROW(thunk_, map_, pfx_, op_, mrm_, name_, fn_, dst_, src_, imm_, in_, out_, maybe_, \
	    undef_, attr_, feat_, ref_)                                                     \
	{                                                                                   \
		.map = MAP_##map_,                                                          \
		.pfx = PFX_##pfx_,                                                          \
		.op = op_,                                                                  \
		.mrm = MRM_##mrm_,                                                          \
		.name = #name_,                                                             \
		.fn = exec_##fn_,                                                           \
		.dst = OPND_##dst_,                                                         \
		.src = OPND_##src_,                                                         \
		.imm = OPND_##imm_,                                                         \
		.fl_in = in_,                                                               \
		.fl_out = out_,                                                             \
		.fl_maybe = maybe_,                                                         \
		.fl_undef = undef_,                                                         \
		.attr = attr_,                                                              \
		.feature = FEAT_##feat_,                                                    \
		.thunk = thunk_,                                                            \
		.ref = ref_,                                                                \
	},
#define INSN(...) ROW(NULL, __VA_ARGS__)
#define VEC_ROW(out_, map_, pfx_, op_, name_, fn_, dst_, src_, imm_, attr_, feat_)                 \
	ROW(host_t_##map_##_##pfx_##_##op_, map_, pfx_, op_, ANY, name_, fn_, dst_, src_, imm_, 0, \
	    out_, 0, 0, attr_, feat_, #name_)
#define VEC(...) VEC_ROW(0, __VA_ARGS__)
#define VECI VEC
#define VECY VEC
#define VEC0 VEC
#define VECF(...) VEC_ROW(OSZAPC, __VA_ARGS__)
#define VECS VECF
#define VECG(map_, pfx_, op_, ext_, name_, fn_, dst_, attr_, feat_)                              \
	ROW(host_t_##map_##_##pfx_##_##op_##_##ext_, map_, pfx_, op_, EXT_REG(ext_), name_, fn_, \
	    dst_, _, Ib, 0, 0, 0, 0, attr_, feat_, #name_)
#define VEX_ROW(map_, pfx_, op_, mrm_, w_, l_, name_, fn_, dst_, vvvv_, src_, imm_, out_, undef_, \
		attr_, feat_, elem_, evex_)                                                       \
	{                                                                                         \
		.map = MAP_##map_,                                                                \
		.pfx = PFX_##pfx_,                                                                \
		.op = op_,                                                                        \
		.mrm = MRM_##mrm_,                                                                \
		.name = #name_,                                                                   \
		.fn = exec_##fn_,                                                                 \
		.dst = OPND_##dst_,                                                               \
		.src = OPND_##src_,                                                               \
		.imm = OPND_##imm_,                                                               \
		.fl_out = out_,                                                                   \
		.fl_undef = undef_,                                                               \
		.attr = attr_,                                                                    \
		.feature = FEAT_##feat_,                                                          \
		.vvvv = OPND_##vvvv_,                                                             \
		.vex_w = W_##w_,                                                                  \
		.vex_l = L_##l_,                                                                  \
		.elem = elem_,                                                                    \
		.evex = evex_,                                                                    \
		.ref = #name_,                                                                    \
	},
#define VEX(...) VEX_ROW(__VA_ARGS__, 0, 0)
#define EVEX VEX_ROW
const struct insn insns[] = {
#include "isa/x86/opcodes.def"
};
#undef INSN

const unsigned nr_insns = ARRAY_SIZE(insns);
