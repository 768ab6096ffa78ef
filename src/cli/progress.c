/* SPDX-License-Identifier: MIT */
/* progress.c - how far long work is, on a terminal. */
#include "cli/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

enum { BAR = 24, MAX_COLUMNS = 200 };

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * SECOND + (u64)ts.tv_nsec;
}

void progress_start(struct progress *p, const char *what, bool quiet)
{
	*p = (struct progress){.what = what, .on = !quiet && isatty(STDERR_FILENO)};
	p->start = p->last = now();
}

static void add_rest(char *text, size_t room, double left)
{
	unsigned s = left < 360000 ? (unsigned)left : 359999;

	if (s >= 3600)
		snprintf(text, room, "%u:%02u:%02u left", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(text, room, "%u:%02u left", s / 60, s % 60);
}

void progress_format(char *line, size_t width, const char *what, u64 done, u64 all, u64 ns,
		     bool bytes)
{
	double part = all ? (double)(done < all ? done : all) / (double)all : 1;
	double seconds = (double)ns / SECOND;
	char speed[32] = "", rest[32] = "", bar[BAR + 1], tail[120];
	int n, room;

	memset(bar, ' ', BAR);
	memset(bar, '#', (size_t)(part * BAR));
	bar[BAR] = 0;
	if (bytes && seconds > 0)
		snprintf(speed, sizeof(speed), "%.0f MiB/s", (double)done / (1 << 20) / seconds);
	if (part > 0 && part < 1)
		add_rest(rest, sizeof(rest), seconds / part * (1 - part));
	n = snprintf(tail, sizeof(tail), " [%s] %3.0f %%  %s  %s", bar, part * 100, speed, rest);
	room = (int)width - n - 1;
	if (room < 8) /* a narrow terminal: without words and bar */
		snprintf(line, width, "%3.0f %%  %s  %s", part * 100, speed, rest);
	else
		snprintf(line, width, "%.*s%s", room, what, tail);
}

static unsigned columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col < 20)
		return 80;
	return w.ws_col < MAX_COLUMNS ? w.ws_col : MAX_COLUMNS;
}

void progress_show(struct progress *p, u64 done, u64 all, bool bytes)
{
	char line[MAX_COLUMNS + 1];
	u64 t;

	if (!p->on)
		return;
	t = now();
	if (t - p->last < SECOND / 5)
		return;
	p->last = t;
	p->shown = true;
	progress_format(line, columns(), p->what, done, all, t - p->start, bytes);
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->on = p->shown = false;
}
