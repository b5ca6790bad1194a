/*
 * The hook's JSON reader: whatever the document, feeding it in pieces gives the same verdict and
 * the same strings as feeding it whole. The first byte is the size of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hook/json.h"

struct outcome {
	int result;
	bool found[3];
	char path[64], bundle[64], root[64];
};

static void read_document(const char *text, size_t len, size_t piece, struct outcome *out)
{
	struct json_want wants[] = {
		{ .keys = { "root", "path" }, .out = out->path, .cap = sizeof(out->path) },
		{ .keys = { "bundle" }, .out = out->bundle, .cap = sizeof(out->bundle) },
		{ .keys = { "r" }, .out = out->root, .cap = sizeof(out->root) },
	};
	struct json j;
	size_t n;

	memset(out, 0, sizeof(*out));
	json_init(&j, wants, 3, 65536);
	while (len > 0 && out->result == 0) {
		n = len < piece ? len : piece;
		out->result = json_feed(&j, text, n);
		text += n;
		len -= n;
	}
	if (out->result == 0)
		out->result = json_end(&j);
	for (size_t i = 0; i < 3; i++) {
		out->found[i] = wants[i].found;
		if (wants[i].found)
			must(wants[i].len < wants[i].cap && wants[i].out[wants[i].len] == '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct outcome whole, parts;

	if (size < 1)
		return 0;
	read_document(text + 1, size - 1, size, &whole);
	read_document(text + 1, size - 1, (size_t)data[0] + 1, &parts);
	must(memcmp(&whole, &parts, sizeof(whole)) == 0);
	return 0;
}
