#include "k8s/api/answer.h"

#include <errno.h>
#include <time.h>

#include "core/buf.h"

enum {
	RETRY_AFTER_MAX_MS = 3600 * 1000, /* what no server means seriously */
	BODY_SHOWN = 160,		  /* bytes of a foreign body worth showing */
};

static const struct {
	int http;
	enum api_code code;
	const char *text;
} codes[] = {
	{ 301, API_BAD_REQUEST,
	  "a redirect, which is not followed: the server's address is wrong" },
	{ 302, API_BAD_REQUEST,
	  "a redirect, which is not followed: the server's address is wrong" },
	{ 307, API_BAD_REQUEST,
	  "a redirect, which is not followed: the server's address is wrong" },
	{ 308, API_BAD_REQUEST,
	  "a redirect, which is not followed: the server's address is wrong" },
	{ 400, API_BAD_REQUEST, "Bad Request" },
	{ 401, API_UNAUTHORIZED, "Unauthorized" },
	{ 403, API_FORBIDDEN, "Forbidden" },
	{ 404, API_NOT_FOUND, "Not Found" },
	{ 405, API_BAD_REQUEST, "Method Not Allowed" },
	{ 406, API_BAD_REQUEST, "Not Acceptable" },
	{ 408, API_SERVER, "Request Timeout" },
	{ 409, API_CONFLICT, "Conflict" },
	{ 410, API_GONE, "Gone" },
	{ 413, API_BAD_REQUEST, "Request Entity Too Large" },
	{ 415, API_BAD_REQUEST, "Unsupported Media Type" },
	{ 422, API_INVALID, "Unprocessable Entity" },
	{ 429, API_BUSY, "Too Many Requests" },
	{ 500, API_SERVER, "Internal Server Error" },
	{ 502, API_SERVER, "Bad Gateway" },
	{ 503, API_SERVER, "Service Unavailable" },
	{ 504, API_SERVER, "Gateway Timeout" },
};

static const char *const code_names[] = {
	[0] = "OK",
	[API_BAD_REQUEST] = "BadRequest",
	[API_UNAUTHORIZED] = "Unauthorized",
	[API_FORBIDDEN] = "Forbidden",
	[API_NOT_FOUND] = "NotFound",
	[API_NOT_SERVED] = "NotServed",
	[API_EXISTS] = "AlreadyExists",
	[API_CONFLICT] = "Conflict",
	[API_GONE] = "Gone",
	[API_INVALID] = "Invalid",
	[API_BUSY] = "TooManyRequests",
	[API_SERVER] = "ServerError",
};

const char *api_code_name(int status)
{
	const char *name;

	if (status < 0) {
		name = strerrorname_np(-status);
		return name ? name : "EUNKNOWN";
	}
	must((size_t)status < ARRAY_LEN(code_names));
	return code_names[status];
}

const struct json *answer_status(const struct json *body)
{
	return strcmp(meta_kind(body), "Status") == 0 ? body : NULL;
}

/*
 * A missing object is named in the Status; a missing group, version or resource gives plain text or
 * a Status without a name.
 */
static enum api_code code_of_404(const struct json *status)
{
	const char *name = json_str(json_get(status, "details", "name"), "");

	return *name ? API_NOT_FOUND : API_NOT_SERVED;
}

int answer_code(int http, const struct json *status)
{
	const char *reason = json_str(json_get(status, "reason"), "");

	if (http >= 200 && http < 300)
		return 0;
	if (http == 404)
		return code_of_404(status);
	if (http == 409 && strcmp(reason, "AlreadyExists") == 0)
		return API_EXISTS;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].http == http)
			return codes[i].code;
	return http >= 500 ? API_SERVER : API_BAD_REQUEST;
}

uint32_t answer_retry_after_ms(struct sv header, const struct json *status)
{
	uint64_t seconds;
	int64_t told;

	header = sv_trim(header);
	if (header.n && sv_u64(header, &seconds) == 0)
		return (uint32_t)MIN(seconds, RETRY_AFTER_MAX_MS / 1000) * 1000;
	told = json_i64(json_get(status, "details", "retryAfterSeconds"), 0);
	return told > 0 ? (uint32_t)MIN(told, RETRY_AFTER_MAX_MS / 1000) * 1000 : 0;
}

/* Control bytes would break the one line. */
static char printable(char c)
{
	if ((unsigned char)c < ' ' || c == 0x7f)
		return ' ';
	return c;
}

/* What is cut ends in "...". */
static void put_line(struct sv s, size_t max, char *out)
{
	size_t n = MIN(s.n, max);

	for (size_t i = 0; i < n; i++)
		out[i] = printable(s.p[i]);
	(void)snprintf(out + n, 4, "%s", s.n > max ? "..." : "");
}

void answer_text(int http, const struct json *status, struct sv body, struct err *e)
{
	struct sv message = json_sv(json_get(status, "message"));
	char line[ERR_TEXT_MAX];
	const char *name = "";

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].http == http)
			name = codes[i].text;
	if (status)
		put_line(message, sizeof(line) - 64, line);
	else
		put_line(sv_trim(body), BODY_SHOWN, line);
	err_set(e, -EPROTO, "%d%s%s%s%s", http, *name ? " " : "", name, *line ? ": " : "", line);
}

bool answer_warning(struct sv header, char *out, size_t size)
{
	ptrdiff_t quote = sv_find(header, '"');
	size_t n = 0;

	must(size > 0);
	if (quote < 0 || !sv_starts(header, SV("299 ")))
		return false;
	header = sv_drop(header, (size_t)quote + 1);
	for (size_t i = 0; i < header.n && header.p[i] != '"'; i++) {
		if (header.p[i] == '\\' && i + 1 < header.n)
			i++;
		if (n + 1 < size)
			out[n++] = printable(header.p[i]);
	}
	out[n] = '\0';
	return n > 0;
}

bool answer_rv_from_future(const struct json *status)
{
	const struct json *causes = json_get(status, "details", "causes");

	for (size_t i = 0; i < json_len(causes); i++)
		if (strcmp(json_str(json_get(json_at(causes, i), "reason"), ""),
			   "ResourceVersionTooLarge") == 0)
			return true;
	return false;
}

uint64_t answer_date_ms(struct sv header)
{
	struct tm tm = { 0 };
	char text[40];
	const char *end;
	time_t t;

	if (!sv_copy(text, sizeof(text), sv_trim(header)))
		return 0;
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* the locale is always C here */
	if (!end || *end)
		return 0;
	t = timegm(&tm);
	return t > 0 ? (uint64_t)t * 1000 : 0;
}
