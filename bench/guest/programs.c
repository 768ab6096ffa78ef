// SPDX-License-Identifier: MIT
/*
 * programs.c - whole programs, as Debian builds them: nobody tuned an engine for these.
 *
 * They are run in a tree that has them, bench/image.sh's, with files of ours in /tmp; each run's
 * output goes to /tmp/out, and its checksum is printed, so that whoever reads it may compare.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define OUT "/tmp/out"
#define TEXT "/tmp/text"

enum { LINES = 40000, SAMPLES = 400000 };

static const char python_source[] =
	"words = {}\n"
	"for i in range(60000):\n"
	"    w = str(i * 7919 % 4001)\n"
	"    words[w] = words.get(w, 0) + len(w)\n"
	"primes = [n for n in range(2, 3000) if all(n % d for d in range(2, int(n ** 0.5) + 1))]\n"
	"text = ' '.join(sorted(words, key=lambda w: (words[w], w)))\n"
	"print(len(primes), sum(primes), hash(tuple(primes)), len(text), text[:60], "
	"text.count('99'))\n";

static const char js_source[] = "function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }\n"
				"var s = 0, o = {}, a = [], i;\n"
				"for (i = 0; i < 20000; i++) {\n"
				"    s = (s * 31 + i) % 1000003;\n"
				"    o['k' + s % 997] = (o['k' + s % 997] || 0) + i;\n"
				"    a.push('x' + s);\n"
				"}\n"
				"a.sort();\n"
				"print(fib(19), s, a[7], JSON.stringify(o).length);\n";

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) == EOF || fclose(f))
		fail(path);
}

/* Lines of words, some often and some seldom. */
static void make_text(void)
{
	FILE *f = fopen(TEXT, "w");
	uint64_t state = 1;

	if (!f)
		fail(TEXT);
	for (unsigned i = 0; i < LINES; i++) {
		uint64_t r = next_random(&state);

		fprintf(f, "%u word%u of %u names it %x\n", i, (unsigned)(r % 5000),
			(unsigned)(r >> 32 & r >> 48 & 0xff), (unsigned)(r >> 40));
	}
	if (fclose(f))
		fail(TEXT);
}

/* A tone that rises, with noise: 16-bit samples, one channel. */
static void make_sound(void)
{
	FILE *f = fopen("/tmp/sound", "w");
	uint64_t state = 7;

	if (!f)
		fail("/tmp/sound");
	for (unsigned i = 0; i < SAMPLES; i++) {
		int wave = (int)(i * (i >> 9) % 400) - 200;
		int16_t v = (int16_t)(wave * 60 + (int)(next_random(&state) % 600));

		fwrite(&v, sizeof(v), 1, f);
	}
	if (fclose(f))
		fail("/tmp/sound");
}

static void make_python(void)
{
	put("/tmp/t.py", python_source);
}

static void make_js(void)
{
	put("/tmp/t.js", js_source);
}

static uint64_t output(void)
{
	char page[4096];
	uint64_t sum = 0;
	size_t n;
	FILE *f = fopen(OUT, "r");

	if (!f)
		fail(OUT);
	while ((n = fread(page, 1, sizeof(page), f)) > 0)
		for (size_t i = 0; i < n; i++)
			sum = mix(sum, (uint8_t)page[i]);
	fclose(f);
	return sum;
}

/* Its exit status; its standard output is OUT, unless it opens that by itself. */
static uint64_t run(const char *const *argv)
{
	static char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "PYTHONHASHSEED=0",
				    "PYTHONDONTWRITEBYTECODE=1", NULL};
	int status, fd, err;
	pid_t pid;

	unlink(OUT);
	pid = fork();
	if (pid == 0) {
		fd = open(OUT, O_WRONLY | O_CREAT, 0644);
		err = open("/tmp/err", O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (dup2(fd, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
			_exit(126);
		execve(argv[0], (char *const *)argv, env);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("fork");
	return WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 255;
}

static uint64_t compile(void)
{
	return run((const char *[]){"/usr/bin/gcc", "-O2", "-c", "/judge/src/zlib/inftrees.c", "-o",
				    OUT, NULL});
}

static uint64_t gzip(void)
{
	return run((const char *[]){"/usr/bin/gzip", "-c", "-n", "-6", TEXT, NULL});
}

static uint64_t hash_map(void)
{
	return run((const char *[]){
		"/usr/bin/mawk",
		"{ n[$2] += $1; m[$NF]++ } END { for (w in m) k += m[w] * length(w);"
		" for (w in n) s += n[w] % 7; print k, s }",
		TEXT, NULL});
}

static uint64_t python(void)
{
	return run((const char *[]){"/usr/bin/python3", "-S", "-E", "/tmp/t.py", NULL});
}

static uint64_t javascript(void)
{
	return run((const char *[]){"/usr/bin/duk", "/tmp/t.js", NULL});
}

static uint64_t flac(void)
{
	return run((const char *[]){"/usr/bin/flac", "-s", "-f", "-8", "--force-raw-format",
				    "--endian=little", "--sign=signed", "--channels=1", "--bps=16",
				    "--sample-rate=44100", "-o", OUT, "/tmp/sound", NULL});
}

static uint64_t lame(void)
{
	return run((const char *[]){"/usr/bin/lame", "--quiet", "-r", "-s", "44.1", "-m", "m",
				    "--bitwidth", "16", "-b", "96", "/tmp/sound", OUT, NULL});
}

void program_output(const char *name)
{
	printf("bench: output of %s: %llx\n", name, (unsigned long long)output());
}

const struct bench program_benches[] = {
	{"compile", "file", 1, 0, compile, NULL},
	{"gzip", "file", 1, 0, gzip, make_text},
	{"hashmap", "file", 1, 0, hash_map, make_text},
	{"python", "script", 1, 0, python, make_python},
	{"javascript", "script", 1, 0, javascript, make_js},
	{"flac", "file", 1, 0, flac, make_sound},
	{"lame", "file", 1, 0, lame, make_sound},
	{0},
};
