/* ResourceClaims and ResourceSlices as an API server sends them: other hands write both. */
#include "core/json.h"
#include "k8s/allocation.h"
#include "k8s/slice.h"
#include "test/fuzz/fuzz.h"

static int fits(void *ctx, const char *text, struct err *e)
{
	(void)ctx;
	return text[0] == '{' ? 0 : err_set(e, 1, "no object");
}

static void allocation(const struct json *root)
{
	struct allocation a;
	struct err e = { "" };
	const char *text;

	if (allocation_decode(root, "u", "gpu.nvidia.com", &a, &e)) {
		must(*e.text);
		return;
	}
	for (size_t i = 0; i < a.results_n; i++) {
		must(a.results[i].request && a.results[i].pool && a.results[i].device);
		must(allocation_config_for(&a, &a.results[i], fits, NULL, &text, &e) == 0);
	}
	allocation_done(&a);
}

static void slice(const struct json *root)
{
	struct slice *s = slice_decode(root, API_V1), *again = slice_decode(root, API_V1);

	must(s->digest == again->digest);
	slice_free(&s);
	slice_free(&again);
	s = slice_decode(root, API_V1BETA1);
	slice_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *root;
	struct err e = { "" };

	if (json_parse(sv_make(data, size), &json_limits_object, &root, &e) < 0)
		return 0;
	allocation(root);
	slice(root);
	json_free(&root);
	return 0;
}
