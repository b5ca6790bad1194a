#include "transport/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>

#include "core/mem.h"
#include "transport/h2_fields.h"
#include "transport/h2_frames.h"

enum {
	FILL_MAX = 64 * 1024,
	OUT_CAP = 1 << 30, /* of one body; owners refuse long before, beyond it is our bug */
	/*
	 * Frames that cost us work and bring nothing (PING, SETTINGS, PRIORITY, empty DATA,
	 * WINDOW_UPDATE, RST_STREAM, CONTINUATION, unknown types, HEADERS that are refused or
	 * announce an interim answer): a stock that useful frames refill and time too. A peer that
	 * has spent it gets ENHANCE_YOUR_CALM. grpc-go's BDP estimator sends one PING per DATA it
	 * reads, so each useful frame must pay for a few. What waits in nghttp2 for a peer that
	 * does not read (acknowledgements, resets) is bounded by this too: only useless frames are
	 * answered by one that no open stream accounts for.
	 */
	CALM_STOCK = 2000,
	CALM_PER_S = 100,
	CALM_CREDIT = 4,
	/* HTTP/2 Rapid Reset: streams opened and reset at once. */
	RESET_BURST = 1000,
	RESET_PER_S = 33,
	ACKS_MAX = 2000,   /* of PING and SETTINGS not yet written: above what CALM_STOCK lets by */
	SETTINGS_MAX = 32, /* entries in one frame; six are defined */
};

struct h2 {
	nghttp2_session *ng;
	struct h2_frames frames;
	const struct h2_events *events;
	void *arg;
	struct list streams;
	size_t streams_n, queued;
	struct h2_fields fields;
	struct buf *fill; /* only during h2_fill() */
	int64_t calm;
	uint64_t calm_ms;
	bool client, receiving, mid_block, angry;
	bool leaving; /* the last GOAWAY was made: streams above its id are ignored */
	bool dead;    /* aborted, perhaps inside an event: no event after */
};

/* The peer's frames are answered when h2_recv() returns; our own word needs a kick. */
static void output(struct h2 *h)
{
	if (!h->receiving && !h->fill && !h->dead)
		h->events->on_output(h->arg);
}

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->ng, id);
}

static void spend(struct h2 *h)
{
	if (--h->calm < 0)
		h->angry = true;
}

static void earn(struct h2 *h)
{
	h->calm = MIN(h->calm + CALM_CREDIT, CALM_STOCK);
}

static void refill(struct h2 *h, uint64_t now_ms)
{
	uint64_t ms = now_ms - h->calm_ms;

	/* Whole tokens only, so that many short steps lose nothing. */
	if (ms < 1000 / CALM_PER_S)
		return;
	ms = MIN(ms, (uint64_t)1000 * (CALM_STOCK / CALM_PER_S));
	h->calm = MIN(h->calm + (int64_t)(ms * CALM_PER_S / 1000), CALM_STOCK);
	h->calm_ms = now_ms;
}

/* A stream's life */

static void attach(struct h2 *h, struct h2_stream *s, int32_t id)
{
	*s = (struct h2_stream){ .h2 = h, .id = id, .length = -1 };
	buf_init(&s->out, OUT_CAP);
	list_push(&h->streams, &s->node);
	h->streams_n++;
}

static void detach(struct h2_stream *s, uint32_t code)
{
	struct h2 *h = s->h2;

	h->queued -= buf_len(&s->out);
	buf_done(&s->out);
	mem_free(s->trailers);
	s->trailers = NULL;
	list_remove(&s->node);
	h->streams_n--;
	s->h2 = NULL;
	h->events->on_close(h->arg, s, code);
}

void h2_reset(struct h2_stream *s, uint32_t code)
{
	struct h2 *h = s->h2;

	if (!h || s->reset)
		return;
	s->reset = true;
	must(nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, code) == 0);
	output(h);
}

/* nghttp2's callbacks, receiving */

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;

	(void)ng;
	if (hd->type == NGHTTP2_DATA && hd->length)
		earn(h);
	else if (hd->type != NGHTTP2_DATA || !(hd->flags & NGHTTP2_FLAG_END_STREAM))
		spend(h);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;

	(void)ng;
	(void)frame;
	h->mid_block = true;
	h2_fields_clear(&h->fields);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2 says how many parameters. */
