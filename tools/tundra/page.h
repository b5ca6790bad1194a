#pragma once
/*
 * The status page: static files from page/, built in (page/embed.cmake), that ask for /status.json
 * every few seconds while somebody looks. They load nothing from elsewhere and may not: see
 * page_headers.
 */
#include "transport/http.h"

/* The page is open to whoever reaches the metrics, so what one request costs is bounded: rendering
 * as many claims takes about a millisecond. All of them: `tundra status`. */
enum { PAGE_CLAIMS_MAX = 500 };

void page_add(struct http *h); /* routes of the files; "/" and "/status" are the page */
/* For each answer: a browser that obeys runs and shows only what this very server sends. */
extern const char *const page_headers[];
