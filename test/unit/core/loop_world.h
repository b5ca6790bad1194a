#pragma once
/* A loop, real or virtual, and actors on it who note that they ran. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"

/* What ran, in order: one letter each. */
struct world {
	struct loop *loop;
	char trace[256];
	size_t n;
};

struct actor {
	struct world *w;
	struct loop_timer timer;
	struct loop_task task, *then;
	struct loop_io io;
	struct actor *other;
	uint64_t delay_ms;
	unsigned ready;
	int fd, again;
	char letter;
};

static inline void note(struct world *w, char c)
{
	must(w->n + 1 < sizeof(w->trace));
	w->trace[w->n++] = c;
	w->trace[w->n] = '\0';
}

static inline void on_actor(void *arg)
{
	struct actor *a = arg;

	note(a->w, a->letter);
	if (a->then)
		loop_task_post(a->then);
}

static inline void on_rearm(void *arg)
{
	struct actor *a = arg;

	note(a->w, a->letter);
	if (a->again-- > 0)
		loop_timer_set(&a->timer, a->delay_ms);
}

static inline void on_io(void *arg, unsigned ready)
{
	struct actor *a = arg;
	char c;

	a->ready |= ready;
	if (ready & LOOP_READ) {
		if (read(a->fd, &c, 1) == 1)
			note(a->w, c);
		else
			note(a->w, '$');
	}
	if (ready & LOOP_WRITE)
		note(a->w, '>');
}

static inline struct world *real_world(void)
{
	struct world *w = MEM_NEW(struct world);

	w->loop = loop_new();
	return w;
}

static inline struct world *virtual_world(void)
{
	struct world *w = MEM_NEW(struct world);

	w->loop = loop_new_virtual(1000000, 42);
	return w;
}

static inline void end_world(struct world *w)
{
	loop_free(&w->loop);
	assert_null(w->loop);
	loop_free(&w->loop);
	mem_free(w);
}

static inline struct actor actor(struct world *w, char letter)
{
	return (struct actor){ .w = w, .letter = letter };
}
