#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * A line is built on the stack and leaves with one write(2). Pipes and terminals are reopened
 * through /proc to get a file description of our own: O_NONBLOCK on the inherited one would change
 * it for the shell and for our workers too. PIPE_BUF is the most that a pipe takes whole or not at
 * all.
 */
enum { LINE_MAX_BYTES = PIPE_BUF };
/* Kept free for a closing quote, the mark that the line was cut, brace and newline. */
enum { LINE_TAIL = 24 };
/* A field starts only if this much is left for it. */
enum { FIELD_MIN = 16 };

static const char *const level_text[] = { "ERROR", "WARN", "INFO", "DEBUG" };
static const char *const level_json[] = { "error", "warn", "info", "debug" };

static struct {
	enum log_level max;
	bool json, is_socket;
	const char *program;
	int fd; /* -1: stderr itself */
	uint64_t dropped;
	uint64_t (*clock)(void *arg);
	void *clock_arg;
	void (*capture)(void *arg, enum log_level level, struct sv line);
	void *capture_arg;
} state = { .max = LOG_INFO, .fd = -1 };

struct line {
	char text[LINE_MAX_BYTES];
	size_t n;
	bool cut;
};

/* All or nothing, so that neither an escape nor a UTF-8 sequence is ever split. */
static void put(struct line *l, const char *p, size_t n)
{
	if (l->cut || l->n + n > sizeof(l->text) - LINE_TAIL) {
		l->cut = true;
		return;
	}
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void puts_line(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* Into the reserve that put() leaves: closes what was opened. */
static void close_with(struct line *l, const char *s)
{
	size_t n = strlen(s);

	must(n <= sizeof(l->text) - l->n);
	memcpy(l->text + l->n, s, n);
	l->n += n;
}

static void put_escaped(struct line *l, struct sv s)
{
	char hex[8];
	size_t n;

	while (s.n && !l->cut) {
		unsigned char c = (unsigned char)s.p[0];

		n = sv_utf8(s);
		if (c == '"' || c == '\\') {
			put(l, (const char[]){ '\\', (char)c }, 2);
		} else if (c == '\n' || c == '\t') {
			put(l, c == '\n' ? "\\n" : "\\t", 2);
		} else if (c < 0x20 || c == 0x7f || (c == 0xc2 && n && (s.p[1] & 0x60) == 0)) {
			/* C0, DEL and C1: a terminal would obey them. */
			c = c == 0xc2 ? (unsigned char)s.p[1] : c;
			(void)snprintf(hex, sizeof(hex), "\\u%04x", c);
			put(l, hex, 6);
		} else if (!n) {
			put(l, "\xef\xbf\xbd", 3);
		} else {
			put(l, s.p, n);
		}
		s = sv_drop(s, n ? n : 1);
	}
}

static void put_quoted(struct line *l, struct sv s)
{
	put(l, "\"", 1);
	if (l->cut)
		return;
	put_escaped(l, s);
	close_with(l, "\"");
}

/* Whether a char is signed is the machine's choice: on arm64 it is not. */
static bool plain(struct sv s)
{
	unsigned char c;
	size_t i;

	for (i = 0; i < s.n; i++) {
		c = (unsigned char)s.p[i];
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return s.n > 0;
}

static void put_field(struct line *l, const struct log_field *f)
{
	char number[24];

	if (l->cut || l->n + strlen(f->key) + FIELD_MIN > sizeof(l->text) - LINE_TAIL) {
		l->cut = true;
		return;
	}
	puts_line(l, state.json ? ",\"" : " ");
	puts_line(l, f->key);
	puts_line(l, state.json ? "\":" : "=");
	if (f->kind == LOG_FIELD_INT) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)f->i);
		puts_line(l, number);
	} else if (!state.json && plain(f->s) && l->n + f->s.n <= sizeof(l->text) - LINE_TAIL) {
		put(l, f->s.p, f->s.n);
	} else {
		put_quoted(l, f->s);
	}
}

static void put_time(struct line *l)
{
	char text[80];
	struct timespec now;
	struct tm tm;
	uint64_t ms;
	time_t s;

	if (state.clock) {
		ms = state.clock(state.clock_arg);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	}
	s = (time_t)(ms / 1000);
	if (!gmtime_r(&s, &tm))
		memset(&tm, 0, sizeof(tm));
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
		       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		       (int)(ms % 1000));
	puts_line(l, text);
}

static void format(struct line *l, enum log_level level, const char *sentence,
		   const struct log_field *f, size_t n)
{
	struct log_field program = LOG_S("program", state.program);
	size_t i;

	l->n = 0;
	l->cut = false;
	if (state.json)
		puts_line(l, "{\"ts\":\"");
	put_time(l);
	puts_line(l, state.json ? "\",\"level\":\"" : " ");
	puts_line(l, state.json ? level_json[level] : level_text[level]);
	puts_line(l, state.json ? "\",\"msg\":" : " ");
	if (state.json)
		put_quoted(l, sv_str(sentence));
	else
		put_escaped(l, sv_str(sentence));
	if (state.program)
		put_field(l, &program);
	for (i = 0; i < n; i++)
		put_field(l, &f[i]);
	if (l->cut)
		close_with(l, state.json ? ",\"cut\":true" : " cut=true");
	if (state.json)
		close_with(l, "}");
}

static bool send_line(struct line *l)
{
	int fd = state.fd >= 0 ? state.fd : STDERR_FILENO;
	ssize_t n;

	close_with(l, "\n");
	do {
		n = state.is_socket ? send(fd, l->text, l->n, MSG_DONTWAIT | MSG_NOSIGNAL)
				    : write(fd, l->text, l->n);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

void log_init(enum log_level max, bool json, const char *program)
{
	struct stat st;

	if (state.fd >= 0)
		close(state.fd);
	state.fd = -1;
	state.is_socket = false;
	state.max = max;
	state.json = json;
	state.program = program;
	if (fstat(STDERR_FILENO, &st))
		return;
	state.is_socket = S_ISSOCK(st.st_mode);
	/* Fails without /proc; then stderr is used as it is. */
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		state.fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

bool log_on(enum log_level level)
{
	return level <= state.max;
}

void log_write(enum log_level level, const char *sentence, const struct log_field *f, size_t n)
{
	struct log_field dropped = LOG_I("lines", state.dropped);
	struct line line;

	if (state.capture) {
		format(&line, level, sentence, f, n);
		state.capture(state.capture_arg, level, sv_make(line.text, line.n));
		return;
	}
	if (state.dropped) {
		format(&line, LOG_WARN, "log lines dropped", &dropped, 1);
		if (send_line(&line))
			state.dropped = 0;
	}
	format(&line, level, sentence, f, n);
	if (!send_line(&line))
		state.dropped++;
}

void log_clock(uint64_t (*wall_ms)(void *arg), void *arg)
{
	state.clock = wall_ms;
	state.clock_arg = arg;
}

void log_capture(void (*fn)(void *arg, enum log_level level, struct sv line), void *arg)
{
	state.capture = fn;
	state.capture_arg = arg;
}