static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;

	(void)ng;
	(void)frame;
	(void)flags;
	h2_fields_add(&h->fields, sv_make(name, name_n), sv_make(value, value_n));
	return 0;
}

static void reset_id(struct h2 *h, int32_t id, uint32_t code)
{
	must(nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, id, code) == 0);
}

/* Without an object: the owner never hears of it. */
static void refuse_big(struct h2 *h, int32_t id)
{
	nghttp2_nv nv = { .name = (uint8_t *)(uintptr_t) ":status",
			  .value = (uint8_t *)(uintptr_t) "431",
			  .namelen = 7,
			  .valuelen = 3 };

	must(nghttp2_submit_response(h->ng, id, &nv, 1, NULL) == 0);
}

static void got_request(struct h2 *h, int32_t id)
{
	struct h2_stream *s;
	int64_t length;

	if (h->fields.too_big) {
		refuse_big(h, id);
		return;
	}
	if (!h2_fields_check_request(h->fields.v, h->fields.n, &length)) {
		reset_id(h, id, H2_PROTOCOL_ERROR);
		return;
	}
	s = h->events->on_open(h->arg);
	if (!s) {
		reset_id(h, id, H2_REFUSED_STREAM);
		return;
	}
	earn(h);
	attach(h, s, id);
	s->length = length;
	s->got_head = true;
	must(nghttp2_session_set_stream_user_data(h->ng, id, s) == 0);
	h->events->on_headers(h->arg, s, h->fields.v, h->fields.n, false);
}

static bool is_interim(const struct h2_fields *f)
{
	struct sv status = h2_fields_get(f->v, f->n, SV(":status"));

	return status.n == 3 && status.p[0] == '1';
}

static void got_block(struct h2 *h, struct h2_stream *s)
{
	struct h2_fields *f = &h->fields;

	if (f->too_big) {
		h2_reset(s, H2_ENHANCE_YOUR_CALM);
		return;
	}
	if (h->client && !s->got_head) {
		if (is_interim(f))
			return;
		earn(h);
		s->got_head = true;
		h->events->on_headers(h->arg, s, f->v, f->n, false);
		return;
	}
	/* nghttp2 has checked a server's trailers; a client's are ours to check. */
	if (!h->client && !h2_fields_check_trailers(f->v, f->n)) {
		h2_reset(s, H2_PROTOCOL_ERROR);
		return;
	}
	earn(h);
	h->events->on_headers(h->arg, s, f->v, f->n, true);
}

static void got_headers(struct h2 *h, const nghttp2_frame *frame)
{
	struct h2_stream *s;

	h->mid_block = false;
	h2_fields_seal(&h->fields);
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		got_request(h, frame->hd.stream_id);
		return;
	}
	s = stream_of(h, frame->hd.stream_id);
	if (!s || s->reset)
		return;
	/* A second block of a request that does not end it is neither head nor trailers. */
	if (!h->client && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		h2_reset(s, H2_PROTOCOL_ERROR);
	else
		got_block(h, s);
}

