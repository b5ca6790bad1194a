/* The event stream: however it is cut in pieces, the same events come out, and the same end. */
#include "k8s/api/watch.h"
#include "test/fuzz/fuzz.h"

struct told {
	struct buf text;
	struct watch_framer framer;
	int status;
};

static void on_frame(void *arg, enum watch_type type, const struct json *object)
{
	struct told *t = arg;

	must(json_kind(object) == JSON_OBJ && type <= WATCH_ERROR);
	buf_printf(&t->text, "%d %zu %s %s\n", (int)type, json_len(object), meta_name(object),
		   meta_rv(object));
}

static void feed(struct told *t, struct sv bytes)
{
	if (t->status == 0)
		t->status = watch_framer_feed(&t->framer, bytes, on_frame, t, NULL);
}

static void told_init(struct told *t)
{
	buf_init(&t->text, 16 << 20);
	watch_framer_init(&t->framer);
	t->status = 0;
}

static void told_done(struct told *t)
{
	buf_done(&t->text);
	watch_framer_done(&t->framer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv all = sv_make(data, size);
	struct told whole, pieces;
	size_t step = size ? 1 + data[0] % 16 : 1;

	told_init(&whole);
	told_init(&pieces);
	feed(&whole, all);
	for (size_t i = 0; i < size; i += step)
		feed(&pieces, sv_make(all.p + i, MIN(step, size - i)));
	must(whole.status == pieces.status);
	must(sv_eq(buf_sv(&whole.text), buf_sv(&pieces.text)));
	told_done(&whole);
	told_done(&pieces);
	return 0;
}
