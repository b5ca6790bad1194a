#pragma once
/*
 * A scripted API server: a list of expected requests, each with its answer and with how that answer
 * ends (whole, held open, cut off, refused ...). Speaks real HTTP/2 on a unix socket, so whatever
 * talks to it is the production client. Knows nothing of Kubernetes: bodies are the test's text.
 */
#include "core/err.h"
#include "core/loop.h"

struct script;

enum script_end {
	SCRIPT_WHOLE,  /* the answer ends as it should */
	SCRIPT_HOLD,   /* head and body are sent, the stream stays open: a watch */
	SCRIPT_CUT,    /* head and body are sent, then every connection is lost */
	SCRIPT_RESET,  /* the same, then RST_STREAM(INTERNAL_ERROR) */
	SCRIPT_REFUSE, /* RST_STREAM(REFUSED_STREAM), nothing else */
	SCRIPT_GOAWAY, /* whole, and the connection is drained; later ones are new */
	SCRIPT_SILENT, /* nothing at all */
};

/* Strings are not copied: literals, or alive as long as the script. */
struct script_step {
	const char *method; /* NULL = any */
	const char *path;   /* with query; "...*" matches what begins so; NULL = any */
	const char *token;  /* the authorization header's value; NULL = any */
	const char *sends;  /* part of the request's body; NULL = any */
	int status;	    /* 0 = 200 */
	const char *body;
	const char *type;	    /* NULL = application/json */
	const char *header, *value; /* one more of the answer */
	uint64_t delay_ms;
	enum script_end end;
	unsigned times; /* 0 = 1 */
};
#define SCRIPT_ALWAYS UINT32_MAX

struct tls_server;

struct script *script_new(struct loop *l, const char *socket_path);
/* Also on 127.0.0.1 with TLS, from the next script_up() or script_cut() on; NULL ends that. */
void script_use_tls(struct script *s, struct tls_server *tls);
uint16_t script_port(const struct script *s); /* the same for the life of the script */
void script_free(struct script **s);
/* The first step that matches and is not used up answers a request. None: 418 and counted. */
void script_expect(struct script *s, const struct script_step *step);
void script_clear(struct script *s);	    /* forgets all steps */
size_t script_left(const struct script *s); /* steps not used up, without the endless ones */
unsigned script_requests(const struct script *s);
unsigned script_unexpected(const struct script *s);
const char *script_last(const struct script *s);	/* "GET /path" of the last request */
const char *script_last_header(const struct script *s); /* its "user-agent|content-type" */
const char *script_last_body(const struct script *s);
uint64_t script_last_ms(const struct script *s); /* loop time it came */

/* Streams that are held open. */
size_t script_held(const struct script *s);
void script_push(struct script *s, const char *text); /* to each */
void script_release(struct script *s);		      /* ends each well */

void script_cut(struct script *s);  /* every connection is lost; new ones are taken */
void script_down(struct script *s); /* the same, and nobody listens */
void script_up(struct script *s);
size_t script_connections(const struct script *s);
