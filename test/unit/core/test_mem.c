#include "core/mem.h"

#include <event2/event.h>
#include <jansson.h>
#include <setjmp.h>

#include <cmocka.h>

#include "test/unit/core/dies.h"

static void zero_sizes_give_memory(void **state)
{
	void *a = mem_alloc(0), *b = mem_alloc(0), *c = mem_calloc(0, 8),
	     *d = mem_realloc(NULL, 0, 1);

	(void)state;
	assert_non_null(a);
	assert_non_null(c);
	assert_non_null(d);
	assert_ptr_not_equal(a, b);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(d);
	mem_free(NULL);
}

static void zeroed_is_zero(void **state)
{
	unsigned char *p = mem_calloc(100, 3);
	size_t i;

	(void)state;
	for (i = 0; i < 300; i++)
		assert_int_equal(p[i], 0);
	p = mem_realloc(p, 2, 500);
	memset(p, 1, 1000);
	mem_free(p);
}

static void strings(void **state)
{
	char *s = mem_strdup("abc");

	(void)state;
	assert_string_equal(s, "abc");
	mem_free(s);
	assert_null(mem_strdup(NULL));
	assert_null(mem_strndup(NULL, 3));
	s = mem_strndup("abcdef", 3);
	assert_string_equal(s, "abc");
	mem_free(s);
	/* Neither reads behind n nor needs a terminator there. */
	s = mem_strndup((const char[]){ 'x', 'y' }, 2);
	assert_string_equal(s, "xy");
	mem_free(s);
	s = mem_strndup("ab", 100);
	assert_string_equal(s, "ab");
	mem_free(s);
	s = mem_printf("%d-%s", 7, "z");
	assert_string_equal(s, "7-z");
	mem_free(s);
	s = mem_dup("a\0b", 3);
	assert_memory_equal(s, "a\0b", 3);
	mem_free(s);
}

static void scope_frees(void **state)
{
	(void)state;
	{
		/* The leak checker judges this one. */
		char *s _mem_free_ = mem_strdup("gone at the brace");

		assert_non_null(s);
	}
}

static void calloc_overflow(void *arg)
{
	(void)arg;
	mem_free(mem_calloc(SIZE_MAX / 2, 3));
}

static void realloc_overflow(void *arg)
{
	(void)arg;
	mem_free(mem_realloc(NULL, SIZE_MAX, 2));
}

static void too_much(void *arg)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };

	(void)arg;
	(void)setrlimit(RLIMIT_DATA, &limit);
	mem_free(mem_alloc((size_t)1 << 46));
}

#if defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void out_of_memory_aborts(void **state)
{
	char said[DIES_SAID_MAX];

	(void)state;
	assert_true(dies(calloc_overflow, NULL, said));
	said[strcspn(said, "\n")] = '\0'; /* an emulator adds a line of its own */
	assert_string_equal(said, "fatal: out of memory");
	assert_true(dies(realloc_overflow, NULL, said));
	if (!SANITIZED) /* a sanitizer's own allocator reports this one itself */
		assert_true(dies(too_much, NULL, said));
}

static void installs_itself(void **state)
{
	json_malloc_t alloc;
	json_free_t release;
	struct event_base *base;

	(void)state;
	mem_install();
	json_get_alloc_funcs(&alloc, &release);
	assert_true(alloc == mem_alloc && release == mem_free);
	base = event_base_new();
	assert_non_null(base);
	event_base_free(base);
}

static uint64_t resident_kb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	unsigned long long kb = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "Rss: %llu", &kb) != 1) {
	}
	(void)fclose(f);
	return kb;
}

static void rest_gives_memory_back(void **state)
{
	enum { PIECES = 4096, SIZE = 512 };
	void **p = mem_calloc(PIECES, sizeof(*p));
	void *last;
	uint64_t before, after;

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		p[i] = mem_alloc(SIZE);
		memset(p[i], 1, SIZE);
	}
	last = mem_alloc(SIZE); /* keeps the heap's end where it is */
	for (size_t i = 0; i < PIECES; i++)
		mem_free(p[i]);
	mem_free(p);
	before = resident_kb();
	mem_rest();
	after = resident_kb();
	assert_true(before > after + 64);
	/* Everything is still there. */
	memset(last, 2, SIZE);
	mem_free(last);
	strings(state);
}

/* A heap that once served a big message stays small. */
static void big_blocks_go_back_when_freed(void **state)
{
	enum { BIG = 8 << 20 };
	uint64_t before, after;
	void *p, *above;

	(void)state;
	if (SANITIZED) {
		skip(); /* whose allocator keeps what is freed, to find its late users */
		return;
	}
	p = mem_alloc(BIG);
	memset(p, 1, BIG);
	mem_free(p);
	p = mem_alloc(BIG);
	memset(p, 1, BIG);
	above = mem_alloc(64);
	before = resident_kb();
	mem_free(p);
	after = resident_kb();
	assert_true(before > after + BIG / 1024 / 2);
	mem_free(above);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_sizes_give_memory),
		cmocka_unit_test(zeroed_is_zero),
		cmocka_unit_test(strings),
		cmocka_unit_test(scope_frees),
		cmocka_unit_test(out_of_memory_aborts),
		cmocka_unit_test(installs_itself),
		cmocka_unit_test(rest_gives_memory_back),
		cmocka_unit_test(big_blocks_go_back_when_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
