#include "core/err.h"

#include <stdarg.h>
#include <unistd.h>

/*
 * The last words of a broken invariant. Written with one write(2): stdio may be what is broken, and
 * a core file plus this line is all that a bug report has.
 */
void must_fail(const char *what, const char *file, int line)
{
	char text[512];
	int n;

	n = snprintf(text, sizeof(text), "fatal: %s:%d: must(%s)\n", file, line, what);
	if (n > 0 && write(STDERR_FILENO, text, MIN((size_t)n, sizeof(text) - 1)) < 0) {
		/* Nobody is left to tell. */
	}
	abort();
}

/* Cuts `s` to at most `max` bytes without splitting a UTF-8 sequence. */
static void cut(char *s, size_t max)
{
	if (strlen(s) <= max)
		return;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	s[max] = '\0';
}

/* Formats beside the target first: an argument may be the text that is being replaced. */
static void PRINTF(3, 0) format(struct err *e, const char *tail, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX * 2];
	size_t n;

	text[0] = '\0';
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	n = strlen(text);
	(void)snprintf(text + n, sizeof(text) - n, "%s%s", *tail ? ": " : "", tail);
	cut(text, ERR_TEXT_MAX - 1);
	memcpy(e->text, text, strlen(text) + 1);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	format(e, "", fmt, ap);
	va_end(ap);
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	char unknown[32];
	const char *why;
	va_list ap;

	must(code < 0);
	if (!e)
		return code;
	/* strerrordesc_np(): no locale, no shared buffer. */
	why = strerrordesc_np(-code);
	if (!why) {
		(void)snprintf(unknown, sizeof(unknown), "error %d", -code);
		why = unknown;
	}
	va_start(ap, fmt);
	format(e, why, fmt, ap);
	va_end(ap);
	return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;

	if (!e)
		return code;
	memcpy(old, e->text, sizeof(old));
	old[sizeof(old) - 1] = '\0';
	va_start(ap, fmt);
	format(e, old, fmt, ap);
	va_end(ap);
	return code;
}

const char *err_text(const struct err *e)
{
	return e ? e->text : "";
}
