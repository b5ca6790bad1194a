#pragma once
/*
 * How the node is, as one JSON object: what `tundra status -o json` prints, `tundra status` shows
 * as a table and the status page shows in a browser. It holds no secrets: anybody who reaches the
 * metrics may read it.
 */
#include "tools/tundra/serve.h"

/*
 * Appends the object to `out`; of the claims `claims_max` at most. Returns how many bytes of it
 * stay as they are while nothing happens on the node: the clock and the loop's counts come last, so
 * a hash of the rest tells whether there is news. `started_ms`: loop time when serving began.
 */
size_t status_doc(struct loop *l, const struct serve_conf *c, uint64_t started_ms,
		  size_t claims_max, struct buf *out);
