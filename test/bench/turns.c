#include "test/bench/turns.h"

#include <errno.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "test/bench/figures.h"

enum { STATUS_MAX = 8 << 20 };

static int read_status(const char *command, struct buf *out, struct err *e)
{
	FILE *f = popen(command, "re");
	char piece[4096];
	size_t n;

	if (!f)
		return err_sys(e, -errno, "cannot run %s", command);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		(void)buf_put(out, piece, n);
	return pclose(f) ? err_set(e, -EIO, "%s failed", command) : 0;
}

static int64_t number(const struct json *loop, const char *key)
{
	return json_i64(json_get(loop, key), -1);
}

static void tell_callbacks(const struct json *list)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);

		progress("slow turns by %s: %d, %d us at worst",
			 json_str(json_get(c, "callback"), "?"), (int)number(c, "turns"),
			 (int)number(c, "maxMicroseconds"));
	}
}

int turns_tell(const char *programs, const char *run_folder, struct err *e)
{
	char *command _mem_free_ =
	    mem_printf("%s/tundra status -o json --run-directory %s", programs, run_folder);
	const struct json *loop;
	struct json *root = NULL;
	struct buf text;
	int64_t turns, slow;
	int r;

	buf_init(&text, STATUS_MAX);
	r = read_status(command, &text, e);
	if (!r)
		r = json_parse(buf_sv(&text), &json_limits_object, &root, e);
	loop = json_get(root, "loop");
	turns = number(loop, "turns");
	slow = number(loop, "slowTurns") - number(loop, "preemptedTurns");
	if (!r && turns <= 0)
		r = err_set(e, -EPROTO, "tundra status tells no turns of the loop");
	if (!r) {
		figure((double)turns, "loop.turns");
		figure((double)slow * 1000 / (double)turns, "loop.slow_of_1000");
		figure((double)number(loop, "preemptedTurns") * 1000 / (double)turns,
		       "loop.preempted_of_1000");
		figure((double)number(loop, "maxMicroseconds") / 1000, "loop.longest_ms");
	}
	tell_callbacks(json_get(loop, "slowCallbacks"));
	json_free(&root);
	buf_done(&text);
	return r;
}
