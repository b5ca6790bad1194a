#pragma once
/*
 * Sockets: listen, accept, connect, read and write; all non-blocking and close-on-exec. Beside
 * `stream` the only file of this layer that touches descriptors. No loop, no buffers.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/err.h"
#include "core/sv.h"

/* sun_path is 108 bytes with its NUL; a longer path cannot be bound or dialled by anybody. */
enum { SOCK_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};
/* A numeric IPv4 or IPv6 address (brackets allowed); -EINVAL when it is a name. Never blocks. */
int sock_addr_numeric(struct sock_addr *a, const char *host, uint16_t port) NODISCARD;
int sock_addr_unix(struct sock_addr *a, const char *path, struct err *e) NODISCARD;

/* A listening socket and the file it made, if any. Embedded; zeroed plus fd -1 is "none". */
struct sock_listener {
	int fd;
	dev_t dev; /* of the socket file while it is ours */
	ino_t ino;
	char path[SOCK_PATH_MAX + 1]; /* "" for TCP */
};
/*
 * Binds a dot-named file, listens, then renames it to `path`: whoever watches the folder sees a
 * socket that already answers. An old socket file is replaced; another kind of file is -EEXIST.
 */
int sock_listen_unix(struct sock_listener *l, const char *path, unsigned mode,
		     struct err *e) NODISCARD;
/* host: "" = every address (IPv6 and IPv4), a numeric address, or "localhost". *port 0 = chosen. */
int sock_listen_tcp(struct sock_listener *l, const char *host, uint16_t *port,
		    struct err *e) NODISCARD;
/* Closes; removes the file only while it is still the one made here. Idempotent. */
void sock_listener_done(struct sock_listener *l);
/* 0 and a descriptor, -EAGAIN when nobody waits, or another negative errno. */
int sock_accept(const struct sock_listener *l, int *fd) NODISCARD;
/* True for errors of accept that mean "no descriptor or memory just now", not a broken listener. */
bool sock_accept_exhausted(int error);
/* What goes wrong at a door goes wrong for many: one line a minute. *last_ms is ours, 0 at first.
 */
bool sock_may_complain(uint64_t *last_ms, uint64_t now_ms);

enum { SOCK_CONNECTING = 1 };
/* 0: connected; SOCK_CONNECTING: writable tells, then ask sock_error(); negative errno. */
int sock_connect(const struct sock_addr *a, int *fd) NODISCARD;
/* True for a socket file at which nobody listens: its owner died. Not for one that does not exist.
 */
bool sock_unix_is_dead(const char *path);
int sock_error(int fd) NODISCARD; /* 0 or the negative errno of a connect */
int sock_pair(int fd[2]) NODISCARD;
/* The peer's uid on a unix socket. */
int sock_peer_uid(int fd, uid_t *uid) NODISCARD;
/*
 * Who is at the other end, for sharing places out: equal for connections of one IPv4 address, of
 * one IPv6 /64 (what a single host may choose from), of one process on a unix socket (all those of
 * other PID namespaces are one).
 */
uint64_t sock_peer(int fd);

/* Bytes moved, 0 = end of file (read only), -EAGAIN, or another negative errno. */
ptrdiff_t sock_read(int fd, void *p, size_t n) NODISCARD;
ptrdiff_t sock_write(int fd, struct sv data) NODISCARD;
void sock_shut_write(int fd);
void sock_close(int *fd); /* sets it to -1; safe on -1 */
