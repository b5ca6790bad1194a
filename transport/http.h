#pragma once
/*
 * Plain HTTP/1.1 for metrics, probes and status (libevent's evhttp). At most 64 connections: the
 * peer that holds most makes room for a newcomer with the one that asked for nothing the longest
 * (fair.h). GET and HEAD only, 10 s of silence and 20 s for a request, 8 KiB of headers, no body.
 */
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"

struct http;
enum { HTTP_ETAG_MAX = 80 };
struct http_reply {
	int status;		    /* 200 by default */
	const char *content_type;   /* text/plain by default */
	const char *const *headers; /* more of them: name, value, ..., NULL; static. May be NULL */
	/* With its quotes, "" = none. Who has it already (If-None-Match) gets 304 without a body.
	 */
	char etag[HTTP_ETAG_MAX];
	struct buf *body;
};
struct http_route {
	const char *path;
	void (*fn)(void *ctx, const char *query, struct http_reply *reply);
	void *ctx;
};

struct http *http_new(struct loop *l);
void http_free(struct http **h);
void http_add(struct http *h, const struct http_route *route); /* copied */
/* "host:port", ":8080", "[::1]:0"; *port tells the one chosen. */
int http_listen(struct http *h, const char *endpoint, uint16_t *port, struct err *e) NODISCARD;
int http_listen_unix(struct http *h, const char *path, unsigned mode, struct err *e) NODISCARD;
