#pragma once
/*
 * TLS 1.2+ by OpenSSL over memory BIOs: bytes in, bytes out, no descriptors. Contexts are made from
 * files or PEM text and made anew when those changed; sessions keep the context they began with.
 */
#include "core/buf.h"
#include "core/err.h"

struct tls_material {
	const char *ca_file, *cert_file, *key_file; /* or the PEM text itself: */
	struct sv ca_pem, cert_pem, key_pem;
};
struct tls_client;
/*
 * Verifies the peer against the CA (none: the system's) and `server_name` (DNS name or address;
 * NULL only with insecure_skip_verify). Copies the material.
 */
int tls_client_new(const struct tls_material *m, const char *server_name, bool insecure_skip_verify,
		   struct tls_client **out, struct err *e) NODISCARD;
/* Reads the files again. 0: the same; 1: changed, new sessions use it; negative: kept the old. */
int tls_client_reload(struct tls_client *t, struct err *e) NODISCARD;
void tls_client_free(struct tls_client **t);

struct tls_server;
/* With a CA, clients must present a certificate of it. */
int tls_server_new(const struct tls_material *m, struct tls_server **out, struct err *e) NODISCARD;
int tls_server_reload(struct tls_server *t, struct err *e) NODISCARD; /* as tls_client_reload */
void tls_server_free(struct tls_server **t);

/* ---- one connection; driven by `stream` ---- */
struct tls_session;
struct tls_session *tls_client_session(const struct tls_client *t);
struct tls_session *tls_server_session(const struct tls_server *t);
void tls_session_free(struct tls_session **s);

/* Gives ciphertext; the view must stay until tls_session_read() said 0. */
void tls_session_feed(struct tls_session *s, struct sv in);
/*
 * Moves the session on: bytes decrypted into p (> 0), or 0 when all input is used. What must go to
 * the peer (handshake, alerts, key updates) is appended to `net`, also on failure. -ESHUTDOWN: the
 * peer ended the session in order; another negative errno: broken. A client's first read, before
 * any input, makes its hello.
 */
ptrdiff_t tls_session_read(struct tls_session *s, void *p, size_t n, struct buf *net,
			   struct err *e) NODISCARD;
bool tls_session_ready(const struct tls_session *s); /* handshake done, peer verified */
/* Encrypts all of `plain` into `net`; only when ready. */
int tls_session_write(struct tls_session *s, struct sv plain, struct buf *net,
		      struct err *e) NODISCARD;
void tls_session_shutdown(struct tls_session *s, struct buf *net); /* close_notify */
struct sv tls_session_alpn(const struct tls_session *s);	   /* "h2", or empty */
