/* SPDX-License-Identifier: MIT */
/* interp.h - the interpreter as an engine. */
#ifndef ENGINE_INTERP_H
#define ENGINE_INTERP_H

#include "sundog/engine.h"

extern const struct engine_ops interp_engine;

#endif
