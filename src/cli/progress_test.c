/* SPDX-License-Identifier: MIT */
/* Tests of the progress line's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/progress.h"

#define SECOND 1000000000ull

static void test_line(void **state)
{
	char line[81];

	progress_format(line, 80, "converting", 512 << 20, 1024 << 20, 2 * SECOND, true);
	assert_string_equal(line,
			    "converting [############            ]  50 %  256 MiB/s  0:02 left");
	progress_format(line, 80, "converting", 0, 1 << 20, SECOND, true);
	assert_string_equal(line, "converting [                        ]   0 %  0 MiB/s  ");
	progress_format(line, 80, "checking", 10, 10, SECOND, false);
	assert_string_equal(line, "checking [########################] 100 %    ");
	progress_format(line, 80, "checking", 1, 3600 * 4, SECOND, false);
	assert_non_null(strstr(line, "3:59:59 left"));
}

static void test_odd(void **state)
{
	char line[201];

	/* Never longer than the terminal, whatever the numbers. */
	for (size_t width = 20; width <= 200; width += 9) {
		progress_format(line, width, "a rather long description of work", UINT64_MAX / 2,
				UINT64_MAX, 1, true);
		assert_true(strlen(line) < width);
	}
	progress_format(line, 80, "x", 5, 0, 0, true);
	assert_non_null(strstr(line, "100 %"));
	progress_format(line, 80, "x", 7, 5, SECOND, false);
	assert_non_null(strstr(line, "100 %"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
