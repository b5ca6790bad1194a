#include "tools/hook/json.h"

#include <errno.h>
#include <string.h>

enum { KIND_OBJECT = 1, KIND_ARRAY = 2 };

enum state {
	AT_VALUE,	 /* a value must come */
	AT_VALUE_OR_END, /* behind '[' */
	AT_KEY,		 /* behind ',' in an object */
	AT_KEY_OR_END,	 /* behind '{' */
	AT_COLON,
	AT_NEXT, /* behind a value in a container */
	IN_STRING,
	IN_ESCAPE,
	IN_UNICODE, /* behind \u */
	AT_LOW,	    /* behind a first surrogate: a backslash must come */
	AT_LOW_U,   /* and then a u */
	IN_NUMBER,
	IN_LITERAL,
	AT_END,
};

/* Where in -123.45e+6 we are. */
enum number { NUM_MINUS, NUM_ZERO, NUM_INT, NUM_DOT, NUM_FRAC, NUM_E, NUM_SIGN, NUM_EXP };

static int fail(struct json *j, int code, const char *what)
{
	j->error = what;
	return code;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void json_init(struct json *j, struct json_want *wants, unsigned nwants, size_t bytes_max)
{
	must(nwants <= JSON_WANT_MAX);
	*j = (struct json){ .wants = wants, .nwants = nwants, .bytes_max = bytes_max };
	j->inside[0] = (uint8_t)((1u << nwants) - 1);
	for (unsigned i = 0; i < nwants; i++) {
		must(wants[i].cap > 0 && wants[i].keys[0]);
		wants[i].len = 0;
		wants[i].found = false;
		wants[i].out[0] = '\0';
	}
}

static unsigned want_depth(const struct json_want *w)
{
	return w->keys[1] ? 2 : 1;
}

/* The wanted string that the value starting now is, or NULL. */
static struct json_want *want_here(const struct json *j)
{
	if (j->depth == 0 || j->depth > JSON_PATH_MAX || j->kind[j->depth - 1] != KIND_OBJECT)
		return NULL;
	for (unsigned i = 0; i < j->nwants; i++)
		if ((j->matched & (1u << i)) && want_depth(&j->wants[i]) == j->depth)
			return &j->wants[i];
	return NULL;
}

/* A key of the object at the present depth is complete: which wants does it lead to? */
static int key_done(struct json *j)
{
	struct json_want *w;

	j->matched = 0;
	j->state = AT_COLON;
	if (j->depth > JSON_PATH_MAX || j->key_len >= JSON_KEY_MAX)
		return 0;
	j->key[j->key_len] = '\0';
	for (unsigned i = 0; i < j->nwants; i++) {
		w = &j->wants[i];
		if (!(j->inside[j->depth - 1] & (1u << i)) || want_depth(w) < j->depth)
			continue;
		if (strlen(w->keys[j->depth - 1]) == j->key_len &&
		    memcmp(w->keys[j->depth - 1], j->key, j->key_len) == 0)
			j->matched |= (uint8_t)(1u << i);
	}
	return 0;
}

static void value_done(struct json *j)
{
	j->matched = 0;
	j->state = j->depth ? AT_NEXT : AT_END;
}

static int string_done(struct json *j)
{
	if (j->in_key)
		return key_done(j);
	if (j->capture) {
		j->capture->out[j->capture->len] = '\0';
		j->capture->found = true;
		j->capture = NULL;
	}
	value_done(j);
	return 0;
}

/* One byte of a string's decoded text. */
static int string_byte(struct json *j, char c)
{
	if (j->in_key) {
		if (j->key_len < JSON_KEY_MAX)
			j->key[j->key_len++] = c;
		return 0;
	}
	if (!j->capture)
		return 0;
	if (c == '\0')
		return fail(j, -EBADMSG, "a wanted string contains \\u0000");
	if (j->capture->len + 1 >= j->capture->cap)
		return fail(j, -ENAMETOOLONG, "a wanted string is too long");
	j->capture->out[j->capture->len++] = c;
	return 0;
}

static int string_code(struct json *j, uint32_t code)
{
	char utf8[4];
	int len = 0, r = 0;

	if (code < 0x80) {
		utf8[len++] = (char)code;
	} else if (code < 0x800) {
		utf8[len++] = (char)(0xc0 | code >> 6);
		utf8[len++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		utf8[len++] = (char)(0xe0 | code >> 12);
		utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
		utf8[len++] = (char)(0x80 | (code & 0x3f));
	} else {
		utf8[len++] = (char)(0xf0 | code >> 18);
		utf8[len++] = (char)(0x80 | (code >> 12 & 0x3f));
		utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
		utf8[len++] = (char)(0x80 | (code & 0x3f));
	}
	for (int i = 0; i < len && r == 0; i++)
		r = string_byte(j, utf8[i]);
	return r;
}

static int open_container(struct json *j, uint8_t kind)
{
	uint8_t leads = 0;

	if (j->depth >= JSON_DEPTH_MAX)
		return fail(j, -E2BIG, "nested too deep");
	/* The top object belongs to every want; a deeper one to those whose key led here. */
	if (kind == KIND_OBJECT)
		leads = j->depth == 0 ? j->inside[0] : j->matched;
	if (j->depth > 0 && j->depth < JSON_PATH_MAX)
		j->inside[j->depth] = leads;
	else if (j->depth == 0 && kind != KIND_OBJECT)
		j->inside[0] = 0;
	j->kind[j->depth++] = kind;
	j->matched = 0;
	j->state = kind == KIND_OBJECT ? AT_KEY_OR_END : AT_VALUE_OR_END;
	return 0;
}

static int close_container(struct json *j, uint8_t kind)
{
	if (j->depth == 0 || j->kind[j->depth - 1] != kind)
		return fail(j, -EBADMSG, "bracket that nothing opened");
	j->depth--;
	value_done(j);
	return 0;
}

static int start_string(struct json *j, bool key)
{
	struct json_want *want = key ? NULL : want_here(j);

	if (want && want->found)
		return fail(j, -ENOTUNIQ, "a wanted key appears twice");
	j->capture = want;
	j->in_key = key;
	j->key_len = 0;
	j->high = 0;
	j->state = IN_STRING;
	return 0;
}

static int start_literal(struct json *j, const char *rest)
{
	j->literal = rest;
	j->state = IN_LITERAL;
	return 0;
}

static int start_value(struct json *j, char c)
{
	/* null means absent; any other value where a string is wanted is a mistake. */
	if (c != '"' && c != 'n' && want_here(j))
		return fail(j, -EPROTOTYPE, "a wanted value is not a string");
	switch (c) {
	case '{':
		return open_container(j, KIND_OBJECT);
	case '[':
		return open_container(j, KIND_ARRAY);
	case '"':
		return start_string(j, false);
	case 't':
		return start_literal(j, "rue");
	case 'f':
		return start_literal(j, "alse");
	case 'n':
		return start_literal(j, "ull");
	default:
		break;
	}
	if (c != '-' && (c < '0' || c > '9'))
		return fail(j, -EBADMSG, "a value was expected");
	j->number = c == '-' ? NUM_MINUS : c == '0' ? NUM_ZERO : NUM_INT;
	j->state = IN_NUMBER;
	return 0;
}

/* The state behind a digit in a number, or -1 when none can follow. */
static int number_digit(enum number at, char c)
{
	static const int next[] = {
		[NUM_MINUS] = NUM_INT, [NUM_ZERO] = -1,	      [NUM_INT] = NUM_INT,
		[NUM_DOT] = NUM_FRAC,  [NUM_FRAC] = NUM_FRAC, [NUM_E] = NUM_EXP,
		[NUM_SIGN] = NUM_EXP,  [NUM_EXP] = NUM_EXP,
	};

	return at == NUM_MINUS && c == '0' ? NUM_ZERO : next[at];
}

/* The state behind any `c`. */
static int number_next(enum number at, char c)
{
	if (c >= '0' && c <= '9')
		return number_digit(at, c);
	if (c == '.')
		return at == NUM_ZERO || at == NUM_INT ? NUM_DOT : -1;
	if (c == 'e' || c == 'E')
		return at == NUM_ZERO || at == NUM_INT || at == NUM_FRAC ? NUM_E : -1;
	return (c == '+' || c == '-') && at == NUM_E ? NUM_SIGN : -1;
}

static bool number_may_end(enum number at)
{
	return at == NUM_ZERO || at == NUM_INT || at == NUM_FRAC || at == NUM_EXP;
}

static int in_structure(struct json *j, char c)
{
	if (is_space(c))
		return 0;
	switch ((enum state)j->state) {
	case AT_VALUE_OR_END:
		if (c == ']')
			return close_container(j, KIND_ARRAY);
		return start_value(j, c);
	case AT_VALUE:
		return start_value(j, c);
	case AT_KEY_OR_END:
		if (c == '}')
			return close_container(j, KIND_OBJECT);
		return c == '"' ? start_string(j, true) : fail(j, -EBADMSG, "a key was expected");
	case AT_KEY:
		return c == '"' ? start_string(j, true) : fail(j, -EBADMSG, "a key was expected");
	case AT_COLON:
		j->state = AT_VALUE;
		return c == ':' ? 0 : fail(j, -EBADMSG, "':' was expected");
	case AT_NEXT:
		if (c == '}' || c == ']')
			return close_container(j, c == '}' ? KIND_OBJECT : KIND_ARRAY);
		j->state = j->kind[j->depth - 1] == KIND_OBJECT ? AT_KEY : AT_VALUE;
		return c == ',' ? 0 : fail(j, -EBADMSG, "',' was expected");
	default:
		return fail(j, -EBADMSG, "something follows the document");
	}
}

static int in_escape(struct json *j, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(from, c) : NULL;

	j->state = IN_STRING;
	if (at)
		return string_byte(j, to[at - from]);
	if (c != 'u')
		return fail(j, -EBADMSG, "unknown escape");
	j->state = IN_UNICODE;
	j->code = 0;
	j->digits = 0;
	return 0;
}

static int in_unicode(struct json *j, char c)
{
	unsigned digit;

	if (c >= '0' && c <= '9')
		digit = (unsigned)(c - '0');
	else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		digit = (unsigned)((c | 0x20) - 'a') + 10;
	else
		return fail(j, -EBADMSG, "\\u needs four hexadecimal digits");
	j->code = j->code << 4 | digit;
	if (++j->digits < 4)
		return 0;
	j->state = IN_STRING;
	if (j->high) {
		if (j->code < 0xdc00 || j->code > 0xdfff)
			return fail(j, -EBADMSG, "half a surrogate pair");
		j->code = 0x10000 + ((j->high - 0xd800) << 10) + (j->code - 0xdc00);
		j->high = 0;
		return string_code(j, j->code);
	}
	if (j->code >= 0xd800 && j->code <= 0xdbff) {
		j->high = j->code;
		j->state = AT_LOW;
		return 0;
	}
	if (j->code >= 0xdc00 && j->code <= 0xdfff)
		return fail(j, -EBADMSG, "half a surrogate pair");
	return string_code(j, j->code);
}

static int in_string(struct json *j, char c)
{
	switch ((enum state)j->state) {
	case IN_ESCAPE:
		return in_escape(j, c);
	case IN_UNICODE:
		return in_unicode(j, c);
	case AT_LOW:
		j->state = AT_LOW_U;
		return c == '\\' ? 0 : fail(j, -EBADMSG, "half a surrogate pair");
	case AT_LOW_U:
		j->state = IN_UNICODE;
		j->code = 0;
		j->digits = 0;
		return c == 'u' ? 0 : fail(j, -EBADMSG, "half a surrogate pair");
	default:
		break;
	}
	if (c == '"')
		return string_done(j);
	if (c == '\\') {
		j->state = IN_ESCAPE;
		return 0;
	}
	if ((unsigned char)c < 0x20)
		return fail(j, -EBADMSG, "control character in a string");
	return string_byte(j, c);
}

static int one(struct json *j, char c)
{
	int next;

	switch ((enum state)j->state) {
	case IN_STRING:
	case IN_ESCAPE:
	case IN_UNICODE:
	case AT_LOW:
	case AT_LOW_U:
		return in_string(j, c);
	case IN_LITERAL:
		if (*j->literal != c)
			return fail(j, -EBADMSG, "unknown word");
		if (*++j->literal == '\0')
			value_done(j);
		return 0;
	case IN_NUMBER:
		next = number_next((enum number)j->number, c);
		if (next >= 0) {
			j->number = (uint8_t)next;
			return 0;
		}
		if (!number_may_end((enum number)j->number))
			return fail(j, -EBADMSG, "malformed number");
		value_done(j);
		return in_structure(j, c);
	default:
		return in_structure(j, c);
	}
}

int json_feed(struct json *j, const char *bytes, size_t len)
{
	int r;

	must(!j->error);
	for (size_t i = 0; i < len; i++) {
		if (j->bytes >= j->bytes_max)
			return fail(j, -EFBIG, "the document is too large");
		j->bytes++;
		r = one(j, bytes[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

bool json_complete(const struct json *j)
{
	return j->state == AT_END;
}

int json_end(struct json *j)
{
	must(!j->error);
	/* Only the end of input ends a number at top level. */
	if (j->state == IN_NUMBER && j->depth == 0 && number_may_end((enum number)j->number))
		value_done(j);
	if (j->state != AT_END)
		return fail(j, -EBADMSG, "the document is cut short");
	return 0;
}

const char *json_error(const struct json *j)
{
	return j->error ? j->error : "no error";
}

size_t json_offset(const struct json *j)
{
	return j->bytes;
}
