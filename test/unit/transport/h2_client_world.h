#pragma once
/* A client and a server on one virtual loop; each request notes what became of it. */
#include <unistd.h>

#include "lab.h"
#include "transport/h2_client.h"
#include "transport/h2_server.h"

enum { MANY = 3000, BIG = 8 << 20 };

/* What became of one request. */
struct req {
	struct h2_request *r;
	struct fixture *f;
	int http;
	size_t body, datas;
	char tail[64], text[256];
	bool ended, sent, free_client, cancel_self, chain;
	int status;
};

struct fixture {
	struct loop *loop;
	struct h2_server *server;
	struct h2_client *client;
	struct h2_call *kept[MANY]; /* by /hang and /big */
	size_t kept_n, heads, now, most;
	unsigned streams_max;
	struct buf states; /* one letter per change */
	struct req reqs[MANY];
	size_t n;
	char dir[64], sock[96];
};

/* The server: /echo, /hang, /big (kept and fed by the test), /refuse. */
static inline void on_head(void *arg, struct h2_call *c, const struct h2_head *head)
{
	struct fixture *f = arg;

	f->heads++;
	f->now++;
	f->most = MAX(f->most, f->now);
	if (sv_eqs(head->path, "/refuse")) {
		h2_call_reset(c, H2_REFUSED_STREAM);
	} else if (sv_eqs(head->path, "/calm")) {
		h2_call_reset(c, H2_ENHANCE_YOUR_CALM);
	} else if (sv_eqs(head->path, "/early")) {
		f->kept[f->kept_n++] = c; /* its body is not echoed */
		h2_call_respond(c, 413, NULL, 0, true);
	} else if (!sv_eqs(head->path, "/echo")) {
		assert_true(f->kept_n < MANY);
		f->kept[f->kept_n++] = c;
	} else {
		h2_call_respond(c, 200, NULL, 0, false);
	}
}

static inline bool is_kept(const struct fixture *f, const struct h2_call *c)
{
	size_t i;

	for (i = 0; i < f->kept_n; i++)
		if (f->kept[i] == c)
			return true;
	return false;
}

static inline void on_body(void *arg, struct h2_call *c, struct sv data)
{
	if (!is_kept(arg, c))
		h2_call_write(c, data);
}

static inline void on_body_end(void *arg, struct h2_call *c)
{
	static const struct h2_header tail[] = { { SV("tail"), SV("yes") } };

	if (!is_kept(arg, c))
		h2_call_end(c, tail, 1);
}

static inline void on_gone(void *arg, struct h2_call *c)
{
	struct fixture *f = arg;
	size_t i;

	f->now--;
	for (i = 0; i < f->kept_n; i++)
		if (f->kept[i] == c)
			f->kept[i] = NULL;
}

static const struct h2_server_events events = { on_head, on_body, on_body_end, on_gone };

static inline void server_start(struct fixture *f)
{
	struct h2_server_conf conf = {
		.events = &events, .arg = f, .streams_max = f->streams_max, .queued_max = 64 << 20
	};
	struct err e;

	f->server = h2_server_new(f->loop, &conf);
	if (h2_server_listen_unix(f->server, f->sock, 0600, &e) < 0)
		fail_msg("%s", e.text);
}

static inline void on_state(void *arg, enum h2_client_state s)
{
	buf_putc(&((struct fixture *)arg)->states, "icuw"[s]);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct h2_client_conf conf = { .unix_path = f->sock };

	f->loop = loop_new_virtual(0, 11);
	buf_init(&f->states, 65536);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_h2c.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->sock, sizeof(f->sock), "%s/s.sock", f->dir);
	f->client = h2_client_new(f->loop, &conf);
	h2_client_on_state(f->client, on_state, f);
	return f;
}

static inline void fixture_done(struct fixture *f)
{
	h2_client_free(&f->client);
	h2_client_free(&f->client);
	h2_server_free(&f->server);
	lab_settle(f->loop);
	loop_free(&f->loop);
	buf_done(&f->states);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
}

static inline struct req *send_to(struct fixture *f, const char *path, struct sv body,
				  uint64_t timeout);

static inline void on_resp(void *arg, int status, const struct h2_header *h, size_t n)
{
	struct req *q = arg;

	(void)h;
	assert_true(n >= 1);
	assert_int_equal(q->http, 0);
	q->http = status;
}

static inline void on_data(void *arg, struct sv data)
{
	struct req *q = arg;

	q->body += data.n;
	q->datas++;
	if (q->cancel_self) {
		h2_request_cancel(q->r);
		q->ended = true;
	}
	if (q->free_client)
		h2_client_free(&q->f->client);
}

static inline void on_trailers(void *arg, const struct h2_header *h, size_t n)
{
	struct req *q = arg;

	assert_int_equal(n, 1);
	(void)snprintf(q->tail, sizeof(q->tail), SV_FMT "=" SV_FMT, SV_ARG(h->name),
		       SV_ARG(h->value));
}

static inline void on_end(void *arg, int status, bool sent, const struct err *e)
{
	struct req *q = arg;

	assert_false(q->ended);
	q->ended = true;
	q->status = status;
	q->sent = sent;
	(void)snprintf(q->text, sizeof(q->text), "%s", err_text(e));
	if (q->chain)
		(void)send_to(q->f, "/echo", SV("next"), 0);
	if (q->free_client)
		h2_client_free(&q->f->client);
}

static inline struct req *send_to(struct fixture *f, const char *path, struct sv body,
				  uint64_t timeout)
{
	struct h2_header h[] = { { SV("accept"), SV("application/json") },
				 { SV("authorization"), SV("Bearer abc") } };
	struct req *q = &f->reqs[f->n++];
	struct h2_request_conf conf = { .method = body.n ? "POST" : "GET",
					.path = sv_str(path),
					.headers = h,
					.headers_n = 2,
					.body = body,
					.timeout_ms = timeout,
					.on_head = on_resp,
					.on_data = on_data,
					.on_trailers = on_trailers,
					.on_end = on_end,
					.arg = q };

	q->f = f;
	q->r = h2_client_send(f->client, &conf);
	return q;
}

static inline void expect_states(struct fixture *f, const char *want)
{
	lab_settle(f->loop);
	assert_string_equal(buf_cstr(&f->states), want);
}
