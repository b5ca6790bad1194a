#include "tools/tundra/redact.h"

#include <ctype.h>

#include "core/mem.h"

enum { NAME_MAX_BYTES = 80, PREFIX_TAIL_MIN = 16, JOIN_TOKEN_MAX = 256 };

/* Parts of a name, lower case without '-' and '_'. */
static const char *const secret_parts[] = { "password",	  "passwd",  "passphrase", "secret",
					    "token",	  "apikey",  "accesskey",  "privatekey",
					    "clientkey",  "keydata", "credential", "authorization",
					    "sessionkey", "cookie" };
/* The last word of a name. */
static const char *const secret_words[] = { "auth", "pwd", "pass" };

/* How secrets of well-known services begin. */
static const char *const prefixes[] = { "AKIA",	       "ASIA",	 "AIza",      "ghp_",
					"gho_",	       "ghs_",	 "ghu_",      "ghr_",
					"github_pat_", "glpat-", "xoxb-",     "xoxp-",
					"xoxa-",       "nvapi-", "dckr_pat_", "hvs." };

/* ---- names ---- */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* "staticKey", "tls.key"; not "key" alone, which is a label's or taint's, and not "monkey". */
static bool is_key(struct sv name)
{
	size_t at = name.n - strlen("key");

	if (name.n <= strlen("key") || !sv_ieq(sv_drop(name, at), SV("key")))
		return false;
	return name.p[at] == 'K' || !isalnum((unsigned char)name.p[at - 1]);
}

/* "MYSQL_PWD", "proxy-auth"; not "bypass". */
static bool is_secret_word(struct sv name)
{
	size_t at = name.n;

	while (at && isalnum((unsigned char)name.p[at - 1]))
		at--;
	for (size_t i = 0; i < ARRAY_LEN(secret_words); i++)
		if (sv_ieq(sv_drop(name, at), sv_str(secret_words[i])))
			return true;
	return false;
}

bool redact_is_secret_name(struct sv name)
{
	char flat[NAME_MAX_BYTES + 1];
	size_t n = 0;

	for (size_t i = 0; i < name.n && n < NAME_MAX_BYTES; i++)
		if (name.p[i] != '-' && name.p[i] != '_')
			flat[n++] = (char)tolower((unsigned char)name.p[i]);
	flat[n] = '\0';
	if ((is_key(name) && !strstr(flat, "public")) || is_secret_word(name))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(secret_parts); i++)
		if (strstr(flat, secret_parts[i]))
			return true;
	return false;
}

/* ---- what follows a name ---- */

static size_t blanks(struct sv s, size_t at)
{
	while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\t'))
		at++;
	return at;
}

/* A quote, maybe with backslashes before it (JSON inside JSON). *depth = their number. */
static size_t opening(struct sv s, size_t at, size_t *depth)
{
	size_t from = at;

	while (at < s.n && s.p[at] == '\\')
		at++;
	*depth = at - from;
	return at < s.n && (s.p[at] == '"' || s.p[at] == '\'') ? at + 1 : from;
}

/* A long string of TOML: up to the next three quotes; 0: it is none. */
static size_t closing_long(struct sv s, size_t at)
{
	const char *end = NULL;

	if (s.n - at >= 2 && s.p[at] == s.p[at - 1] && s.p[at + 1] == s.p[at - 1])
		end = memmem(s.p + at + 2, s.n - at - 2, s.p + at - 1, 3);
	return end ? (size_t)(end - s.p) : 0;
}

/* Up to the quote `q` that has the same number of backslashes before it; YAML doubles a single one
 * that is meant. */
static size_t closing(struct sv s, size_t at, char q, size_t depth)
{
	size_t slashes = 0;
	size_t end = depth ? 0 : closing_long(s, at);

	if (end)
		return end;

	for (; at < s.n; at++) {
		if (s.p[at] == '\\') {
			slashes++;
			continue;
		}
		if (q == '\'' && !depth && at + 1 < s.n && s.p[at] == q && s.p[at + 1] == q) {
			at++;
			continue;
		}
		if (s.p[at] == q && (slashes == depth || (depth == 0 && slashes % 2 == 0)))
			return at - slashes + (depth ? 0 : slashes);
		slashes = 0;
	}
	return s.n;
}

static size_t indent_at(struct sv s, size_t at)
{
	return blanks(s, at) - at;
}

