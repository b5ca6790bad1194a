#include "test/bench/bench.h"

int bench_init(struct bench *b, const struct bench_options *o, struct err *e)
{
	struct server_conf server = { o->admin, o->kubeconfig, o->ns, o->node,
				      (size_t)o->gpu_count };
	int r;

	*b = (struct bench){ .o = o, .loop = loop_new() };
	b->agent_conf = (struct agent_conf){ .programs = o->programs,
					     .libraries = o->libraries,
					     .kubeconfig = o->kubeconfig,
					     .node = o->node,
					     .gpus = o->gpus,
					     .plugins = o->plugins,
					     .registry = o->registry,
					     .cdi = o->cdi,
					     .memory = o->memory };
	agent_init(&b->agent, b->loop, &b->agent_conf);
	b->kubelet = kubelet_new(b->loop, o->ns);
	r = server_new(b->loop, &server, &b->server, e);
	return r < 0 ? r : server_watch(b->server, e);
}

void bench_done(struct bench *b)
{
	kubelet_free(&b->kubelet);
	server_free(&b->server);
	agent_done(&b->agent);
	loop_free(&b->loop);
}

void bench_sleep(struct bench *b, uint64_t ms)
{
	uint64_t due = loop_now_us(b->loop) + ms * 1000, now;

	while ((now = loop_now_us(b->loop)) < due)
		loop_turn(b->loop, (int64_t)((due - now) / 1000 + 1));
}
