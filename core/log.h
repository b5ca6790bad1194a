#pragma once
/*
 * One line per event on stderr: a fixed sentence plus key=value fields, as text or JSON.
 *     log_info("claim prepared", LOG_S("claim", name), LOG_I("ms", ms));
 * The sentence never holds variable parts, so it can be searched for and counted.
 */
#include "core/sv.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_field {
	const char *key;
	enum { LOG_FIELD_STR, LOG_FIELD_INT } kind;
	struct sv s;
	int64_t i;
};
#define LOG_S(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .s = sv_str(v) })
#define LOG_SV(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .s = (v) })
#define LOG_I(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_INT, .i = (int64_t)(v) })

/*
 * Process-wide, set once at start (the one global: every module logs). `program` becomes a field of
 * each line unless NULL. Never blocks: what a full pipe does not take is dropped, and the next line
 * that gets through is preceded by one that tells how many. A line is at most 4096 bytes, the last
 * that a pipe takes whole; a longer one is cut and ends with the field cut=true.
 */
void log_init(enum log_level max, bool json, const char *program);
bool log_on(enum log_level level);
void log_write(enum log_level level, const char *sentence, const struct log_field *f, size_t n);
/* Simulations give their own clock (Unix ms); NULL restores the system's. */
void log_clock(uint64_t (*wall_ms)(void *arg), void *arg);
/* Tests capture lines instead of writing them; NULL restores stderr. */
void log_capture(void (*fn)(void *arg, enum log_level level, struct sv line), void *arg);

#define LOG_(level, sentence, ...)                                                                 \
	do {                                                                                       \
		if (log_on(level)) {                                                               \
			const struct log_field log_f_[] = { { 0 }, ##__VA_ARGS__ };                \
			log_write(level, sentence, log_f_ + 1, ARRAY_LEN(log_f_) - 1);             \
		}                                                                                  \
	} while (0)
#define log_error(sentence, ...) LOG_(LOG_ERROR, sentence, ##__VA_ARGS__)
#define log_warn(sentence, ...)	 LOG_(LOG_WARN, sentence, ##__VA_ARGS__)
#define log_info(sentence, ...)	 LOG_(LOG_INFO, sentence, ##__VA_ARGS__)
#define log_debug(sentence, ...) LOG_(LOG_DEBUG, sentence, ##__VA_ARGS__)
