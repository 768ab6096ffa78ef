/* SPDX-License-Identifier: MIT */
/*
 * rundir.c - the run directory, and who has which name there.
 *
 * Locks are those of open file descriptions (fcntl(2), F_OFD_SETLK): gone with their process,
 * also with one that was killed; they can be asked about without being taken, and count between
 * two machines of one process, too.
 */
#include "control/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sundog/err.h"

static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* The lock goes last; what a detached machine said is kept until the next of its name. */
static const struct file {
	const char *suffix;
	bool at_claim, at_release;
} files[] = {
	{"sock", true, true},
	{"console", true, true},
	{"log", true, false},
	{"lock", false, true},
};

/* --- the directory ---------------------------------------------------------------------- */

static int name_directory(char *dir, size_t size)
{
	const char *own = getenv("SUNDOG_RUN_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (own && *own)
		n = snprintf(dir, size, "%s", own);
	else if (runtime && *runtime == '/')
		n = snprintf(dir, size, "%s/sundog", runtime);
	else
		n = snprintf(dir, size, "/tmp/sundog-%u", (unsigned)geteuid());
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Made by somebody else, it could be full of traps: in /tmp anybody may be first. */
static int check_directory(const char *dir, struct err *e)
{
	struct stat st;

	if (lstat(dir, &st))
		return err_set(e, -errno, "cannot use %s: %s; set SUNDOG_RUN_DIR", dir,
			       strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return err_set(e, -EPERM,
			       "%s is not a directory of yours alone; remove it or set "
			       "SUNDOG_RUN_DIR",
			       dir);
	return 0;
}

static int make_directory(char *dir, size_t size, struct err *e)
{
	if (name_directory(dir, size))
		return err_set(e, -EINVAL,
			       "the run directory's name is too long; set "
			       "SUNDOG_RUN_DIR");
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_set(e, -EIO, "cannot make %s: %s; set SUNDOG_RUN_DIR", dir,
			       strerror(errno));
	return check_directory(dir, e);
}

int run_path(char path[RUN_PATH_MAX], const char *name, const char *suffix, struct err *e)
{
	int r = make_directory(path, RUN_PATH_MAX - RUN_NAME_MAX - 16, e);
	size_t len = r ? 0 : strlen(path);

	if (r)
		return r;
	snprintf(path + len, RUN_PATH_MAX - len, "/%.*s.%s", RUN_NAME_MAX, name, suffix);
	return 0;
}

/* --- locks ------------------------------------------------------------------------------ */

static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* An open lock file that is still the one of its name, since a release unlinks it. */
static int open_lock(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	return fd < 0 ? -errno : fd;
}

static bool is_current(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static pid_t read_pid(int fd)
{
	char text[24] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static pid_t owner_at(const char *path)
{
	struct flock lk = whole_file();
	int fd = open_lock(path, O_RDWR);
	pid_t pid = 0;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &lk) == 0 && lk.l_type != F_UNLCK)
		pid = read_pid(fd);
	close(fd);
	return pid;
}

pid_t run_owner(const char *name)
{
	char path[RUN_PATH_MAX];
	struct err e;

	return run_path(path, name, "lock", &e) ? 0 : owner_at(path);
}

/* 0, -EBUSY or another -errno; -EAGAIN: it was released meanwhile, try again. */
static int try_lock(struct run_name *n, const char *path)
{
	struct flock lk = whole_file();
	int fd = open_lock(path, O_RDWR | O_CREAT), r = 0;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lk))
		r = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	else if (!is_current(fd, path))
		r = -EAGAIN;
	else if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0)
		r = -errno;
	if (r)
		close(fd);
	else
		n->lock_fd = fd;
	return r;
}

/* --- names ------------------------------------------------------------------------------ */

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= RUN_NAME_MAX && *s != '.' && *s != '-' &&
	       strspn(s, allowed) == len;
}

