/* A record of the ledger as JSON: declared in k8s/ledger.h, whose file and hand-over are
 * k8s/ledger.c. */
#include "k8s/ledger.h"

#include <errno.h>

#include "core/json.h"
#include "core/jsonw.h"
#include "core/mem.h"

#define BODY_VERSION 1

static void device_done(struct ledger_device *d)
{
	mem_free(d->request);
	mem_free(d->pool);
	mem_free(d->device);
	mem_free(d->share_id);
	mem_free(d->identity);
}

void ledger_claim_free(struct ledger_claim **cp)
{
	struct ledger_claim *c = *cp;

	if (!c)
		return;
	for (size_t i = 0; i < c->devices_n; i++)
		device_done(&c->devices[i]);
	mem_free(c->devices);
	mem_free(c->uid);
	mem_free(c->namespace);
	mem_free(c->name);
	mem_free(c->pod);
	mem_free(c->plan);
	mem_free(c->boot_id);
	mem_free(c->unknown);
	mem_free(c);
	*cp = NULL;
}

static void put_hex(struct jsonw *w, const char *key, const char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	struct buf hex;

	if (!n)
		return;
	buf_init(&hex, n * 2 + 1);
	for (size_t i = 0; i < n; i++) {
		buf_putc(&hex, digits[(unsigned char)bytes[i] >> 4]);
		buf_putc(&hex, digits[bytes[i] & 15]);
	}
	jsonw_ksv(w, key, buf_sv(&hex));
	buf_done(&hex);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int get_hex(struct sv text, char **out, size_t *n)
{
	char *bytes;

	*out = NULL;
	*n = text.n / 2;
	if (text.n % 2)
		return -EBADMSG;
	bytes = mem_alloc(*n + 1);
	for (size_t i = 0; i < *n; i++) {
		int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0) {
			mem_free(bytes);
			return -EBADMSG;
		}
		bytes[i] = (char)(hi << 4 | lo);
	}
	*out = bytes;
	return 0;
}

static void put_device(struct jsonw *w, const struct ledger_device *d)
{
	jsonw_obj(w);
	jsonw_kstr(w, "request", d->request);
	jsonw_kstr(w, "pool", d->pool);
	jsonw_kstr(w, "device", d->device);
	jsonw_kstr(w, "identity", d->identity);
	if (d->share_id)
		jsonw_kstr(w, "shareID", d->share_id);
	if (d->admin)
		jsonw_kbool(w, "admin", true);
	jsonw_end(w);
}

void ledger_encode(const struct ledger_claim *c, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_ki64(&w, "v", BODY_VERSION);
	jsonw_kstr(&w, "namespace", c->namespace);
	jsonw_kstr(&w, "name", c->name);
	if (c->pod)
		jsonw_kstr(&w, "pod", c->pod);
	jsonw_key(&w, "allocation");
	jsonw_fmt(&w, "%016llx", (unsigned long long)c->allocation);
	jsonw_kstr(&w, "bootID", c->boot_id);
	jsonw_ki64(&w, "since", (int64_t)c->since_wall_ms);
	put_hex(&w, "plan", c->plan, c->plan_n);
	jsonw_karr(&w, "devices");
	for (size_t i = 0; i < c->devices_n; i++)
		put_device(&w, &c->devices[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	if (!c->unknown || out->full)
		return;
	out->end--; /* the closing brace: what another version wrote follows */
	buf_puts(out, c->unknown);
	buf_putc(out, '}');
}

static const char *const known_members[] = { "v",      "namespace", "name", "pod",    "allocation",
					     "bootID", "since",	    "plan", "devices" };

static bool is_known(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(known_members); i++)
		if (sv_eqs(sv_str(key), known_members[i]))
			return true;
	return false;
}

/* Everything this version does not know, spelled ",\"key\":value,...". */
static char *keep_unknown(const struct json *body)
{
	const struct json *value;
	struct buf out, one;
	const char *key;
	void *pos = NULL;
	char *kept;

	buf_init(&out, JOURNAL_BODY_MAX);
	buf_init(&one, JOURNAL_BODY_MAX);
	while (json_next(body, &pos, &key, &value)) {
		struct jsonw w;
		struct sv text;

		if (is_known(key))
			continue;
		buf_clear(&one);
		jsonw_init(&w, &one);
		jsonw_obj(&w);
		jsonw_key(&w, key);
		jsonw_json(&w, value);
		jsonw_end(&w);
		text = buf_sv(&one);
		buf_putc(&out, ',');
		buf_put(&out, text.p + 1, text.n - 2);
	}
	kept = buf_len(&out) ? buf_steal(&out) : NULL;
	buf_done(&out);
	buf_done(&one);
	return kept;
}

static void get_device(const struct json *n, struct ledger_device *d)
{
	d->request = mem_strdup(json_str(json_get(n, "request"), ""));
	d->pool = mem_strdup(json_str(json_get(n, "pool"), ""));
	d->device = mem_strdup(json_str(json_get(n, "device"), ""));
	d->identity = mem_strdup(json_str(json_get(n, "identity"), ""));
	d->share_id = mem_strdup(json_str(json_get(n, "shareID"), NULL));
	d->admin = json_flag(json_get(n, "admin"), false);
}

static int get_allocation(struct sv text, uint64_t *out)
{
	char *bytes;
	size_t n;

	*out = 0;
	if (text.n != 16 || get_hex(text, &bytes, &n) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		*out = *out << 8 | (unsigned char)bytes[i];
	mem_free(bytes);
	return 0;
}

int ledger_decode(struct sv uid, struct sv body, struct ledger_claim **out, struct err *e)
{
	static const struct json_limits limits = { .bytes = JOURNAL_BODY_MAX,
						   .values = 10000,
						   .depth = 32 };
	struct ledger_claim *c;
	const struct json *devices;
	struct json *root;
	int r = json_parse(body, &limits, &root, e);

	if (r < 0) {
		err_wrap(e, r, "ledger record of claim " SV_FMT, SV_ARG(uid));
		return -EBADMSG;
	}
	c = MEM_NEW(struct ledger_claim);
	c->uid = sv_dup(uid);
	c->namespace = mem_strdup(json_str(json_get(root, "namespace"), ""));
	c->name = mem_strdup(json_str(json_get(root, "name"), ""));
	c->pod = mem_strdup(json_str(json_get(root, "pod"), NULL));
	c->boot_id = mem_strdup(json_str(json_get(root, "bootID"), ""));
	c->since_wall_ms = (uint64_t)json_i64(json_get(root, "since"), 0);
	r = get_allocation(json_sv(json_get(root, "allocation")), &c->allocation);
	if (!r)
		r = get_hex(json_sv(json_get(root, "plan")), &c->plan, &c->plan_n);
	devices = json_get(root, "devices");
	if (json_kind(devices) != JSON_ARR)
		r = -EBADMSG;
	c->devices_n = json_len(devices);
	c->devices = mem_calloc(c->devices_n ? c->devices_n : 1, sizeof(*c->devices));
	for (size_t i = 0; i < c->devices_n; i++)
		get_device(json_at(devices, i), &c->devices[i]);
	c->unknown = keep_unknown(root);
	json_free(&root);
	if (r < 0) {
		ledger_claim_free(&c);
		err_set(e, r, "ledger record of claim " SV_FMT " lacks a member", SV_ARG(uid));
		return -EBADMSG;
	}
	*out = c;
	return 0;
}
