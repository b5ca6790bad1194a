#pragma once
/* A bounded list of distinct strings in the order in which they came. Owner: the caller, by value.
 */
#include "tools/hook/base.h"

enum { PATHS_MAX = 1024 };

struct paths {
	char **v;
	size_t n;
};

void paths_init(struct paths *p);
void paths_done(struct paths *p);
bool paths_has(const struct paths *p, const char *s);
/* 0 (also when it is there already), -E2BIG past PATHS_MAX, -ENOMEM. */
int paths_add(struct paths *p, const char *s) NODISCARD;
/* By bytes, as a glob in the C locale does. */
void paths_sort(struct paths *p);
