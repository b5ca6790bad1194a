#pragma once
/*
 * What every file may use: assertions that stay on, container_of, attributes, poisoned functions.
 * Return values in the whole tree: 0 ok; negative = fatal -errno, forwarded unchanged;
 * positive = a condition that the called module documents.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* before the poison: system headers declare what we ban */
#include <stdlib.h>
#include <string.h>

#define NODISCARD	      __attribute__((warn_unused_result))
#define NORETURN	      __attribute__((noreturn))
#define PRINTF(f, a)	      __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a)	      (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	      ((a) < (b) ? (a) : (b))
#define MAX(a, b)	      ((a) > (b) ? (a) : (b))
#define container_of(p, t, m) ((t *)(void *)((char *)(uintptr_t)(p)-offsetof(t, m)))

/* A programmer's error, never the world's: prints where and aborts. Always on. */
#define must(c) ((c) ? (void)0 : must_fail(#c, __FILE__, __LINE__))
void must_fail(const char *what, const char *file, int line) NORETURN;

/* Fortified headers define some of these as macros, which clang will not poison. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf gets atoi strtok
