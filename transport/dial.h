#pragma once
/*
 * Makes one connection: resolves the name, tries each address in turn with its share of the time,
 * lays TLS on top, and hands over a stream that is up. The whole has no deadline of its own; its
 * owner cancels.
 */
#include "transport/stream.h"

struct dial;
struct tls_client;
struct resolve_files;

struct dial_target {
	const char *host; /* name or address */
	uint16_t port;
	const char *unix_path;		     /* instead of host and port */
	const struct tls_client *tls;	     /* NULL = plain */
	const struct resolve_files *resolve; /* NULL = /etc */
	uint32_t limit_ms;		     /* what the addresses share */
};
/*
 * Once, never from inside dial_start(), then the dial is gone. Status 0: `s` is the caller's and
 * gives its events to whom dial_start() named; negative: the last address's failure.
 */
typedef void (*dial_fn)(void *arg, int status, struct stream *s, const struct err *e);

/* Strings and structs of the target are used until the end. `arg` is for events and fn alike. */
struct dial *dial_start(struct loop *l, const struct dial_target *target,
			const struct stream_events *events, dial_fn fn, void *arg);
void dial_cancel(struct dial **d); /* no callback after; safe on NULL */
