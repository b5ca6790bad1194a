#include "transport/grpc_client.h"

#include <errno.h>

#include "core/mem.h"

enum { MESSAGE_MAX = 4 * 1024 * 1024 }; /* as the kubelet takes them */

struct grpc_client_call {
	struct loop *loop;
	struct h2_request *request;
	struct grpc_reader reader;
	grpc_message_fn on_message;
	grpc_end_fn on_end;
	void *arg;
	struct buf text; /* grpc-message, decoded */
	int code;	 /* grpc-status, -1 = not seen */
	int http;
	bool is_grpc, over;
};

static void release(void *obj)
{
	struct grpc_client_call *c = obj;

	grpc_reader_done(&c->reader);
	buf_done(&c->text);
	mem_free(c);
}

static void end(struct grpc_client_call *c, int code, const char *text)
{
	c->over = true;
	loop_defer_free(c->loop, c, release);
	c->on_end(c->arg, code, text);
}

/* The server is wrong: no more of it. */
static void give_up(struct grpc_client_call *c, enum grpc_code code, const char *text)
{
	h2_request_cancel(c->request);
	end(c, (int)code, text);
}

static void read_status(struct grpc_client_call *c, const struct h2_header *h, size_t n)
{
	uint64_t code;
	size_t i;

	for (i = 0; i < n; i++) {
		if (sv_eqs(h[i].name, "grpc-status") && sv_u64(h[i].value, &code) == 0 &&
		    code <= INT32_MAX) {
			c->code = (int)code;
		} else if (sv_eqs(h[i].name, "grpc-message")) {
			buf_clear(&c->text);
			grpc_percent_decode(&c->text, h[i].value);
		}
	}
}

static void on_head(void *arg, int status, const struct h2_header *h, size_t n)
{
	struct grpc_client_call *c = arg;
	size_t i;

	c->http = status;
	for (i = 0; i < n; i++)
		if (sv_eqs(h[i].name, "content-type") &&
		    sv_starts(h[i].value, SV("application/grpc")))
			c->is_grpc = true;
	if (c->is_grpc)
		read_status(c, h, n); /* trailers-only */
}

static void on_data(void *arg, struct sv data)
{
	struct grpc_client_call *c = arg;
	int r;

	if (!c->is_grpc)
		return;
	while (!c->over && (r = grpc_reader_feed(&c->reader, &data)) != GRPC_READER_MORE) {
		if (r == GRPC_READER_MESSAGE)
			c->on_message(c->arg, buf_sv(&c->reader.message));
		else if (r == GRPC_READER_TOO_BIG)
			give_up(c, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than 4 MiB");
		else
			give_up(c, GRPC_INTERNAL, "a compressed answer that was not asked for");
	}
}

static void on_trailers(void *arg, const struct h2_header *h, size_t n)
{
	struct grpc_client_call *c = arg;

	if (c->is_grpc)
		read_status(c, h, n);
}

static void end_complete(struct grpc_client_call *c)
{
	char text[64];

	if (!c->is_grpc) {
		(void)snprintf(text, sizeof(text), "HTTP status %d, not gRPC", c->http);
		end(c, (int)grpc_code_of_http(c->http), text);
	} else if (c->code < 0) {
		end(c, GRPC_INTERNAL, "the answer has no grpc-status");
	} else if (c->code == GRPC_OK && !grpc_reader_idle(&c->reader)) {
		end(c, GRPC_INTERNAL, "the answer ends inside a message");
	} else {
		end(c, c->code, buf_cstr(&c->text));
	}
}

static void on_end(void *arg, int status, bool sent, const struct err *e)
{
	struct grpc_client_call *c = arg;

	(void)sent;
	switch (status) {
	case 0:
		end_complete(c);
		break;
	case -ETIMEDOUT:
		end(c, GRPC_DEADLINE_EXCEEDED, err_text(e));
		break;
	case -ECANCELED:
		end(c, GRPC_CANCELLED, err_text(e));
		break;
	case -EBUSY:
		end(c, GRPC_RESOURCE_EXHAUSTED, err_text(e));
		break;
	case -EPROTO:
		end(c, GRPC_INTERNAL, err_text(e));
		break;
	default:
		end(c, -1, err_text(e));
		break;
	}
}

struct grpc_client_call *grpc_client_call(struct h2_client *h, const char *path, struct sv message,
					  uint64_t timeout_ms, grpc_message_fn on_message,
					  grpc_end_fn on_end_fn, void *arg)
{
	struct grpc_client_call *c = MEM_NEW(struct grpc_client_call);
	struct h2_header headers[] = {
		{ SV("content-type"), SV("application/grpc") },
		{ SV("te"), SV("trailers") },
		{ SV("grpc-timeout"), SV_NONE }, /* last: left out without a timeout */
	};
	struct h2_request_conf conf = {
		.method = "POST",
		.path = sv_str(path),
		.headers = headers,
		.headers_n = timeout_ms ? 3 : 2,
		.timeout_ms = timeout_ms,
		.on_head = on_head,
		.on_data = on_data,
		.on_trailers = on_trailers,
		.on_end = on_end,
		.arg = c,
	};
	unsigned char prefix[GRPC_PREFIX];
	char timeout[16];
	struct buf body;

	grpc_timeout_format(timeout, timeout_ms);
	headers[2].value = sv_str(timeout);
	grpc_prefix(prefix, message.n);
	buf_init(&body, GRPC_PREFIX + message.n);
	must(buf_put(&body, prefix, sizeof(prefix)) && buf_put_sv(&body, message));
	conf.body = buf_sv(&body);
	*c = (struct grpc_client_call){ .loop = h2_client_loop(h),
					.on_message = on_message,
					.on_end = on_end_fn,
					.arg = arg,
					.code = -1 };
	grpc_reader_init(&c->reader, MESSAGE_MAX);
	buf_init(&c->text, GRPC_TEXT_MAX);
	c->request = h2_client_send(h, &conf);
	buf_done(&body);
	return c;
}

void grpc_client_cancel(struct grpc_client_call *c)
{
	must(!c->over);
	c->over = true;
	h2_request_cancel(c->request);
	loop_defer_free(c->loop, c, release);
}
