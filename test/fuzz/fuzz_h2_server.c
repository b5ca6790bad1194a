/*
 * HTTP/2 from a client: the first byte says in which pieces the rest arrives behind a good preface
 * and whether the answers come early. Whole or in pieces, the events must be the same.
 */
#include "core/mem.h"
#include "test/fuzz/fuzz.h"
#include "transport/h2.h"

enum { CALLS_MAX = 600 };

struct call {
	struct h2_stream stream;
	uint64_t body; /* its bytes, folded; counts only when it ends well */
	bool open;
};
struct server {
	struct h2 *h2;
	struct call *calls;
	size_t n, open;
	uint64_t events; /* all of them, folded */
	bool early;
};

static void fold(struct server *s, const char *what, struct sv bytes, uint64_t more)
{
	size_t i;

	for (i = 0; what[i]; i++)
		s->events = (s->events ^ (unsigned char)what[i]) * 0x100000001b3u;
	for (i = 0; i < bytes.n; i++)
		s->events = (s->events ^ (unsigned char)bytes.p[i]) * 0x100000001b3u;
	s->events = (s->events ^ more) * 0x100000001b3u;
}

static struct h2_stream *on_open(void *arg)
{
	struct server *s = arg;

	if (s->n == CALLS_MAX)
		return NULL;
	s->open++;
	s->calls[s->n].open = true;
	return &s->calls[s->n++].stream;
}

static void answer(struct h2_stream *st)
{
	static const struct h2_header tail[] = { { SV("grpc-status"), SV("0") } };

	h2_respond(st, 200, NULL, 0, false);
	h2_write(st, SV("body"));
	h2_end(st, tail, 1);
}

static void on_headers(void *arg, struct h2_stream *st, const struct h2_header *h, size_t n,
		       bool trailers)
{
	struct server *s = arg;
	size_t i;

	fold(s, "headers", SV_NONE, (uint64_t)st->id + trailers);
	for (i = 0; i < n; i++) {
		must(h[i].name.n > 0);
		fold(s, "name", h[i].name, 0);
		fold(s, "value", h[i].value, 0);
	}
	if (s->early && !trailers)
		answer(st);
}

static struct call *call_of(struct h2_stream *st)
{
	return container_of(st, struct call, stream);
}

static void on_data(void *arg, struct h2_stream *st, struct sv data)
{
	size_t i;

	(void)arg;
	for (i = 0; i < data.n; i++)
		call_of(st)->body = (call_of(st)->body ^ (unsigned char)data.p[i]) * 0x100000001b3u;
}

static void on_end(void *arg, struct h2_stream *st)
{
	struct server *s = arg;

	fold(s, "end", SV_NONE, (uint64_t)st->id ^ call_of(st)->body);
	if (!s->early)
		answer(st);
}

static void on_close(void *arg, struct h2_stream *st, uint32_t code)
{
	struct server *s = arg;
	struct call *c = call_of(st);

	must(c->open && !st->h2);
	c->open = false;
	s->open--;
	fold(s, "close", SV_NONE, code);
}

static void on_settings(void *arg)
{
	fold(arg, "settings", SV_NONE, 0);
}

static void on_goaway(void *arg, uint32_t code, struct sv text)
{
	fold(arg, "goaway", text, code);
}

static void on_pong(void *arg)
{
	fold(arg, "pong", SV_NONE, 0);
}

static void on_output(void *arg)
{
	(void)arg;
}

static const struct h2_events events = { on_open,     on_headers, on_data, on_end,   on_close,
					 on_settings, on_goaway,  on_pong, on_output };

static uint64_t play(struct sv in, size_t step, bool early)
{
	struct server s = { .calls = mem_calloc(CALLS_MAX, sizeof(struct call)), .early = early };
	struct h2_conf conf = {
		.streams_max = 100, .headers_max = 4096, .events = &events, .arg = &s
	};
	struct buf out;
	struct err e;
	int r;

	s.h2 = h2_new(&conf);
	r = h2_recv(s.h2, SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), 0, &e);
	must(r == 0);
	while (in.n && r == 0) {
		size_t n = MIN(step, in.n);
		char *piece = mem_dup(in.p, n); /* its own memory: a read beyond is seen */

		r = h2_recv(s.h2, sv_make(piece, n), 0, &e);
		mem_free(piece);
		in = sv_drop(in, n);
	}
	fold(&s, r < 0 ? "broken" : "fine", SV_NONE, 0);
	buf_init(&out, 64 << 20);
	while (r == 0 && h2_wants_write(s.h2)) {
		size_t before = buf_len(&out);

		buf_clear(&out);
		h2_fill(s.h2, &out);
		if (!buf_len(&out) && !before)
			break;
	}
	buf_done(&out);
	h2_abort(s.h2);
	must(s.open == 0 && h2_streams(s.h2) == 0 && h2_queued(s.h2) == 0);
	h2_free(&s.h2);
	mem_free(s.calls);
	return s.events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make(data, size);
	size_t step;
	bool early;

	/* At most as many frames as are let by without a look at the clock. */
	if (!size || size > 9 * 1500)
		return 0;
	step = (data[0] & 127u) + 1;
	early = data[0] & 128;
	in = sv_drop(in, 1);
	must(play(in, SIZE_MAX, early) == play(in, step, early));
	return 0;
}