static void got_end(struct h2 *h, int32_t id)
{
	struct h2_stream *s = stream_of(h, id);

	if (!s || s->reset || s->in_end)
		return;
	s->in_end = true;
	if (!h->client && s->length >= 0 && (uint64_t)s->length != s->body_n)
		h2_reset(s, H2_PROTOCOL_ERROR);
	else
		h->events->on_end(h->arg, s);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;

	(void)ng;
	if (h->dead)
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		got_headers(h, frame);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			h->events->on_settings(h->arg);
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h->events->on_pong(h->arg);
		break;
	case NGHTTP2_GOAWAY:
		h->events->on_goaway(
		    h->arg, frame->goaway.error_code,
		    sv_make(frame->goaway.opaque_data, frame->goaway.opaque_data_len));
		break;
	default:
		break;
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM && !h->dead)
		got_end(h, frame->hd.stream_id);
	return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t n, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = stream_of(h, id);

	(void)flags;
	/* The connection's window is always given back: one paused stream must not stall others. */
	if (nghttp2_session_consume_connection(ng, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!s || s->reset)
		return 0;
	s->body_n += n;
	if (!h->client && s->length >= 0 && s->body_n > (uint64_t)s->length) {
		h2_reset(s, H2_PROTOCOL_ERROR);
		return 0;
	}
	h->events->on_data(h->arg, s, sv_make(data, n));
	if (!s->h2 || s->reset)
		return 0;
	if (s->paused)
		s->unconsumed += n;
	else if (nghttp2_session_consume_stream(ng, id, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = stream_of(h, id);

	if (s) {
		(void)nghttp2_session_set_stream_user_data(ng, id, NULL);
		detach(s, code);
	}
	return 0;
}

/* nghttp2's callbacks, sending */

/* NOLINTNEXTLINE(readability-non-const-parameter): nghttp2's type. */
static ssize_t on_read_source(nghttp2_session *ng, int32_t id, uint8_t *to, size_t n,
			      uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	size_t len = buf_len(&s->out);
	nghttp2_nv *nv;
	size_t i;

	(void)to;
	if (((struct h2 *)arg)->dead || (!len && !s->out_end)) {
		s->parked = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (len > n)
		return (ssize_t)n;
	if (!s->out_end)
		return (ssize_t)len;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!s->trailers)
		return (ssize_t)len;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nv = mem_calloc(s->trailers_n, sizeof(*nv));
	for (i = 0; i < s->trailers_n; i++)
		nv[i] = (nghttp2_nv){ (uint8_t *)(uintptr_t)s->trailers[i].name.p,
				      (uint8_t *)(uintptr_t)s->trailers[i].value.p,
				      s->trailers[i].name.n, s->trailers[i].value.n,
				      NGHTTP2_NV_FLAG_NONE };
	must(nghttp2_submit_trailer(ng, id, nv, s->trailers_n) == 0);
	mem_free(nv);
	return (ssize_t)len;
}

/* The body goes from its queue into the connection's output, the only copy of it. */
static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd, size_t n,
			nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	struct h2 *h = arg;

	(void)ng;
	must(h->fill && frame->data.padlen == 0);
	if (buf_len(h->fill) >= FILL_MAX)
		return NGHTTP2_ERR_WOULDBLOCK;
	must(n <= buf_len(&s->out));
	must(buf_put(h->fill, framehd, 9) && buf_put(h->fill, buf_sv(&s->out).p, n));
	buf_take(&s->out, n);
	h->queued -= n;
	earn(h);
	return 0;
}

/*
 * A reset, ours or nghttp2's own, is remembered when it goes out: until then the stream lives.
 * RFC 9113 8.1: an answer that came before the request's end asks the client to stop sending.
 */
static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;

	if (h->client)
		return 0;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		h2_frames_note_reset(&h->frames, (uint32_t)frame->hd.stream_id);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0)
		reset_id(h, frame->hd.stream_id, H2_NO_ERROR);
	return 0;
}

/* What arrives for a stream that is over: HEADERS break the connection, DATA only themselves. */
static void check_frame(struct h2 *h, const struct h2_frame *f)
{
	bool open = nghttp2_session_find_stream(h->ng, (int32_t)f->id) != NULL;

	/* nghttp2 skips what it does not know without a word. */
	if (f->type > NGHTTP2_CONTINUATION)
		spend(h);
	if (h->client || h->leaving || !h2_frames_is_late(&h->frames, f, open))
		return;
	if (f->type == NGHTTP2_HEADERS) {
		h2_terminate(h, H2_STREAM_CLOSED);
		return;
	}
	spend(h);
	reset_id(h, (int32_t)f->id, H2_STREAM_CLOSED);
}

/* Construction */

static void *ng_malloc(size_t n, void *arg)
{
	(void)arg;
	return mem_alloc(n);
}

static void ng_free(void *p, void *arg)
{
	(void)arg;
	mem_free(p);
}

static void *ng_calloc(size_t n, size_t size, void *arg)
{
	(void)arg;
	return mem_calloc(n, size);
}

static void *ng_realloc(void *p, size_t n, void *arg)
{
	(void)arg;
	return mem_realloc(p, n, 1);
}

