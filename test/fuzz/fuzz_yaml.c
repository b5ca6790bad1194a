/* What comes out is JSON, whatever went in; only a key written twice is left to the JSON reader. */
#include "core/json.h"
#include "k8s/api/yaml.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *root = NULL;
	struct err e = { "" };
	struct buf out;

	buf_init(&out, 1 << 20);
	if (yaml_all_to_json(sv_make(data, size), &out, &e) < 0)
		must(e.text[0]);
	else if (json_parse(buf_sv(&out), &json_limits_object, &root, &e) < 0)
		must(strstr(e.text, "twice") || strstr(e.text, "duplicate"));
	else
		must(json_kind(root) == JSON_ARR);
	json_free(&root);
	buf_done(&out);
	return 0;
}
