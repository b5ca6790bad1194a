#include "core/mem.h"

#include <event2/event.h>
#include <jansson.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

/* Out of memory is not an error to handle: no format buffer, no allocation, one line, abort. */
static void NORETURN oom(void)
{
	static const char text[] = "fatal: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
		/* Nobody is left to tell. */
	}
	abort();
}

static size_t product(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		oom();
	return total;
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		oom();
	return p;
}

void *mem_calloc(size_t n, size_t size)
{
	size_t total = product(n, size);
	void *p = calloc(1, total ? total : 1);

	if (!p)
		oom();
	return p;
}

void *mem_zalloc(size_t size)
{
	return mem_calloc(1, size);
}

void *mem_realloc(void *p, size_t n, size_t size)
{
	size_t total = product(n, size);
	void *q = realloc(p, total ? total : 1);

	if (!q)
		oom();
	return q;
}

void *mem_dup(const void *p, size_t size)
{
	void *q = mem_alloc(size);

	if (size)
		memcpy(q, p, size);
	return q;
}

char *mem_strndup(const char *s, size_t n)
{
	size_t len;
	char *q;

	if (!s)
		return NULL;
	len = strnlen(s, n);
	q = mem_alloc(len + 1);
	memcpy(q, s, len);
	q[len] = '\0';
	return q;
}

char *mem_strdup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_vprintf(const char *fmt, va_list ap)
{
	char *s;

	/* Fails for want of memory only: our formats are literals without wide characters. */
	if (vasprintf(&s, fmt, ap) < 0)
		oom();
	return s;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = mem_vprintf(fmt, ap);
	va_end(ap);
	return s;
}

void mem_free(void *p)
{
	free(p);
}

static void *realloc_bytes(void *p, size_t size)
{
	return mem_realloc(p, 1, size);
}

/* ---- rest ---- */

/* Objects that were loaded before main(). One loaded later (a vendor's driver library) may have
 * changed its own code, and that would be lost. */
static size_t mem_objects;

static int count_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
	(void)arg;
	mem_objects++;
	return 0;
}

/*
 * What is big has a mapping of its own, which goes back to the kernel when it is freed. Left alone,
 * malloc takes the first one that is freed as the size up to which the heap serves from then on,
 * and as twice of what it need not give back: one message of 8 MB would cost up to 16 MB for ever.
 */
enum { BIG = 128 << 10, HEAP_SPARE = 512 << 10 };

__attribute__((constructor)) static void set_up(void)
{
	(void)dl_iterate_phdr(count_object, NULL);
	(void)mallopt(M_MMAP_THRESHOLD, BIG);
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_SPARE);
}

/* Segments that are written to are left alone: relocations live there. */
static int rest_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	size_t *seen = arg;

	(void)size;
	if ((*seen)++ >= mem_objects)
		return 1;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + ph->p_vaddr) & ~(page - 1);
		uintptr_t to = (info->dlpi_addr + ph->p_vaddr + ph->p_memsz) & ~(page - 1);

		/* The last page may be shared with a segment behind it. */
		if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W) && to > from)
			(void)madvise((void *)from, to - from, MADV_DONTNEED); /* vdso: refused */
	}
	return 0;
}

void mem_rest(void)
{
	size_t seen = 0;

	(void)malloc_trim(0);
	(void)dl_iterate_phdr(rest_object, &seen);
}

void mem_install(void)
{
	event_set_mem_functions(mem_alloc, realloc_bytes, mem_free);
	json_set_alloc_funcs(mem_alloc, mem_free);
}
