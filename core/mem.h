#pragma once
/*
 * Allocation that never returns NULL: out of memory aborts, and restart from the ledger is the
 * recovery, which is tested. In exchange every size that a peer controls has a named limit.
 */
#include <stdarg.h>

#include "core/base.h"

void *mem_alloc(size_t size);		 /* uninitialised; size 0 gives a unique pointer */
void *mem_zalloc(size_t size);		 /* zeroed */
void *mem_calloc(size_t n, size_t size); /* zeroed; overflow aborts */
void *mem_realloc(void *p, size_t n, size_t size); /* n * size bytes; overflow aborts */
void *mem_dup(const void *p, size_t size);
char *mem_strdup(const char *s); /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);
char *mem_vprintf(const char *fmt, va_list ap) PRINTF(1, 0);
void mem_free(void *p);

/*
 * Blocks of more than 128 kB go back to the kernel when they are freed, in every program that links
 * this.
 *
 * For a process that comes to rest: free pages of the heap go back to the kernel, and so do pages
 * of the program and of the libraries it was started with, as far as they hold code and constants.
 * Those come back from the page cache when touched; most never are (what OpenSSL and the start
 * needed once is most of what a small process has mapped). Takes about a millisecond.
 */
void mem_rest(void);

/* Makes libevent and jansson allocate through mem_*; call first in main(). */
void mem_install(void);

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))

/* Scope-bound release: `char *s _mem_free_ = mem_strdup("x");` */
static inline void mem_freep(void *p)
{
	mem_free(*(void **)p);
}
#define _mem_free_ __attribute__((cleanup(mem_freep)))
