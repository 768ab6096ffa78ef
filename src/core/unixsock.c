/* SPDX-License-Identifier: MIT */
/* unixsock.c - Unix stream sockets for this user alone. */
#include "sundog/unixsock.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sundog/err.h"

enum { BACKLOG = 16 };

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int set_path(struct sockaddr_un *sa, const char *path)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	strcpy(sa->sun_path, path);
	return 0;
}

int unix_connect(const char *path)
{
	struct sockaddr_un sa;
	int r = set_path(&sa, path), fd = r ? r : new_socket();

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* A socket that nobody listens at is left over from a process that died. */
static bool is_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = unix_connect(path);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

int unix_listen(const char *path, struct err *e)
{
	struct sockaddr_un sa;
	int r, fd;

	if (set_path(&sa, path))
		return err_set(e, -EINVAL,
			       "a socket's path has at most %zu bytes; use a shorter one than %s",
			       sizeof(sa.sun_path) - 1, path);
	if (is_stale(path))
		unlink(path);
	fd = new_socket();
	/* The mode of the socket is what its file gets, less the umask: never open to others. */
	if (fd < 0 || fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    listen(fd, BACKLOG)) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return err_set(e, r, "cannot listen at %s: %s; name another path", path,
			       strerror(-r));
	}
	return fd;
}

int unix_accept(int listener)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		close(fd);
		return -EACCES;
	}
	return fd;
}
