/* SPDX-License-Identifier: MIT */
/* Tests of what tools do with images, with formats that exist only here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/format.h"
#include "block/image.h"

/* One letter for each kilobyte: d data, z zeroes, - left to the backing image. */
static int letters_status(struct blk *b, u64 off, u64 len, struct blk_status *st)
{
	const char *map = b->priv, *p = map + off / 1024;
	u64 end = off / 1024 * 1024;

	for (const char *q = p; *q == *p; q++)
		end += 1024;
	*st = (struct blk_status){
		.len = end - off < len ? end - off : len,
		.data = *p == 'd',
		.zero = *p == 'z',
	};
	return 0;
}

static const struct blk_format letters = {.name = "letters", .status = letters_status};
static const struct blk_format bare = {.name = "bare"};
static const struct blk_cfg cfg = {.file = "x.img"};

static struct blk layer(const char *map, struct blk *backing)
{
	return (struct blk){
		.format = &letters,
		.cfg = &cfg,
		.priv = (void *)map,
		.size = strlen(map) * 1024,
		.backing = backing,
	};
}

static void expect(struct blk *b, u64 off, u64 len, struct blk_status want)
{
	struct blk_status st;

	assert_int_equal(blk_get_status(b, off, len, &st), 0);
	assert_int_equal(st.len, want.len);
	assert_int_equal(st.data, want.data);
	assert_int_equal(st.zero, want.zero);
	assert_int_equal(st.present, want.present);
	assert_int_equal(st.depth, want.depth);
}

static void test_status(void **state)
{
	struct blk base = layer("dd-z", NULL), middle = layer("--z---", &base);
	struct blk top = layer("d-----d-", &middle);
	struct blk_status st;

	expect(&top, 0, 8192, (struct blk_status){.len = 1024, .data = true, .present = true});
	expect(&top, 512, 100, (struct blk_status){.len = 100, .data = true, .present = true});
	expect(&top, 1024, 7168,
	       (struct blk_status){.len = 1024, .data = true, .present = true, .depth = 2});
	expect(&top, 2048, 6144,
	       (struct blk_status){.len = 1024, .zero = true, .present = true, .depth = 1});
	expect(&top, 3072, 5120,
	       (struct blk_status){.len = 1024, .zero = true, .present = true, .depth = 2});
	/* Behind the end of the lowest, then of the one in the middle: nobody says what it is. */
	expect(&top, 4096, 4096, (struct blk_status){.len = 2048, .zero = true, .depth = 1});
	expect(&top, 7168, 1024, (struct blk_status){.len = 1024, .zero = true});
	expect(&base, 2048, 2048, (struct blk_status){.len = 1024, .zero = true});
	assert_int_equal(blk_get_status(&top, 8192, 1, &st), -EINVAL);
	assert_int_equal(blk_get_status(&top, 0, 8193, &st), -EINVAL);
	assert_int_equal(blk_get_status(&top, 0, 0, &st), -EINVAL);
}

static void test_cannot(void **state)
{
	struct blk b = {.format = &bare, .cfg = &cfg, .size = 4096};
	struct blk_check check = {0};
	struct blk_snapshot *list;
	struct err e = {0};
	unsigned n;

	assert_int_equal(blk_check(&b, &check, &e), -EOPNOTSUPP);
	assert_int_equal(blk_resize(&b, 8192, &e), -EOPNOTSUPP);
	assert_int_equal(blk_resize(&b, 8191, &e), -EINVAL);
	assert_int_equal(blk_resize(&b, 0, &e), -EINVAL);
	assert_int_equal(blk_snapshot_create(&b, "a", &e), -EOPNOTSUPP);
	assert_int_equal(blk_set_backing(&b, "a", "raw", &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.msg, "x.img: bare images have no backing image"));
	assert_int_equal(blk_write_compressed(&b, 0, "", 0), -EOPNOTSUPP);
	assert_int_equal(blk_snapshots(&b, &list, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_null(list);
}

static void test_create(void **state)
{
	char path[] = "/tmp/sundog-image-XXXXXX", name[64];
	struct blk_create c = {.format = "raw", .size = 1 << 20};
	struct err e = {0};

	assert_non_null(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/disk", path);
	c.path = name;
	assert_int_equal(blk_create(&c, &e), 0);
	assert_int_equal(blk_create(&c, &e), -EEXIST);
	assert_int_equal(access(name, F_OK), 0);
	assert_int_equal(unlink(name), 0);
	c.size = 1000;
	assert_int_equal(blk_create(&c, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "write 1024"));
	c.size = 0;
	assert_int_equal(blk_create(&c, &e), -EINVAL);
	c.backing = "base";
	assert_int_equal(blk_create(&c, &e), -EOPNOTSUPP);
	c = (struct blk_create){.path = name, .format = "rwa", .size = 512};
	assert_int_equal(blk_create(&c, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "did you mean raw"));
	/* More than any file system takes: nothing stays behind. */
	c = (struct blk_create){.path = name, .format = "raw", .size = 1ull << 63};
	assert_true(blk_create(&c, &e) < 0);
	assert_int_not_equal(access(name, F_OK), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_beside(void **state)
{
	static const char *const cases[][3] = {
		{"a.qcow2", "b.img", "b.img"},
		{"/x/a", "b", "/x/b"},
		{"d/a", "../b", "d/../b"},
		{"d/a", "/b", "/b"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *path = blk_path_beside(cases[i][0], cases[i][1]);

		assert_string_equal(path, cases[i][2]);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_cannot),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