static nghttp2_session_callbacks *new_callbacks(void)
{
	nghttp2_session_callbacks *cb;

	must(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	return cb;
}

static nghttp2_option *new_options(bool client)
{
	nghttp2_option *o;

	must(nghttp2_option_new(&o) == 0);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
	nghttp2_option_set_max_settings(o, SETTINGS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(o, RESET_BURST, RESET_PER_S);
	if (!client)
		nghttp2_option_set_no_http_messaging(o, 1);
	return o;
}

static void submit_settings(struct h2 *h, const struct h2_conf *conf)
{
	nghttp2_settings_entry v[4];
	size_t n = 0;

	if (conf->client)
		v[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
	else
		v[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
						   conf->streams_max };
	if (conf->stream_window)
		v[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
						   conf->stream_window };
	v[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
					   (uint32_t)conf->headers_max };
	must(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, v, n) == 0);
	if (conf->conn_window)
		must(nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
							   (int32_t)conf->conn_window) == 0);
}

struct h2 *h2_new(const struct h2_conf *conf)
{
	nghttp2_mem mem = { NULL, ng_malloc, ng_free, ng_calloc, ng_realloc };
	nghttp2_session_callbacks *cb = new_callbacks();
	nghttp2_option *o = new_options(conf->client);
	struct h2 *h = MEM_NEW(struct h2);

	h->events = conf->events;
	h->arg = conf->arg;
	h->client = conf->client;
	h->calm = CALM_STOCK;
	h2_frames_init(&h->frames, conf->client);
	list_init(&h->streams);
	h2_fields_init(&h->fields, conf->headers_max);
	if (conf->client)
		must(nghttp2_session_client_new3(&h->ng, cb, h, o, &mem) == 0);
	else
		must(nghttp2_session_server_new3(&h->ng, cb, h, o, &mem) == 0);
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	submit_settings(h, conf);
	return h;
}

void h2_abort(struct h2 *h)
{
	h->dead = true;
	while (!list_empty(&h->streams)) {
		struct h2_stream *s = list_entry(h->streams.next, struct h2_stream, node);

		(void)nghttp2_session_set_stream_user_data(h->ng, s->id, NULL);
		detach(s, H2_CODE_LOST);
	}
}

void h2_free(struct h2 **hp)
{
	struct h2 *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	must(list_empty(&h->streams) && !h->receiving && !h->fill);
	nghttp2_session_del(h->ng);
	h2_fields_done(&h->fields);
	mem_free(h);
}

/* Bytes */

int h2_recv(struct h2 *h, struct sv in, uint64_t now_ms, struct err *e)
{
	struct h2_frame frame;
	struct sv piece;
	ssize_t n = 0;
	bool began;

	must(!h->receiving && !h->fill);
	refill(h, now_ms);
	h->receiving = true;
	while (in.n && n >= 0) {
		piece = h2_frames_next(&h->frames, &in, &frame, &began);
		if (began)
			check_frame(h, &frame);
		if (piece.n)
			n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)piece.p, piece.n);
	}
	h->receiving = false;
	if (n < 0)
		return err_set(e, -EPROTO, "HTTP/2: %s", nghttp2_strerror((int)n));
	if (h->angry) {
		h->angry = false;
		h2_terminate(h, H2_ENHANCE_YOUR_CALM);
	}
	return 0;
}

void h2_fill(struct h2 *h, struct buf *out)
{
	const uint8_t *p;
	ssize_t n;

	must(!h->receiving && !h->fill);
	h->fill = out;
	while (!h->dead && buf_len(out) < FILL_MAX) {
		n = nghttp2_session_mem_send(h->ng, &p);
		must(n >= 0); /* only allocation and our own callbacks could fail */
		if (n == 0)
			break;
		must(buf_put(out, p, (size_t)n));
	}
	h->fill = NULL;
}

bool h2_wants_write(const struct h2 *h)
{
	return nghttp2_session_want_write(h->ng) != 0;
}

bool h2_done(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
}

bool h2_mid_block(const struct h2 *h)
{
	return h->mid_block;
}

size_t h2_streams(const struct h2 *h)
{
	return h->streams_n;
}

size_t h2_queued(const struct h2 *h)
{
	return h->queued;
}

/* Requests, responses, bodies */

enum { NV_STACK = 24 }; /* more is rare and goes to the heap */

static nghttp2_nv nv_of(struct sv name, struct sv value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
			     value.n, NGHTTP2_NV_FLAG_NONE };
}

