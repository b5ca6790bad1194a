#include "transport/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
	SOCK_BACKLOG = 128, /* a burst of clients between two turns; the kernel drops beyond */
	COMPLAIN_MS = 60000,
	/*
	 * A peer that vanished without a word is found by the kernel in two minutes, without our
	 * waking up; its default of two hours would keep a place that others need.
	 */
	KEEPALIVE_IDLE_S = 60,
	KEEPALIVE_PAUSE_S = 15,
	KEEPALIVE_TRIES = 4,
};

static int port_of(const struct sockaddr_storage *ss)
{
	struct sockaddr_in in;

	/* Both families keep it at the same place. */
	_Static_assert(offsetof(struct sockaddr_in, sin_port) ==
			   offsetof(struct sockaddr_in6, sin6_port),
		       "ports differ in place");
	memcpy(&in, ss, sizeof(in));
	return ntohs(in.sin_port);
}

int sock_addr_numeric(struct sock_addr *a, const char *host, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	char bare[INET6_ADDRSTRLEN];
	struct sv h = sv_str(host);

	if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = sv_make(h.p + 1, h.n - 2);
	if (!sv_copy(bare, sizeof(bare), h))
		return -EINVAL;
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, bare, &in.sin_addr) == 1) {
		memcpy(&a->ss, &in, sizeof(in));
		a->len = sizeof(in);
		return 0;
	}
	if (inet_pton(AF_INET6, bare, &in6.sin6_addr) == 1) {
		memcpy(&a->ss, &in6, sizeof(in6));
		a->len = sizeof(in6);
		return 0;
	}
	return -EINVAL;
}

