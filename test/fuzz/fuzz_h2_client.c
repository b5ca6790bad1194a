/*
 * HTTP/2 from a server, with three requests open, one of them paused: first byte as in
 * fuzz_h2_server.
 */
#include "core/mem.h"
#include "test/fuzz/fuzz.h"
#include "transport/h2.h"

enum { REQUESTS = 3 };

struct client {
	struct h2 *h2;
	struct h2_stream streams[REQUESTS];
	size_t open;
	uint64_t data;
	bool head[REQUESTS];
};

static struct h2_stream *on_open(void *arg)
{
	(void)arg;
	return NULL;
}

static void on_headers(void *arg, struct h2_stream *s, const struct h2_header *h, size_t n,
		       bool trailers)
{
	struct client *c = arg;
	bool *head = &c->head[s - c->streams];
	size_t i;

	/* One head, then trailers, and the head has a final status. */
	must(trailers == *head);
	*head = true;
	for (i = 0; i < n; i++)
		must(h[i].name.n > 0);
	must(trailers || (n && sv_eqs(h[0].name, ":status") && h[0].value.p[0] != '1'));
}

static void on_data(void *arg, struct h2_stream *s, struct sv data)
{
	struct client *c = arg;

	must(c->head[s - c->streams]);
	c->data += data.n;
	if (data.n % 7 == 3)
		h2_reset(s, H2_CANCEL);
}

static void on_end(void *arg, struct h2_stream *s)
{
	struct client *c = arg;

	must(c->head[s - c->streams]);
}

static void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
	(void)s;
	(void)code;
	((struct client *)arg)->open--;
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void on_goaway(void *arg, uint32_t code, struct sv text)
{
	(void)arg;
	(void)code;
	must(text.n < 1 << 24);
}

static const struct h2_events events = { on_open,    on_headers, on_data,    on_end,	on_close,
					 on_nothing, on_goaway,	 on_nothing, on_nothing };

static void flush(struct client *c)
{
	struct buf out;

	buf_init(&out, 64 << 20);
	h2_fill(c->h2, &out);
	buf_done(&out);
}

static void ask(struct client *c)
{
	static const struct h2_header get[] = { { SV(":method"), SV("GET") },
						{ SV(":scheme"), SV("https") },
						{ SV(":path"), SV("/") },
						{ SV(":authority"), SV("a") } };
	size_t i;

	for (i = 0; i < REQUESTS; i++) {
		c->open++;
		must(h2_request(c->h2, &c->streams[i], get, 4, i != 1) == 0);
	}
	h2_write(&c->streams[1], SV("a body that is not finished"));
	h2_pause(&c->streams[2], true);
	flush(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client c = { .open = 0 };
	struct h2_conf conf = { .client = true,
				.stream_window = 4096,
				.conn_window = 65536,
				.headers_max = 4096,
				.events = &events,
				.arg = &c };
	struct sv in = sv_make(data, size);
	struct err e;
	size_t step;
	int r = 0;

	if (!size)
		return 0;
	c.h2 = h2_new(&conf);
	ask(&c);
	step = (data[0] & 127u) + 1;
	in = sv_drop(in, 1);
	while (in.n && r == 0) {
		size_t n = MIN(step, in.n);
		char *piece = mem_dup(in.p, n);

		r = h2_recv(c.h2, sv_make(piece, n), 0, &e);
		mem_free(piece);
		in = sv_drop(in, n);
		if (data[0] & 128)
			flush(&c);
	}
	h2_pause(&c.streams[2], false);
	flush(&c);
	h2_abort(c.h2);
	must(c.open == 0 && h2_queued(c.h2) == 0);
	h2_free(&c.h2);
	return 0;
}
