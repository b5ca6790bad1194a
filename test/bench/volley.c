#include "test/bench/volley.h"

#include "core/mem.h"

static void advance(struct volley *v)
{
	while (v->open < v->limit && v->next < v->n) {
		struct shot *s = &v->shots[v->next];

		*s = (struct shot){ .volley = v, .i = v->next };
		v->next++;
		v->open++;
		s->began_us = loop_now_us(v->loop);
		v->start(v->ctx, s);
	}
}

void volley_run(struct volley *v)
{
	uint64_t began = loop_now_us(v->loop);

	v->shots = mem_calloc(v->n + 1, sizeof(*v->shots));
	v->next = v->open = v->ended = v->errors = 0;
	v->error[0] = '\0';
	advance(v);
	while (v->ended < v->n)
		must(loop_turn(v->loop, -1));
	v->us = loop_now_us(v->loop) - began;
	mem_free(v->shots);
	v->shots = NULL;
	if (v->title)
		fprintf(stderr, "%s: %zu, %zu in flight, %.0f/s%s%s\n", v->title, v->n, v->limit,
			volley_rate(v), v->errors ? ", first error: " : "", v->error);
}

void shot_end(struct shot *s, const char *error)
{
	struct volley *v = s->volley;

	if (!error && v->latency)
		sample_add(v->latency, loop_now_us(v->loop) - s->began_us);
	if (error && !v->errors++)
		sv_copy(v->error, sizeof(v->error), sv_str(error));
	v->open--;
	v->ended++;
	advance(v);
}

double volley_rate(const struct volley *v)
{
	return v->us ? (double)v->n * 1e6 / (double)v->us : 0;
}
