// SPDX-License-Identifier: MIT
/* fp.c - floating-point classes; IEEE arithmetic, so the results are exact to the bit. */
#include <math.h>
#include <string.h>

#include "bench.h"

static uint64_t bits(double d)
{
	uint64_t u;

	memcpy(&u, &d, sizeof(u));
	return u;
}

/* --- matmul -------------------------------------------------------------------------------------
 */

enum { DIM = 200 };

static double a[DIM][DIM], b[DIM][DIM], c[DIM][DIM];

static void matmul_setup(void)
{
	for (int i = 0; i < DIM; i++) {
		for (int k = 0; k < DIM; k++) {
			a[i][k] = 1.0 / (i + k + 1);
			b[i][k] = (i * 7 + k * 3) % 11 - 5.25;
		}
	}
}

static uint64_t matmul(void)
{
	uint64_t h = 0;

	for (int i = 0; i < DIM; i++) {
		for (int k = 0; k < DIM; k++) {
			double sum = 0;

			for (int n = 0; n < DIM; n++)
				sum += a[i][n] * b[n][k];
			c[i][k] = sum;
		}
	}
	for (int i = 0; i < DIM; i++)
		for (int k = 0; k < DIM; k++)
			h = mix(h, bits(c[i][k]));
	return h;
}

/* --- nbody: the sun and four planets
 * --------------------------------------------------------------- */

enum { BODIES = 5, STEPS = 60000 };

struct body {
	double x, y, z, vx, vy, vz, mass;
};

static const struct body start[BODIES] = {
	{0, 0, 0, 0, 0, 0, 39.5},
	{4.84, -1.16, -0.10, 0.61, 2.81, -0.02, 0.038},
	{8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.011},
	{12.9, -15.1, -0.22, 1.08, 0.87, -0.01, 0.0017},
	{15.4, -25.9, 0.18, 0.98, 0.59, -0.03, 0.0020},
};

static void advance(struct body *bodies, double dt)
{
	for (int i = 0; i < BODIES; i++) {
		struct body *p = &bodies[i];

		for (int k = i + 1; k < BODIES; k++) {
			struct body *q = &bodies[k];
			double dx = p->x - q->x, dy = p->y - q->y, dz = p->z - q->z;
			double d2 = dx * dx + dy * dy + dz * dz, mag = dt / (d2 * sqrt(d2));

			p->vx -= dx * q->mass * mag;
			p->vy -= dy * q->mass * mag;
			p->vz -= dz * q->mass * mag;
			q->vx += dx * p->mass * mag;
			q->vy += dy * p->mass * mag;
			q->vz += dz * p->mass * mag;
		}
	}
	for (int i = 0; i < BODIES; i++) {
		bodies[i].x += dt * bodies[i].vx;
		bodies[i].y += dt * bodies[i].vy;
		bodies[i].z += dt * bodies[i].vz;
	}
}

static uint64_t nbody(void)
{
	struct body bodies[BODIES];
	uint64_t h = 0;

	memcpy(bodies, start, sizeof(bodies));
	for (int i = 0; i < STEPS; i++)
		advance(bodies, 0.01);
	for (int i = 0; i < BODIES; i++)
		h = mix(mix(h, bits(bodies[i].x)), bits(bodies[i].vz));
	return h;
}

const struct bench fp_benches[] = {
	{"matmul", "run", 1, 0x324937bd1e53769, matmul, matmul_setup},
	{"nbody", "run", 1, 0x606ea3d4738a7ada, nbody, NULL},
	{0},
};
