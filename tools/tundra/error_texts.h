#pragma once
/*
 * Errors that users meet, with what to do: for the reference page. `text` is a piece of the
 * message that stands in the source in one line; a test looks for it there, so that a message that
 * changes takes its row along.
 */
#include "core/base.h"

struct error_text {
	const char *text, *where; /* where it is seen */
	const char *means, *fix;
};
extern const struct error_text error_texts[];
extern const size_t error_texts_n;
