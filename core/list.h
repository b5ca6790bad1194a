#pragma once
/* Intrusive doubly linked list; the head is a node. A node is in at most one list. */
#include "core/base.h"

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(l)                                                                               \
	{                                                                                          \
		&(l), &(l)                                                                         \
	}

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
/* A zeroed or removed node is not linked. */
static inline bool list_linked(const struct list *n)
{
	return n->next && n->next != n;
}
static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}
static inline void list_push(struct list *l, struct list *n)
{
	list_insert_between(n, l->prev, l);
}
static inline void list_push_front(struct list *l, struct list *n)
{
	list_insert_between(n, l, l->next);
}
/* Safe on a node that is not linked. */
static inline void list_remove(struct list *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
static inline struct list *list_pop(struct list *l)
{
	struct list *n = l->next;

	if (n == l)
		return NULL;
	list_remove(n);
	return n;
}
/* Moves everything from `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(n, type, member) container_of(n, type, member)
/* The loop variable is a name, not an expression. NOLINTBEGIN(bugprone-macro-parentheses) */
#define list_for_each(n, l) for (struct list *n = (l)->next; n != (l); n = n->next)
/* `n` itself may be removed in the body. */
#define list_for_each_safe(n, l)                                                                   \
	for (struct list *n = (l)->next, *n##_next = n->next; n != (l);                            \
	     n = n##_next, n##_next = n->next)
/* NOLINTEND(bugprone-macro-parentheses) */
