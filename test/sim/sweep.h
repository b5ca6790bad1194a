#pragma once
/*
 * Sweeps: one life of a node, again and again, and each time another of its calls meets with what
 * the sweep is about. A kind of sweep is a row: of sweep.c, where calls fail, or of crash.c, where
 * a process dies behind them.
 */
#include "test/sim/sim.h"

struct sweep;
struct sweep_kind {
	const char *what, *name;
	unsigned ways;					   /* in which it may happen */
	unsigned step;					   /* every so manyth call */
	void (*life)(struct sim *s, void *arg);		   /* arg: the struct sweep */
	void (*arm)(struct sim *s, const struct sweep *w); /* NULL: the life does it */
	uint64_t (*calls)(const struct sim *s);		   /* of a whole life; likewise */
	unsigned target;
};
struct sweep {
	const struct sweep_kind *kind;
	uint64_t at; /* the call that it happens to, 0 = none */
	unsigned way;
	uint64_t calls; /* that were made */
};

/* crash.c */
extern const struct sweep_kind crash_kinds[];
extern const size_t crash_kinds_n;
