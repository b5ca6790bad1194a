#include "test/lib/controllers.h"

#include <stdarg.h>

#include "core/mem.h"
#include "test/lib/controllers_private.h"

enum { ROUNDS_MAX = 100 };

void controllers_line(struct controllers *c, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (!c->conf.on_line)
		return;
	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	c->conf.on_line(c->conf.arg, text);
	mem_free(text);
}

bool controllers_done(const json_t *pod)
{
	const char *phase = jx_text(jx_get(pod, "status", "phase"));

	return !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
}

const char *controllers_claim_name(const json_t *pod, const json_t *entry)
{
	const json_t *made = jx_get(pod, "status", "resourceClaimStatuses");
	const char *named = jx_text(jx_get(entry, "resourceClaimName"));

	for (size_t i = 0; !*named && i < json_array_size(made); i++)
		if (jx_is(jx_get(json_array_get(made, i), "name"), jx_text(jx_get(entry, "name"))))
			return jx_text(jx_get(json_array_get(made, i), "resourceClaimName"));
	return named;
}

/* Until nothing is due: what one does is news to the other. */
static void on_work(void *arg)
{
	struct controllers *c = arg;
	unsigned rounds = 0;

	while (rounds++ < ROUNDS_MAX && (claim_controller_work(c) || scheduler_work(c)))
		;
}

static void on_event(void *arg, const struct store_event *ev)
{
	struct controllers *c = arg;

	collector_event(c, ev);
	scheduler_event(c, ev);
	loop_task_post(&c->work);
}

struct controllers *controllers_new(struct loop *l, const struct controllers_conf *conf)
{
	struct controllers *c = MEM_NEW(struct controllers);
	struct store *s = conf->store;

	c->loop = l;
	c->conf = *conf;
	c->store = s;
	c->pods = store_kind(s, "", "pods");
	c->nodes = store_kind(s, "", "nodes");
	c->claims = store_kind(s, "resource.k8s.io", "resourceclaims");
	c->templates = store_kind(s, "resource.k8s.io", "resourceclaimtemplates");
	c->queue = json_array();
	for (size_t i = 0; i < store_count(s, c->pods); i++)
		json_array_append_new(c->queue, json_string(jx_uid(store_at(s, c->pods, i))));
	loop_task_init(&c->work, l, LOOP_TICK, on_work, c);
	c->watch = store_watch(s, NULL, store_rv(s), on_event, c);
	loop_task_post(&c->work);
	return c;
}

void controllers_free(struct controllers **cp)
{
	struct controllers *c = *cp;

	if (!c)
		return;
	store_unwatch(&c->watch);
	loop_task_stop(&c->work);
	json_decref(c->queue);
	mem_free(c);
	*cp = NULL;
}
