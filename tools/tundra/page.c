#include "tools/tundra/page.h"

#include <stdio.h>

#include "tools/tundra/page_files.h"

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'";

const char *const page_headers[] = {
	"Content-Security-Policy",
	policy,
	"Cache-Control",
	"no-cache", /* asks each time, and gets 304 while nothing changed */
	"Referrer-Policy",
	"no-referrer",
	"Cross-Origin-Resource-Policy",
	"same-origin",
	NULL,
};

static const struct page_file {
	const char *path, *type, *etag;
	const unsigned char *bytes;
	size_t n;
} files[] = {
#define FILE_OF(name) PAGE_##name##_ETAG, page_##name, sizeof(page_##name)
	{ "/", "text/html; charset=utf-8", FILE_OF(index_html) },
	{ "/status", "text/html; charset=utf-8", FILE_OF(index_html) },
	{ "/page.css", "text/css; charset=utf-8", FILE_OF(page_css) },
	{ "/page.js", "text/javascript; charset=utf-8", FILE_OF(page_js) },
	{ "/icon.svg", "image/svg+xml", FILE_OF(icon_svg) },
};

static void on_file(void *ctx, const char *query, struct http_reply *reply)
{
	const struct page_file *f = ctx;

	(void)query;
	reply->content_type = f->type;
	reply->headers = page_headers;
	snprintf(reply->etag, sizeof(reply->etag), "%s", f->etag);
	buf_put(reply->body, f->bytes, f->n);
}

void page_add(struct http *h)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		http_add(h, &(struct http_route){ files[i].path, on_file,
						  (void *)(uintptr_t)&files[i] });
}
