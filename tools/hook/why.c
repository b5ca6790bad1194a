#include "tools/hook/why.h"

#include <stdarg.h>
#include <string.h>

static void printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

PRINTF(2, 0)
static void line(const char *level, const char *fmt, va_list ap)
{
	char text[WHY_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	printable(text);
	fprintf(stderr, "tundra-cdi-hook: %s%s\n", level, text);
}

int why_set(struct why *w, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	printable(w->text);
	return code;
}

int why_sys(struct why *w, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	printable(w->text);
	len = strlen(w->text);
	snprintf(w->text + len, sizeof(w->text) - len, ": %s", strerror(-code));
	return code;
}

void why_warn(struct why *w, const char *fmt, ...)
{
	va_list ap;

	if (w->quiet || w->warned > WHY_WARN_MAX)
		return;
	if (w->warned++ == WHY_WARN_MAX) {
		fprintf(stderr, "tundra-cdi-hook: warning: more warnings are not shown\n");
		return;
	}
	va_start(ap, fmt);
	line("warning: ", fmt, ap);
	va_end(ap);
}

void why_debug(const struct why *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->debug || w->quiet)
		return;
	va_start(ap, fmt);
	line("debug: ", fmt, ap);
	va_end(ap);
}

void why_print(const struct why *w)
{
	fprintf(stderr, "tundra-cdi-hook: %s\n", w->text);
}
