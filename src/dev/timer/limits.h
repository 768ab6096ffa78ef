/* SPDX-License-Identifier: MIT */
/* limits.h - how often a guest may have a timer interrupt. */
#ifndef DEV_TIMER_LIMITS_H
#define DEV_TIMER_LIMITS_H

/*
 * Expiries of a periodic timer that are less than this apart become one interrupt: a host
 * thread spends a few microseconds on each, and must get around to other things.
 */
#define TIMER_MIN_PERIOD_NS 20000ull

#endif
