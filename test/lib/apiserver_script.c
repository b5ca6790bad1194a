#include "test/lib/apiserver_script.h"

#include <stdio.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "transport/h2_server.h"

enum { STEPS_MAX = 256, BODY_MAX = 4 << 20, QUEUED_MAX = 64 << 20, CUT_MS = 5 };

/* One request. Owner: its server's call, until on_gone. */
struct exchange {
	struct list node; /* script.held, when held */
	struct script *script;
	struct h2_call *call;
	struct script_step step;
	struct loop_timer timer;
	struct buf body;
	char *line, *token, *headers;
	bool matched;
};

struct script {
	struct loop *loop;
	char *path;
	struct tls_server *tls; /* not owned */
	uint16_t port;
	struct h2_server *server;
	struct h2_server *old[STEPS_MAX]; /* drained; freed at the end */
	size_t old_n;
	struct script_step steps[STEPS_MAX];
	unsigned used[STEPS_MAX];
	size_t steps_n;
	struct list held;
	struct loop_timer cut;
	unsigned requests, unexpected;
	char *last, *last_headers, *last_body;
	uint64_t last_ms;
};

static void script_listen(struct script *s);

static bool path_matches(const char *want, const char *path)
{
	size_t n;

	if (!want)
		return true;
	n = strlen(want);
	if (n && want[n - 1] == '*')
		return strncmp(want, path, n - 1) == 0;
	return strcmp(want, path) == 0;
}

static bool step_matches(const struct script_step *t, const struct exchange *x)
{
	const char *space = strchr(x->line, ' ');

	if (t->method && (strlen(t->method) != (size_t)(space - x->line) ||
			  strncmp(t->method, x->line, (size_t)(space - x->line)) != 0))
		return false;
	if (!path_matches(t->path, space + 1))
		return false;
	if (t->token && strcmp(t->token, x->token ? x->token : "") != 0)
		return false;
	return !t->sends ||
	       memmem(x->body.data + x->body.start, buf_len(&x->body), t->sends, strlen(t->sends));
}

static void exchange_match(struct exchange *x)
{
	struct script *s = x->script;
	unsigned times;

	for (size_t i = 0; i < s->steps_n; i++) {
		times = s->steps[i].times ? s->steps[i].times : 1;
		if (s->used[i] >= times || !step_matches(&s->steps[i], x))
			continue;
		if (times != SCRIPT_ALWAYS)
			s->used[i]++;
		x->step = s->steps[i];
		return;
	}
	s->unexpected++;
	(void)fprintf(stderr, "unexpected request: %s\n", x->line);
	x->step = (struct script_step){ .status = 418 };
}

/* Everything but how it ends. */
static void exchange_send(struct exchange *x)
{
	const struct script_step *t = &x->step;
	struct h2_header h[2];
	size_t n = 0;

	h[n++] = (struct h2_header){ SV("content-type"),
				     t->type ? sv_str(t->type) : SV("application/json") };
	if (t->header)
		h[n++] = (struct h2_header){ sv_str(t->header), sv_str(t->value) };
	h2_call_respond(x->call, t->status ? t->status : 200, h, n, false);
	if (t->body)
		h2_call_write(x->call, sv_str(t->body));
}

static void script_drain(struct script *s)
{
	must(s->old_n < STEPS_MAX);
	s->old[s->old_n++] = s->server;
	h2_server_drain(s->server, NULL, NULL);
	s->server = NULL;
	script_listen(s);
}

static void exchange_answer(void *arg)
{
	struct exchange *x = arg;
	struct script *s = x->script;

	switch (x->step.end) {
	case SCRIPT_SILENT:
		return;
	case SCRIPT_REFUSE:
		h2_call_reset(x->call, H2_REFUSED_STREAM);
		return;
	case SCRIPT_WHOLE:
		exchange_send(x);
		h2_call_end(x->call, NULL, 0);
		return;
	case SCRIPT_HOLD:
		exchange_send(x);
		list_push(&s->held, &x->node);
		return;
	case SCRIPT_CUT:
		exchange_send(x);
		loop_timer_set(&s->cut, CUT_MS);
		return;
	case SCRIPT_RESET:
		exchange_send(x);
		h2_call_reset(x->call, H2_INTERNAL_ERROR);
		return;
	case SCRIPT_GOAWAY:
		exchange_send(x);
		h2_call_end(x->call, NULL, 0);
		script_drain(s);
		return;
	}
}

static void replace(char **to, char *text)
{
	mem_free(*to);
	*to = text;
}

static void exchange_on_head(void *arg, struct h2_call *c, const struct h2_head *head)
{
	struct exchange *x = MEM_NEW(struct exchange);
	struct sv agent = SV_NONE, type = SV_NONE;

	x->script = arg;
	x->call = c;
	buf_init(&x->body, BODY_MAX);
	loop_timer_init(&x->timer, x->script->loop, exchange_answer, x);
	x->line = mem_printf(SV_FMT " " SV_FMT, SV_ARG(head->method), SV_ARG(head->path));
	for (size_t i = 0; i < head->n; i++) {
		if (sv_eqs(head->headers[i].name, "authorization"))
			replace(&x->token, sv_dup(head->headers[i].value));
		else if (sv_eqs(head->headers[i].name, "user-agent"))
			agent = head->headers[i].value;
		else if (sv_eqs(head->headers[i].name, "content-type"))
			type = head->headers[i].value;
	}
	x->headers = mem_printf(SV_FMT "|" SV_FMT, SV_ARG(agent), SV_ARG(type));
	h2_call_set_user(c, x);
}