void h2_respond(struct h2_stream *s, int status, const struct h2_header *headers, size_t n,
		bool end)
{
	nghttp2_data_provider source = { .source.ptr = s, .read_callback = on_read_source };
	nghttp2_nv fixed[NV_STACK], *nv = fixed;
	char digits[4];
	size_t i;

	must(status >= 200 && status <= 599);
	if (!s->h2 || s->reset)
		return;
	(void)snprintf(digits, sizeof(digits), "%d", status);
	if (n + 1 > NV_STACK)
		nv = mem_calloc(n + 1, sizeof(*nv));
	nv[0] = nv_of(SV(":status"), sv_make(digits, 3));
	for (i = 0; i < n; i++)
		nv[i + 1] = nv_of(headers[i].name, headers[i].value);
	s->has_source = !end;
	s->out_end |= end;
	must(nghttp2_submit_response(s->h2->ng, s->id, nv, n + 1, end ? NULL : &source) == 0);
	if (nv != fixed)
		mem_free(nv);
	output(s->h2);
}

int h2_request(struct h2 *h, struct h2_stream *s, const struct h2_header *headers, size_t n,
	       bool end)
{
	nghttp2_data_provider source = { .source.ptr = s, .read_callback = on_read_source };
	nghttp2_nv fixed[NV_STACK], *nv = fixed;
	int32_t id;
	size_t i;

	if (!nghttp2_session_check_request_allowed(h->ng))
		return -ECANCELED;
	if (n > NV_STACK)
		nv = mem_calloc(n, sizeof(*nv));
	for (i = 0; i < n; i++)
		nv[i] = nv_of(headers[i].name, headers[i].value);
	id = nghttp2_submit_request(h->ng, NULL, nv, n, end ? NULL : &source, s);
	if (nv != fixed)
		mem_free(nv);
	if (id < 0) /* the ids of this connection are used up */
		return -ECANCELED;
	attach(h, s, id);
	s->has_source = !end;
	s->out_end = end;
	output(h);
	return 0;
}

static void resume(struct h2_stream *s)
{
	if (s->parked) {
		s->parked = false;
		must(nghttp2_session_resume_data(s->h2->ng, s->id) == 0);
	}
	output(s->h2);
}

void h2_write(struct h2_stream *s, struct sv data)
{
	if (!s->h2 || s->reset || !data.n)
		return;
	must(s->has_source && !s->out_end);
	must(buf_put_sv(&s->out, data));
	s->h2->queued += data.n;
	resume(s);
}

static struct h2_header *copy_headers(const struct h2_header *h, size_t n)
{
	struct h2_header *v;
	size_t i, text = 0;
	char *p;

	for (i = 0; i < n; i++)
		text += h[i].name.n + h[i].value.n;
	v = mem_alloc(n * sizeof(*v) + text);
	p = (char *)(v + n);
	for (i = 0; i < n; i++) {
		v[i] = (struct h2_header){ { p, h[i].name.n }, { p + h[i].name.n, h[i].value.n } };
		if (h[i].name.n)
			memcpy(p, h[i].name.p, h[i].name.n);
		if (h[i].value.n)
			memcpy(p + h[i].name.n, h[i].value.p, h[i].value.n);
		p += h[i].name.n + h[i].value.n;
	}
	return v;
}

void h2_end(struct h2_stream *s, const struct h2_header *trailers, size_t n)
{
	if (!s->h2 || s->reset)
		return;
	must(s->has_source && !s->out_end);
	s->out_end = true;
	if (n) {
		s->trailers = copy_headers(trailers, n);
		s->trailers_n = n;
	}
	resume(s);
}

void h2_pause(struct h2_stream *s, bool paused)
{
	size_t n = (size_t)s->unconsumed;

	s->paused = paused;
	if (!s->h2 || s->reset || paused || !n)
		return;
	s->unconsumed = 0;
	must(nghttp2_session_consume_stream(s->h2->ng, s->id, n) == 0);
	output(s->h2);
}

/* The connection */

void h2_goaway_soon(struct h2 *h)
{
	must(nghttp2_submit_shutdown_notice(h->ng) == 0);
	output(h);
}

void h2_goaway(struct h2 *h, uint32_t code)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->ng);

	h->leaving = true;
	/* Refused (< 0) only after an earlier one with a lower id: said already. */
	(void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
	output(h);
}

void h2_terminate(struct h2 *h, uint32_t code)
{
	must(nghttp2_session_terminate_session(h->ng, code) == 0);
	output(h);
}

void h2_ping(struct h2 *h)
{
	must(nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL) == 0);
	output(h);
}

uint32_t h2_peer_streams_max(const struct h2 *h)
{
	return nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}
