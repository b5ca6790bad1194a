#include "tools/tundra/doctor_kube.h"

#include <errno.h>

int kube_open(const struct doctor *d, struct kube *k, struct doctor_finding *f)
{
	struct api_conf conf = { .config = d->api };
	struct err e = { 0 };
	int r;

	*k = (struct kube){ .f = f, .timeout_ms = d->limit_ms - d->limit_ms / 4 };
	if (!d->api) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s", err_text(&d->api_why));
		doctor_fix(f, "give --kubeconfig, or run this in tundra's pod");
		return -ENOENT;
	}
	k->loop = loop_new();
	r = api_new(k->loop, &conf, &k->api, &e);
	if (r < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s: %s", d->api->source, err_text(&e));
		loop_free(&k->loop);
	}
	return r;
}

void kube_close(struct kube *k)
{
	api_free(&k->api);
	loop_free(&k->loop);
}

static void on_answer(void *arg, const struct api_result *r)
{
	struct kube_call *c = arg;

	c->fn(c->arg, r);
	if (!--c->kube->open)
		loop_stop(c->kube->loop);
}

void kube_call(struct kube *k, struct kube_call *c, struct api_request *r)
{
	c->kube = k;
	r->fn = on_answer;
	r->arg = c;
	r->timeout_ms = k->timeout_ms;
	k->open++;
	api_call(k->api, r);
}

void kube_wait(struct kube *k)
{
	if (k->open)
		loop_run(k->loop);
}
