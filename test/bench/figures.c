#include "test/bench/figures.h"

#include <stdarg.h>

void figure(double value, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	vprintf(name, ap);
	va_end(ap);
	printf(" %.6g\n", value);
	fflush(stdout);
}

void progress(const char *text, ...)
{
	va_list ap;

	va_start(ap, text);
	vfprintf(stderr, text, ap);
	va_end(ap);
	fputc('\n', stderr);
}
