#pragma once
/*
 * Host names to addresses without blocking (libevent's evdns): /etc/hosts, then the name servers
 * and search domains of /etc/resolv.conf, both read anew each time, so a changed file is seen and
 * nothing is held while idle. Numeric addresses never get that far.
 */
#include "core/err.h"
#include "core/loop.h"
#include "transport/sock.h"

enum { RESOLVE_MAX = 8 }; /* addresses of one name that are worth trying */

struct resolve;
struct resolve_files {
	const char *resolv_conf, *hosts;
};
/*
 * Once, never from inside resolve_start(): status 0 and n >= 1 addresses, or -ENOENT, -EAGAIN,
 * -EIO with a text. Names have no deadline of their own: evdns gives up after about 15 s.
 */
typedef void (*resolve_fn)(void *arg, int status, const struct sock_addr *addrs, size_t n,
			   const struct err *e);

/* files NULL = those of /etc. The result is the caller's until the callback or the cancel. */
struct resolve *resolve_start(struct loop *l, const struct resolve_files *files, const char *host,
			      uint16_t port, resolve_fn fn, void *arg);
void resolve_cancel(struct resolve **r); /* no callback after; safe on NULL */