static void exchange_on_data(void *arg, struct h2_call *c, struct sv data)
{
	struct exchange *x = h2_call_user(c);

	(void)arg;
	buf_put_sv(&x->body, data);
}

static void exchange_on_end(void *arg, struct h2_call *c)
{
	struct script *s = arg;
	struct exchange *x = h2_call_user(c);

	s->requests++;
	s->last_ms = loop_now_ms(s->loop);
	replace(&s->last, mem_strdup(x->line));
	replace(&s->last_headers, mem_strdup(x->headers));
	replace(&s->last_body, sv_dup(buf_sv(&x->body)));
	exchange_match(x);
	/* Never from inside the server's own callback: an answer may end the server. */
	loop_timer_set(&x->timer, x->step.delay_ms);
}

static void exchange_on_gone(void *arg, struct h2_call *c)
{
	struct exchange *x = h2_call_user(c);

	(void)arg;
	list_remove(&x->node);
	loop_timer_stop(&x->timer);
	buf_done(&x->body);
	mem_free(x->line);
	mem_free(x->token);
	mem_free(x->headers);
	loop_defer_free(x->script->loop, x, mem_free);
}

static const struct h2_server_events exchange_events = {
	.on_head = exchange_on_head,
	.on_data = exchange_on_data,
	.on_end = exchange_on_end,
	.on_gone = exchange_on_gone,
};

static void script_listen(struct script *s)
{
	const struct h2_server_conf conf = {
		.queued_max = QUEUED_MAX,
		.events = &exchange_events,
		.arg = s,
	};
	struct err e = { "" };

	s->server = h2_server_new(s->loop, &conf);
	if (h2_server_listen_unix(s->server, s->path, 0600, &e) < 0 ||
	    (s->tls && h2_server_listen_tcp(s->server, "127.0.0.1", &s->port, s->tls, &e) < 0)) {
		(void)fprintf(stderr, "script cannot listen: %s\n", e.text);
		must(false);
	}
}

static void script_cut_now(void *arg)
{
	struct script *s = arg;

	script_down(s);
	script_up(s);
}

struct script *script_new(struct loop *l, const char *socket_path)
{
	struct script *s = MEM_NEW(struct script);

	s->loop = l;
	s->path = mem_strdup(socket_path);
	list_init(&s->held);
	loop_timer_init(&s->cut, l, script_cut_now, s);
	script_listen(s);
	return s;
}

void script_free(struct script **s)
{
	struct script *x = *s;

	if (!x)
		return;
	*s = NULL;
	script_down(x);
	loop_timer_stop(&x->cut);
	(void)unlink(x->path);
	mem_free(x->path);
	mem_free(x->last);
	mem_free(x->last_headers);
	mem_free(x->last_body);
	/* Its exchanges are freed after it; they do not look at it any more. */
	loop_defer_free(x->loop, x, mem_free);
}

void script_use_tls(struct script *s, struct tls_server *tls)
{
	s->tls = tls;
}

uint16_t script_port(const struct script *s)
{
	return s->port;
}

void script_expect(struct script *s, const struct script_step *step)
{
	must(s->steps_n < STEPS_MAX);
	s->used[s->steps_n] = 0;
	s->steps[s->steps_n++] = *step;
}

void script_clear(struct script *s)
{
	s->steps_n = 0;
}

size_t script_left(const struct script *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->steps_n; i++)
		if (s->steps[i].times != SCRIPT_ALWAYS)
			left += s->used[i] < (s->steps[i].times ? s->steps[i].times : 1);
	return left;
}

unsigned script_requests(const struct script *s)
{
	return s->requests;
}

unsigned script_unexpected(const struct script *s)
{
	return s->unexpected;
}

const char *script_last(const struct script *s)
{
	return s->last ? s->last : "";
}

const char *script_last_header(const struct script *s)
{
	return s->last_headers ? s->last_headers : "";
}

const char *script_last_body(const struct script *s)
{
	return s->last_body ? s->last_body : "";
}

uint64_t script_last_ms(const struct script *s)
{
	return s->last_ms;
}

size_t script_held(const struct script *s)
{
	size_t n = 0;

	list_for_each (node, &s->held)
		n++;
	return n;
}

void script_push(struct script *s, const char *text)
{
	list_for_each (node, &s->held)
		h2_call_write(list_entry(node, struct exchange, node)->call, sv_str(text));
}

void script_release(struct script *s)
{
	list_for_each_safe (node, &s->held) {
		struct exchange *x = list_entry(node, struct exchange, node);

		list_remove(node);
		h2_call_end(x->call, NULL, 0);
	}
}

void script_cut(struct script *s)
{
	script_cut_now(s);
}

void script_down(struct script *s)
{
	h2_server_free(&s->server);
	while (s->old_n)
		h2_server_free(&s->old[--s->old_n]);
}

void script_up(struct script *s)
{
	if (!s->server)
		script_listen(s);
}

size_t script_connections(const struct script *s)
{
	return s->server ? h2_server_connections(s->server) : 0;
}
