#pragma once
/* What the transport tests share: cmocka, a loop that is turned until something holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/sv.h"

enum { LAB_TURNS_MAX = 200000 };

/* Turns until the condition holds; fails when a virtual loop runs dry or after very many turns. */
#define lab_until(l, cond)                                                                         \
	do {                                                                                       \
		int lab_n_ = 0;                                                                    \
		while (!(cond)) {                                                                  \
			if (!loop_turn((l), 1000) && !(cond))                                      \
				fail_msg("nothing left to do before: %s", #cond);                  \
			if (++lab_n_ > LAB_TURNS_MAX)                                              \
				fail_msg("never: %s", #cond);                                      \
		}                                                                                  \
	} while (0)

/* What is posted and what is readable now, without letting virtual time pass. */
static inline void lab_settle(struct loop *l)
{
	int i;

	for (i = 0; i < 20; i++)
		(void)loop_turn(l, 0);
}

static inline void lab_eq(struct sv got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p ? got.p : "", want, got.n);
}

/* A deterministic body of n bytes; mem_free(). */
static inline char *lab_body(size_t n)
{
	char *p = mem_alloc(n + 1);
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)('a' + i % 23);
	return p;
}
