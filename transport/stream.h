#pragma once
/*
 * A byte stream over a connected socket on the loop, plain or TLS. Output is pulled: whoever has
 * something to send kicks the stream, and at LOOP_FLUSH the stream asks for bytes while the kernel
 * takes them and writes once. So a turn that answers sixty requests makes one system call, and a
 * peer that does not read stops the production of output, not only its transport.
 *
 * Reading stops while more than STREAM_HIGH bytes wait to be written: a peer that only asks and
 * never reads answers cannot make us buffer.
 *
 * Owner: whoever made it. Callbacks may call everything here, stream_free() included.
 */
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"

enum {
	STREAM_HIGH = 64 * 1024, /* waiting output at which no more is asked for */
	STREAM_LINGER_MS = 1000, /* after our half close, for the peer's end of file */
	STREAM_STALL_MS = 60000, /* output waits and the peer takes nothing: given up */
};

struct stream;
struct tls_session;

struct stream_events {
	/* Connected and the handshake done. Not for a plain stream made from a connected socket. */
	void (*on_up)(void *arg);
	void (*on_data)(void *arg, struct sv data);
	/* Appends what is to be sent, up to about STREAM_HIGH bytes; nothing = nothing to send. */
	void (*on_fill)(void *arg, struct buf *out);
	/* Last event, once: 0 = the peer closed in order, else a negative errno with its text. */
	void (*on_end)(void *arg, int status, const struct err *e);
};

/*
 * Takes fd and tls (NULL = plain). `connecting`: sock_connect() said SOCK_CONNECTING.
 * For TLS the handshake starts when the connection stands.
 */
struct stream *stream_new(struct loop *l, int fd, bool connecting, struct tls_session *tls,
			  const struct stream_events *events, void *arg);
/* From now on events go to another owner; also inside on_up. */
void stream_hand_over(struct stream *s, const struct stream_events *events, void *arg);
void stream_free(struct stream **s); /* closes at once; no event after */
bool stream_is_up(const struct stream *s);
void stream_kick(struct stream *s); /* there is something to send */
/*
 * Sends what on_fill still gives, then half-closes, so that the peer reads our last words; its
 * bytes are dropped from now on. on_end comes with its end of file, at the latest after
 * STREAM_LINGER_MS. Idempotent.
 */
void stream_finish(struct stream *s);
bool stream_finishing(const struct stream *s);
bool stream_flushed(const struct stream *s); /* the kernel has every byte that was produced */
const struct tls_session *stream_tls(const struct stream *s);
int stream_fd(const struct stream *s); /* for peer credentials only */