/* A YAML block scalar: the lines below that are indented more than `indent`. */
static size_t block(struct sv s, size_t at, size_t indent)
{
	while (at < s.n) {
		const char *nl = memchr(s.p + at, '\n', s.n - at);
		size_t next = nl ? (size_t)(nl - s.p) + 1 : s.n;

		if (next >= s.n || (indent_at(s, next) <= indent && s.p[next] != '\n'))
			return nl ? next - 1 : s.n;
		at = next;
	}
	return at;
}

static size_t brackets(struct sv s, size_t at)
{
	int depth = 0;

	for (; at < s.n; at++) {
		depth += s.p[at] == '[';
		depth -= s.p[at] == ']';
		if (depth == 0)
			return at + 1;
	}
	return at;
}

static size_t bare(struct sv s, size_t at, char separator)
{
	const char *ends = separator == ':' ? "\n\r,}]\"'" : " \t\n\r,;&}]\"'";

	while (at < s.n && !strchr(ends, s.p[at]))
		at++;
	return at;
}

static bool harmless(struct sv value)
{
	static const char *const words[] = { "", "true", "false", "null", "~", "{", "[]" };

	value = sv_trim(value);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (sv_ieq(value, sv_str(words[i])))
			return true;
	/* A file's name; base64 can begin with '/', too, but then it has no other folder's shape.
	 */
	return value.n > 1 && value.n < 200 && value.p[0] == '/' &&
	       (islower((unsigned char)value.p[1]) || value.p[1] == '.') &&
	       memchr(value.p + 1, '/', value.n - 1) && !memchr(value.p, '=', value.n) &&
	       !memchr(value.p, '+', value.n);
}

static size_t gap(struct sv s, size_t at)
{
	while (at < s.n && isspace((unsigned char)s.p[at]))
		at++;
	return at;
}

/* `name: value` and its like at the front of s. The value is [*from, *to); false: none. */
static bool named(struct sv s, size_t indent, size_t *from, size_t *to)
{
	size_t n = 0, at, depth;
	char separator;

	while (n < s.n && is_name(s.p[n]))
		n++;
	if (!n || n > NAME_MAX_BYTES || !redact_is_secret_name(sv_make(s.p, n)))
		return false;
	at = blanks(s, opening(s, n, &depth));
	if (at >= s.n)
		return false;
	separator = s.p[at];
	if (separator == ':' || separator == '=')
		at = blanks(s, at + 1);
	else if (at == n || n < 3 || memcmp(s.p, "--", 2) != 0) /* "--token x" */
		return false;
	else if (separator == ',') /* ["--token", "x"] */
		at = gap(s, at + 1);
	*from = opening(s, at, &depth);
	if (*from > at)
		*to = closing(s, *from, s.p[*from - 1], depth);
	else if (at < s.n && (s.p[at] == '|' || s.p[at] == '>'))
		*to = block(s, at, indent);
	else if (at < s.n && s.p[at] == '[')
		*to = brackets(s, at);
	else
		*to = bare(s, at, separator);
	return *to > *from && !harmless(sv_make(s.p + *from, *to - *from));
}

/* ---- what a secret looks like: bytes at the front of s, 0 = none; *keep stay ---- */

static size_t run_of(struct sv s, size_t at, const char *more)
{
	size_t from = at;

	while (at < s.n && (isalnum((unsigned char)s.p[at]) || (s.p[at] && strchr(more, s.p[at]))))
		at++;
	return at - from;
}

static size_t private_key(struct sv s, size_t *keep)
{
	static const char begin[] = "-----BEGIN ", what[] = "PRIVATE KEY-----", end[] = "-----END ";
	const char *nl, *tail;

	if (!sv_starts(s, SV("-----BEGIN ")))
		return 0;
	nl = memmem(s.p + strlen(begin), MIN(s.n - strlen(begin), 60), what, strlen(what));
	if (!nl)
		return 0;
	*keep = 0;
	tail = memmem(nl, s.n - (size_t)(nl - s.p), end, strlen(end));
	if (!tail)
		return s.n; /* cut off: all that is left may be key */
	nl = memmem(tail, s.n - (size_t)(tail - s.p), what, strlen(what));
	return nl ? (size_t)(nl - s.p) + strlen(what) : s.n;
}

/* Three parts of base64url, the first a JSON object. */
static size_t jwt(struct sv s, size_t *keep)
{
	size_t a, b, c;

	if (!sv_starts(s, SV("eyJ")))
		return 0;
	a = run_of(s, 0, "_-");
	b = a < s.n && s.p[a] == '.' ? run_of(s, a + 1, "_-") : 0;
	if (a < 8 || b < 4)
		return 0;
	*keep = 0;
	b += a + 1;
	c = b < s.n && s.p[b] == '.' ? 1 + run_of(s, b + 1, "_-") : 0;
	return b + c;
}

