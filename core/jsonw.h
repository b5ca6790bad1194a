#pragma once
/*
 * Writing JSON straight into a buf: no tree, the order is the caller's, so output is repeatable.
 *     jsonw_obj(&w); jsonw_key(&w, "uid"); jsonw_str(&w, uid); jsonw_end(&w);
 * Commas and nesting are kept by the writer; misuse aborts. Invalid UTF-8 is replaced by U+FFFD.
 * Beyond the buf's cap the text is not whole: out->full tells.
 */
#include "core/buf.h"
#include "core/json.h"

/* What we nest ourselves and a parsed value inside it. */
enum { JSONW_DEPTH_MAX = 32 + JSON_DEPTH_MAX };
struct jsonw {
	struct buf *out;
	char closer[JSONW_DEPTH_MAX];
	unsigned depth;
	bool comma, keyed; /* a value stands before the next one; a key waits for its value */
	unsigned indent;   /* 0 = one line */
};

void jsonw_init(struct jsonw *w, struct buf *out); /* .indent may be set after */
void jsonw_obj(struct jsonw *w);
void jsonw_arr(struct jsonw *w);
void jsonw_end(struct jsonw *w); /* closes the innermost object or array */
void jsonw_key(struct jsonw *w, const char *key);
void jsonw_key_sv(struct jsonw *w, struct sv key);
void jsonw_str(struct jsonw *w, const char *s); /* NULL writes null */
void jsonw_sv(struct jsonw *w, struct sv s);
void jsonw_fmt(struct jsonw *w, const char *fmt, ...) PRINTF(2, 3);
void jsonw_i64(struct jsonw *w, int64_t v);
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_null(struct jsonw *w);
void jsonw_json(struct jsonw *w, const struct json *n); /* a whole parsed value */
/* Key and value at once. */
void jsonw_kstr(struct jsonw *w, const char *key, const char *s);
void jsonw_ksv(struct jsonw *w, const char *key, struct sv s);
void jsonw_ki64(struct jsonw *w, const char *key, int64_t v);
void jsonw_kbool(struct jsonw *w, const char *key, bool v);
void jsonw_kobj(struct jsonw *w, const char *key);
void jsonw_karr(struct jsonw *w, const char *key);
