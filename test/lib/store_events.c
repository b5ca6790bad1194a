#include "core/mem.h"
#include "test/lib/store_private.h"

static void event_done(struct store_event *ev)
{
	json_decref(ev->object);
	json_decref(ev->before);
}

static void forget(struct store *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		event_done(&s->events[i]);
	if (n)
		s->floor = s->events[n - 1].rv;
	s->events_n -= n;
	memmove(s->events, s->events + n, s->events_n * sizeof(*s->events));
}

void store_record(struct store *s, const struct store_event *ev)
{
	if (s->events_n == s->events_max) {
		s->events_max = s->events_max ? s->events_max * 2 : 64;
		s->events = mem_realloc(s->events, s->events_max, sizeof(*s->events));
	}
	s->events[s->events_n++] = *ev;
	loop_task_post(&s->deliver);
}

/* ---- delivery ---- */

/* Index of the first event behind `rv`. */
static size_t behind(const struct store *s, uint64_t rv)
{
	size_t low = 0, high = s->events_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->events[mid].rv <= rv)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* One watch catches up. Its callback may write: then there are more events, and `events` moved. */
static void catch_up(struct store *s, struct store_watch *w)
{
	for (size_t i = behind(s, w->seen); i < s->events_n && !w->dead; i++) {
		struct store_event ev = s->events[i];

		w->seen = ev.rv;
		if (!w->kind || w->kind == ev.kind)
			w->fn(w->arg, &ev);
	}
}

static bool anyone_behind(const struct store *s)
{
	list_for_each (n, &s->watches) {
		const struct store_watch *w = list_entry(n, struct store_watch, node);

		if (!w->dead && w->seen < s->rv)
			return true;
	}
	return false;
}

static void bury(struct store *s)
{
	list_for_each_safe (n, &s->watches) {
		struct store_watch *w = list_entry(n, struct store_watch, node);

		if (!w->dead)
			continue;
		list_remove(&w->node);
		mem_free(w);
	}
}

static void deliver(void *arg)
{
	struct store *s = arg;

	s->delivering = true;
	while (anyone_behind(s))
		list_for_each (n, &s->watches)
			catch_up(s, list_entry(n, struct store_watch, node));
	s->delivering = false;
	bury(s);
	/* Only now: whoever listens has heard of each. */
	if (s->events_n > s->conf.history)
		forget(s, s->events_n - s->conf.history);
}

/* ---- public ---- */

struct store_watch *store_watch(struct store *s, const struct store_kind *k, uint64_t rv,
				store_fn fn, void *arg)
{
	struct store_watch *w = MEM_NEW(struct store_watch);

	must(rv >= s->floor);
	w->store = s;
	w->kind = k;
	w->seen = rv;
	w->fn = fn;
	w->arg = arg;
	list_push(&s->watches, &w->node);
	loop_task_post(&s->deliver);
	return w;
}

void store_unwatch(struct store_watch **wp)
{
	struct store_watch *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	w->dead = true;
	if (!w->store->delivering)
		bury(w->store);
}

uint64_t store_watch_rv(const struct store_watch *w)
{
	return w->seen;
}

uint64_t store_floor(const struct store *s)
{
	return s->floor;
}

void store_forget_history(struct store *s)
{
	deliver(s);
	forget(s, s->events_n);
	s->floor = s->rv;
}

void store_events_init(struct store *s)
{
	list_init(&s->watches);
	loop_task_init(&s->deliver, s->loop, LOOP_TICK, deliver, s);
}

void store_events_done(struct store *s)
{
	loop_task_stop(&s->deliver);
	list_for_each (n, &s->watches)
		list_entry(n, struct store_watch, node)->dead = true;
	bury(s);
	forget(s, s->events_n);
	mem_free(s->events);
}