static size_t scheme(struct sv s, size_t *keep)
{
	static const char *const words[] = { "Bearer ", "Basic " };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		if (s.n > n && sv_ieq(sv_make(s.p, n), sv_str(words[i]))) {
			*keep = n;
			n += run_of(s, n, "._-+/=~");
			return n >= *keep + 8 ? n : 0; /* "basic auth" is no secret */
		}
	}
	return 0;
}

static size_t prefixed(struct sv s, size_t *keep)
{
	*keep = 0;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (sv_starts(s, sv_str(prefixes[i]))) {
			size_t n = run_of(s, 0, "_-.");

			return n >= strlen(prefixes[i]) + PREFIX_TAIL_MIN ? n : 0;
		}
	return 0;
}

/* k3s: K10<hash>::<user>:<password>; kubeadm: 6 and 16 small letters and digits. */
static size_t join_token(struct sv s, size_t *keep)
{
	size_t n;

	*keep = 0;
	if (sv_starts(s, SV("K10"))) {
		n = run_of(sv_make(s.p, MIN(s.n, JOIN_TOKEN_MAX)), 0, ":");
		return n > 40 && memmem(s.p, n, "::", 2) ? n : 0;
	}
	if (run_of(s, 0, "") != 6 || s.n < 23 || s.p[6] != '.' || run_of(s, 7, "") != 16)
		return 0;
	for (size_t i = 0; i < 23; i++)
		if (isupper((unsigned char)s.p[i]))
			return 0;
	return 23;
}

static size_t (*const looks[])(struct sv s, size_t *keep) = { private_key, jwt, scheme, prefixed,
							      join_token };

/* "://user:password@": what is between the slashes and '@'. */
static size_t userinfo(struct sv s, size_t *keep)
{
	size_t n;

	if (!sv_starts(s, SV("://")))
		return 0;
	for (n = 3; n < s.n && !strchr("/ \t\r\n\"'?#", s.p[n]); n++)
		if (s.p[n] == '@') {
			*keep = 3;
			return n > 3 ? n : 0;
		}
	return 0;
}

static size_t known(const struct redact *r, struct sv s)
{
	for (size_t i = 0; i < r->known_n; i++)
		if (sv_starts(s, sv_str(r->known[i])))
			return strlen(r->known[i]);
	return 0;
}

/* ---- the walk ---- */

void redact_init(struct redact *r)
{
	*r = (struct redact){ 0 };
}

void redact_done(struct redact *r)
{
	while (r->known_n)
		mem_free(r->known[--r->known_n]);
}

void redact_know(struct redact *r, struct sv secret)
{
	secret = sv_trim(secret);
	if (secret.n >= REDACT_KNOWN_MIN && r->known_n < REDACT_KNOWN_MAX)
		r->known[r->known_n++] = sv_dup(secret);
}

/* A secret at the front of s: [*keep, result) goes. `fresh`: s does not continue a word. */
static size_t match(const struct redact *r, struct sv s, bool fresh, size_t indent, size_t *keep)
{
	size_t n = known(r, s);

	*keep = 0;
	if (!n)
		n = userinfo(s, keep);
	for (size_t i = 0; !n && fresh && i < ARRAY_LEN(looks); i++)
		n = looks[i](s, keep);
	if (!n && fresh && !named(s, indent, keep, &n))
		n = *keep = 0;
	return n;
}

/* What stands before a secret stays, but may have one in it that is known by value. */
static void put_kept(const struct redact *r, struct sv s, size_t keep, struct buf *out)
{
	size_t n;

	for (size_t at = 0; at < keep; at += n) {
		n = known(r, sv_drop(s, at));
		if (n) {
			buf_puts(out, "[removed]");
		} else {
			buf_putc(out, s.p[at]);
			n = 1;
		}
	}
}

void redact_text(struct redact *r, struct sv text, struct buf *out)
{
	size_t at = 0, done = 0, indent = indent_at(text, 0), keep = 0, n;

	while (at < text.n) {
		struct sv s = sv_drop(text, at);
		bool fresh = at == 0 || !is_name(text.p[at - 1]);

		if (at && text.p[at - 1] == '\n')
			indent = indent_at(text, at);
		n = match(r, s, fresh, indent, &keep);
		if (!n) {
			at++;
			continue;
		}
		buf_put(out, text.p + done, at - done);
		put_kept(r, s, keep, out);
		buf_puts(out, "[removed]");
		r->removed++;
		at += n;
		done = at;
	}
	buf_put(out, text.p + done, text.n - done);
}
