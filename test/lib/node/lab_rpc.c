#include "test/lib/node/lab_rpc.h"

#include "core/mem.h"

enum { ANSWER_MAX = 4 << 20 };

static void on_message(void *arg, struct sv message)
{
	struct lab_rpc *r = arg;

	r->messages++;
	buf_clear(&r->answer);
	buf_put_sv(&r->answer, message);
}

static void on_end(void *arg, int code, const char *text)
{
	struct lab_rpc *r = arg;

	r->call = NULL;
	r->done = true;
	r->code = code;
	snprintf(r->text, sizeof(r->text), "%s", text ? text : "");
}

void lab_rpc_start(struct lab *l, struct lab_rpc *r, const char *socket, const char *path,
		   struct sv message, uint64_t timeout_ms)
{
	const struct h2_client_conf conf = { .unix_path = socket, .authority = "localhost" };

	*r = (struct lab_rpc){ .client = h2_client_new(l->loop, &conf) };
	buf_init(&r->answer, ANSWER_MAX);
	r->call = grpc_client_call(r->client, path, message, timeout_ms, on_message, on_end, r);
}

int lab_rpc_wait(struct lab *l, struct lab_rpc *r, uint64_t ms)
{
	return lab_until_true(l, &r->done, ms) ? r->code : -2;
}

void lab_rpc_done(struct lab_rpc *r)
{
	if (r->call)
		grpc_client_cancel(r->call);
	r->call = NULL;
	h2_client_free(&r->client);
	buf_done(&r->answer);
}

void lab_rpc_claims(struct buf *out, const char *const *pairs, size_t n)
{
	Dra__PrepareRequest m = DRA__PREPARE_REQUEST__INIT;
	Dra__Claim *claims = mem_calloc(n + 1, sizeof(*claims));
	Dra__Claim **refs = mem_calloc(n + 1, sizeof(*refs));
	char ns[] = "default";
	size_t size;

	for (size_t i = 0; i < n; i++) {
		dra__claim__init(&claims[i]);
		claims[i].namespace_ = ns;
		claims[i].name = (char *)(uintptr_t)pairs[2 * i];
		claims[i].uid = (char *)(uintptr_t)pairs[2 * i + 1];
		refs[i] = &claims[i];
	}
	m.n_claims = n;
	m.claims = refs;
	size = dra__prepare_request__get_packed_size(&m);
	dra__prepare_request__pack(&m, (uint8_t *)buf_reserve(out, size + 1));
	buf_commit(out, size);
	mem_free(claims);
	mem_free(refs);
}
