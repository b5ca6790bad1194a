#include "core/map.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/unit/core/dies.h"

static void puts_and_gets(void **state)
{
	int one = 1, two = 2;
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, SV("a")));
	assert_null(map_del(&m, SV("a")));
	assert_null(map_put(&m, SV("a"), &one));
	assert_null(map_put(&m, SV("a\0b"), &two));
	assert_null(map_put(&m, SV(""), &two));
	assert_int_equal(map_len(&m), 3);
	assert_ptr_equal(map_get(&m, SV("a")), &one);
	assert_ptr_equal(map_get(&m, SV("a\0b")), &two);
	assert_ptr_equal(map_get(&m, SV_NONE), &two);
	assert_ptr_equal(map_put(&m, SV("a"), &two), &one);
	assert_int_equal(map_len(&m), 3);
	assert_ptr_equal(map_del(&m, SV("a")), &two);
	assert_null(map_get(&m, SV("a")));
	assert_int_equal(map_len(&m), 2);
	map_done(&m);
	map_done(&m);
	assert_null(map_get(&m, SV("")));
}

static void replaced_value_brings_its_key(void **state)
{
	char *old = mem_strdup("key"), *new = mem_strdup("key");
	struct map m;

	(void)state;
	map_init(&m);
	map_put(&m, sv_str(old), old);
	assert_ptr_equal(map_put(&m, sv_str(new), new), old);
	mem_free(old); /* a map that kept the old key would now read freed memory */
	assert_ptr_equal(map_get(&m, SV("key")), new);
	map_done(&m);
	mem_free(new);
}

enum { KEYS = 500, STEPS = 60000 };

struct model {
	char key[12];
	bool in;
};

/* Random puts and deletes against an array that cannot be wrong. */
static void agrees_with_a_model(void **state)
{
	struct model *keys = mem_calloc(KEYS, sizeof(*keys));
	uint64_t dice = 12345;
	size_t i, n = 0, seen;
	struct model *k;
	struct map m;

	(void)state;
	map_init(&m);
	for (i = 0; i < KEYS; i++)
		(void)snprintf(keys[i].key, sizeof(keys[i].key), "k%zu", i);
	for (i = 0; i < STEPS; i++) {
		dice = dice * 6364136223846793005u + 1442695040888963407u;
		k = &keys[(dice >> 33) % KEYS];
		/* Phases of growing and of shrinking. */
		if ((dice >> 20 & 7) < (i / 10000 % 2 ? 2 : 6)) {
			assert_ptr_equal(map_put(&m, sv_str(k->key), k), k->in ? k : NULL);
			n += !k->in;
			k->in = true;
		} else {
			assert_ptr_equal(map_del(&m, sv_str(k->key)), k->in ? k : NULL);
			n -= k->in;
			k->in = false;
		}
		assert_int_equal(map_len(&m), n);
		assert_true(m.used * 4 <= m.size * 3);
	}
	for (i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&m, sv_str(keys[i].key)), keys[i].in ? &keys[i] : NULL);
	seen = 0;
	map_for_each (e, &m) {
		k = e->value;
		assert_true(k->in);
		k->in = false; /* a second visit would fail */
		seen++;
	}
	assert_int_equal(seen, n);
	map_done(&m);
	mem_free(keys);
}

static void many_deletes_do_not_grow_it(void **state)
{
	struct map m;
	char key[16];
	size_t i;
	int v;

	(void)state;
	map_init(&m);
	map_put(&m, SV("stays"), &v);
	for (i = 0; i < 100000; i++) {
		(void)snprintf(key, sizeof(key), "%zu", i);
		map_put(&m, sv_str(key), &v);
		assert_ptr_equal(map_del(&m, sv_str(key)), &v);
	}
	assert_true(m.size <= 32);
	assert_ptr_equal(map_get(&m, SV("stays")), &v);
	map_done(&m);
}

static void current_entry_may_be_deleted(void **state)
{
	char keys[100][4];
	struct map m;
	size_t i, n = 0;

	(void)state;
	map_init(&m);
	for (i = 0; i < 100; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "%zu", i);
		map_put(&m, sv_str(keys[i]), keys[i]);
	}
	map_for_each (e, &m) {
		n++;
		if (*(char *)e->value % 2)
			map_del(&m, e->key);
	}
	assert_int_equal(n, 100);
	for (i = 0; i < 100; i++)
		assert_true(!map_get(&m, sv_str(keys[i])) == (keys[i][0] % 2 != 0));
	n = map_len(&m);
	/* All of them: the table is given back under the iteration. */
	map_for_each (e, &m) {
		n--;
		map_del(&m, e->key);
	}
	assert_int_equal(n, 0);
	assert_int_equal(map_len(&m), 0);
	assert_null(m.slots);
	map_done(&m);
}

static void hash_is_siphash_1_3(void **state)
{
	/* CPython's hash(bytes) with PYTHONHASHSEED=0, an implementation that is not ours. */
	static const struct {
		const char *key;
		uint64_t hash;
	} rows[] = { { "a", 0x407448d2b89b1813u },
		     { "abcdefg", 0x6db12aae9070f506u },
		     { "abcdefgh", 0x3f7b849c0b8e35eau },
		     { "abcdefghi", 0xf89b34a3d11eb6e5u },
		     { "0123456789abcdef", 0x1d42b30f7e060c24u } };
	uint64_t other = map_hash(SV("a")); /* of this process's own seed */
	size_t i;

	(void)state;
	assert_true(map_hash(SV("a")) == other);
	map_seed(0, 0);
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(map_hash(sv_str(rows[i].key)) == rows[i].hash);
	assert_true(other != rows[0].hash);
	map_seed(0, 1);
	assert_true(map_hash(SV("a")) != rows[0].hash);
}

static void put_null(void *arg)
{
	map_put(arg, SV("x"), NULL);
}

static void null_value_aborts(void **state)
{
	char said[DIES_SAID_MAX];
	struct map m;

	(void)state;
	map_init(&m);
	assert_true(dies(put_null, &m, said));
	map_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_and_gets),
		cmocka_unit_test(replaced_value_brings_its_key),
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(many_deletes_do_not_grow_it),
		cmocka_unit_test(current_entry_may_be_deleted),
		cmocka_unit_test(hash_is_siphash_1_3),
		cmocka_unit_test(null_value_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
