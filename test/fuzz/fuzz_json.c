/* What parses is written and parsed again: the same value, and the same bytes the second time. */
#include "core/json.h"
#include "core/jsonw.h"
#include "test/fuzz/fuzz.h"

/* Small limits, so that the fuzzer reaches them. */
static const struct json_limits limits = { .bytes = 4096, .values = 200, .depth = 12 };

static void write_to(struct buf *b, const struct json *n)
{
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_json(&w, n);
}

static unsigned depth_of(const struct json *n)
{
	const struct json *value;
	unsigned deepest = 0;
	const char *key;
	void *pos = NULL;
	size_t i;

	for (i = 0; i < json_len(n) && json_kind(n) == JSON_ARR; i++)
		deepest = MAX(deepest, depth_of(json_at(n, i)));
	while (json_next(n, &pos, &key, &value)) {
		must(json_get(n, key) == value);
		deepest = MAX(deepest, depth_of(value));
	}
	return deepest + (json_kind(n) == JSON_ARR || json_kind(n) == JSON_OBJ);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *first, *second, *less;
	struct buf a, b;
	struct err e;
	bool fits = json_parse_without(sv_make(data, size), &limits, "a", &less, &e) == 0;

	json_free(&less);
	if (json_parse(sv_make(data, size), &limits, &first, &e)) {
		must(!first && *err_text(&e));
		return 0;
	}
	must(fits); /* what is whole is whole without a member */
	must(depth_of(first) <= limits.depth);
	buf_init(&a, 1 << 16);
	buf_init(&b, 1 << 16);
	write_to(&a, first);
	must(!a.full);
	/* Escapes may lengthen the text, hence the wider limits. */
	must(json_parse(buf_sv(&a), &json_limits_object, &second, &e) == 0);
	must(json_same(first, second));
	write_to(&b, second);
	must(sv_eq(buf_sv(&a), buf_sv(&b)));
	json_free(&first);
	json_free(&second);
	buf_done(&a);
	buf_done(&b);
	return 0;
}