static void remove_files(const char *name, bool release)
{
	char path[RUN_PATH_MAX];
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if ((release ? files[i].at_release : files[i].at_claim) &&
		    run_path(path, name, files[i].suffix, &e) == 0)
			unlink(path);
	}
}

int run_claim(struct run_name *n, const char *name, struct err *e)
{
	char path[RUN_PATH_MAX];
	int r;

	n->lock_fd = -1;
	if (!is_name(name))
		return err_set(e, -EINVAL,
			       "\"%.70s\" is no name for a machine; use up to %d of A-Z a-z 0-9 . "
			       "_ -",
			       name, RUN_NAME_MAX);
	r = run_path(path, name, "lock", e);
	if (r)
		return r;
	do
		r = try_lock(n, path);
	while (r == -EAGAIN);
	if (r == -EBUSY)
		return err_set(e, r, "the name %s is taken by process %d; use another --name", name,
			       (int)owner_at(path));
	if (r)
		return err_set(e, -EIO, "cannot lock %s: %s; set SUNDOG_RUN_DIR", path,
			       strerror(-r));
	snprintf(n->name, sizeof(n->name), "%s", name);
	remove_files(name, false);
	return 0;
}

/* What a file is called, as a name of a machine: "a/debian.qcow2,ro" is "debian". */
static void name_of_file(char name[RUN_NAME_MAX + 1], const char *file)
{
	static const char *const suffixes[] = {".qcow2", ".raw", ".img"};
	size_t end = strcspn(file, ","), at = end, n = 0;

	while (at && file[at - 1] != '/')
		at--;
	for (; at < end && n < RUN_NAME_MAX - 4; at++)
		name[n++] = strchr(allowed, file[at]) ? file[at] : '_';
	name[n] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t len = strlen(suffixes[i]);

		if (n > len && strcmp(name + n - len, suffixes[i]) == 0)
			name[n - len] = '\0';
	}
	if (!*name || *name == '.' || *name == '-')
		snprintf(name, RUN_NAME_MAX + 1, "vm");
}

int run_claim_for(struct run_name *n, const char *file, struct err *e)
{
	enum { TRIES = 999 };
	char base[RUN_NAME_MAX + 1], name[RUN_NAME_MAX + 8];
	int r;

	name_of_file(base, file);
	r = run_claim(n, base, e);
	for (unsigned i = 2; r == -EBUSY && i <= TRIES; i++) {
		snprintf(name, sizeof(name), "%s-%u", base, i);
		r = run_claim(n, name, e);
	}
	return r;
}

void run_release(struct run_name *n)
{
	if (n->lock_fd < 0)
		return;
	remove_files(n->name, true);
	close(n->lock_fd);
	n->lock_fd = -1;
}

/* --- listing ---------------------------------------------------------------------------- */

static int is_lock(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && strcmp(dot, ".lock") == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **run_list(struct err *e)
{
	char dir[RUN_PATH_MAX];
	struct dirent **found;
	char **names = NULL;
	int n = -1, kept = 0;

	if (make_directory(dir, sizeof(dir) - RUN_NAME_MAX - 16, e) == 0) {
		n = scandir(dir, &found, is_lock, NULL);
		if (n < 0)
			err_set(e, -EIO, "cannot read %s: %s; set SUNDOG_RUN_DIR", dir,
				strerror(errno));
	}
	if (n < 0)
		return NULL;
	names = calloc((size_t)n + 1, sizeof(*names));
	if (!names)
		err_set(e, -ENOMEM, "out of memory; close something");
	for (int i = 0; i < n; i++) {
		char *name = found[i]->d_name;

		*strrchr(name, '.') = '\0';
		if (names && is_name(name) && run_owner(name))
			names[kept] = strdup(name);
		if (names && names[kept])
			kept++;
		free(found[i]);
	}
	free(found);
	if (names)
		qsort(names, (size_t)kept, sizeof(*names), by_name);
	return names;
}

void run_list_free(char **names)
{
	for (char **p = names; p && *p; p++)
		free(*p);
	free(names);
}