int sock_addr_unix(struct sock_addr *a, const char *path, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (!n)
		return err_set(e, -EINVAL, "the path of a unix socket is empty");
	if (n > SOCK_PATH_MAX)
		return err_set(e, -ENAMETOOLONG,
			       "socket path %s is %zu bytes long, the kernel's limit is %d", path,
			       n, SOCK_PATH_MAX);
	memset(a, 0, sizeof(*a));
	memcpy(un.sun_path, path, n + 1);
	memcpy(&a->ss, &un, sizeof(un));
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

static int new_socket(int family, int *fd)
{
	*fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_tcp(int fd, int family)
{
	if (family == AF_UNIX)
		return;
	/* Small frames answer small frames: waiting to fill a segment only adds delay. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PAUSE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
}

/*
 * The name that is bound first: the same with a dot as its first character, so it is hidden from
 * the kubelet's watcher and never longer than the final one. A name that is hidden anyway is bound
 * in place.
 */
static void dot_name(char *out, const char *path)
{
	char *slash;

	memcpy(out, path, strlen(path) + 1);
	slash = strrchr(out, '/');
	out[slash ? slash - out + 1 : 0] = '.';
}

static int check_old_file(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%s exists and is not a socket", path);
	return 0;
}

static int bind_hidden(int fd, const char *hidden, unsigned mode, struct err *e)
{
	struct sock_addr a = { 0 };
	int r;

	r = sock_addr_unix(&a, hidden, e);
	if (r < 0)
		return r;
	r = check_old_file(hidden, e);
	if (r < 0)
		return r;
	if (unlink(hidden) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "remove %s", hidden);
	if (bind(fd, (const struct sockaddr *)&a.ss, a.len) < 0)
		return err_sys(e, -errno, "bind %s", hidden);
	if (chmod(hidden, mode) < 0)
		return err_sys(e, -errno, "chmod %s", hidden);
	if (listen(fd, SOCK_BACKLOG) < 0)
		return err_sys(e, -errno, "listen on %s", hidden);
	return 0;
}

static int listen_unix_at(int fd, const char *path, unsigned mode, struct stat *st, struct err *e)
{
	char hidden[SOCK_PATH_MAX + 1];
	int r;

	dot_name(hidden, path);
	r = check_old_file(path, e);
	if (r < 0)
		return r;
	r = bind_hidden(fd, hidden, mode, e);
	if (r < 0)
		return r;
	if (lstat(hidden, st) < 0)
		return err_sys(e, -errno, "%s", hidden);
	if (strcmp(hidden, path) != 0 && rename(hidden, path) < 0) {
		r = err_sys(e, -errno, "rename %s to %s", hidden, path);
		(void)unlink(hidden);
		return r;
	}
	return 0;
}

int sock_listen_unix(struct sock_listener *l, const char *path, unsigned mode, struct err *e)
{
	struct sock_addr a = { 0 };
	struct stat st;
	int r;

	*l = (struct sock_listener){ .fd = -1 };
	r = sock_addr_unix(&a, path, e);
	if (r < 0)
		return r;
	r = new_socket(AF_UNIX, &l->fd);
	if (r < 0)
		return err_sys(e, r, "unix socket");
	r = listen_unix_at(l->fd, path, mode, &st, e);
	if (r < 0) {
		sock_close(&l->fd);
		return r;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	must(sv_copy(l->path, sizeof(l->path), sv_str(path)));
	return 0;
}

static int listen_addr(struct sock_listener *l, const struct sock_addr *a)
{
	int one = 1, zero = 0;
	int r;

	r = new_socket(a->ss.ss_family, &l->fd);
	if (r < 0)
		return r;
	(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->ss.ss_family == AF_INET6)
		(void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(l->fd, (const struct sockaddr *)&a->ss, a->len) < 0 ||
	    listen(l->fd, SOCK_BACKLOG) < 0) {
		r = -errno;
		sock_close(&l->fd);
	}
	return r;
}

int sock_listen_tcp(struct sock_listener *l, const char *host, uint16_t *port, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	struct sock_addr a = { 0 };
	int r;

	*l = (struct sock_listener){ .fd = -1 };
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	r = sock_addr_numeric(&a, *host ? host : "::", *port);
	if (r < 0)
		return err_set(e, r, "listen address %s is not numeric", host);
	r = listen_addr(l, &a);
	if (r < 0 && !*host) {
		/* A kernel without IPv6. */
		must(sock_addr_numeric(&a, "0.0.0.0", *port) == 0);
		r = listen_addr(l, &a);
	}
	if (r < 0)
		return err_sys(e, r, "listen on %s:%u", host, *port);
	if (getsockname(l->fd, (struct sockaddr *)&ss, &len) < 0) {
		r = err_sys(e, -errno, "getsockname");
		sock_close(&l->fd);
		return r;
	}
	*port = (uint16_t)port_of(&ss);
	return 0;
}

void sock_listener_done(struct sock_listener *l)
{
	struct stat st;

	if (l->path[0] && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	l->path[0] = '\0';
	sock_close(&l->fd);
}

int sock_accept(const struct sock_listener *l, int *fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	ss.ss_family = AF_UNSPEC;
	*fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (*fd < 0)
		return -errno;
	set_tcp(*fd, ss.ss_family);
	return 0;
}

bool sock_accept_exhausted(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

bool sock_may_complain(uint64_t *last_ms, uint64_t now_ms)
{
	if (*last_ms && now_ms + 1 - *last_ms < COMPLAIN_MS)
		return false;
	*last_ms = now_ms + 1;
	return true;
}

int sock_connect(const struct sock_addr *a, int *fd)
{
	int r;

	r = new_socket(a->ss.ss_family, fd);
	if (r < 0)
		return r;
	set_tcp(*fd, a->ss.ss_family);
	if (connect(*fd, (const struct sockaddr *)&a->ss, a->len) == 0)
		return 0;
	if (errno == EINPROGRESS)
		return SOCK_CONNECTING;
	r = -errno;
	sock_close(fd);
	return r;
}

bool sock_unix_is_dead(const char *path)
{
	struct sock_addr a = { 0 };
	struct err e = { 0 };
	struct stat st;
	int fd = -1, r = sock_addr_unix(&a, path, &e);

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false; /* other files refuse a connection as well */
	if (!r)
		r = sock_connect(&a, &fd);
	sock_close(&fd);
	return r == -ECONNREFUSED; /* a full queue is -EAGAIN */
}

int sock_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

int sock_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0 ? -errno
											  : 0;
}

int sock_peer_uid(int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*uid = cred.uid;
	return 0;
}

uint64_t sock_peer(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss), cred_len = sizeof(struct ucred);
	struct ucred cred = { 0 };
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	uint64_t key = 0;

	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	if (ss.ss_family == AF_INET) {
		memcpy(&in, &ss, sizeof(in));
		return in.sin_addr.s_addr;
	}
	if (ss.ss_family == AF_INET6) {
		memcpy(&in6, &ss, sizeof(in6));
		/* "::ffff:a.b.c.d": an IPv4 peer of a socket for both. */
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
			memcpy(&key, in6.sin6_addr.s6_addr + 12, 4);
		else
			memcpy(&key, in6.sin6_addr.s6_addr, 8);
		return key;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
		return 0;
	return (uint64_t)cred.pid;
}

ptrdiff_t sock_read(int fd, void *p, size_t n)
{
	ssize_t r;

	do
		r = recv(fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

ptrdiff_t sock_write(int fd, struct sv data)
{
	ssize_t r;

	do
		r = send(fd, data.p, data.n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

void sock_shut_write(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

void sock_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}
