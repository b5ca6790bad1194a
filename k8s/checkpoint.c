#include "k8s/checkpoint.h"

#include <errno.h>

#include "core/json.h"
#include "core/jsonw.h"
#include "core/mem.h"
#include "k8s/allocation.h"

#define FNV_START   0x811c9dc5u
#define FNV_PRIME   0x01000193u
#define NO_CHECKSUM UINT64_MAX /* of a file without one: no 32 bits are equal to it */

/* ---- checksum ---- */

static uint32_t fnv(uint32_t h, struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * FNV_PRIME;
	return h;
}

/* FNV-1a of how Go prints a byte slice: "([]uint8)[123 34 ...]". */
uint32_t checkpoint_checksum(struct sv text)
{
	uint32_t h = fnv(FNV_START, SV("([]uint8)["));

	for (size_t i = 0; i < text.n; i++) {
		unsigned byte = (unsigned char)text.p[i];
		char digits[] = { ' ', (char)('0' + byte / 100), (char)('0' + byte / 10 % 10),
				  (char)('0' + byte % 10) };
		size_t skip = byte > 99 ? 1 : byte > 9 ? 2 : 3;

		if (i)
			h = fnv(h, sv_make(digits, 1));
		h = fnv(h, sv_make(digits + skip, sizeof(digits) - skip));
	}
	return fnv(h, SV("]"));
}

/* The length of the string literal at the front. The text is JSON that a parser has accepted. */
static size_t literal(struct sv text)
{
	size_t i = 1;

	while (i < text.n && text.p[i] != '"')
		i += text.p[i] == '\\' ? 2 : 1;
	return MIN(i + 1, text.n);
}

/* Without the white space between values, which a person may have added. */
static void compact(struct sv text, struct buf *out)
{
	size_t n;

	for (; text.n; text = sv_drop(text, n)) {
		n = 1;
		if (*text.p == '"')
			n = literal(text);
		else if (strchr(" \t\r\n", *text.p))
			continue;
		buf_put(out, text.p, n);
	}
}

/* The length of the value at the front of compact JSON. */
static size_t value_length(struct sv text)
{
	size_t i = 0, depth = 0;

	while (i < text.n) {
		char c = text.p[i];

		if (!depth && (c == ',' || c == '}' || c == ']'))
			break;
		if (c == '{' || c == '[')
			depth++;
		if (c == '}' || c == ']')
			depth--;
		i += c == '"' ? literal(sv_drop(text, i)) : 1;
	}
	return i;
}

/* One member of a compact object; *rest stands on its '{' or behind the member before. */
static bool next_member(struct sv *rest, struct sv *key, struct sv *value)
{
	*rest = sv_drop(*rest, 1); /* '{' or ',' */
	if (!rest->n || *rest->p != '"')
		return false;
	*key = sv_make(rest->p, literal(*rest));
	*rest = sv_drop(*rest, key->n + 1);
	*value = sv_make(rest->p, value_length(*rest));
	*rest = sv_drop(*rest, value->n);
	return true;
}

/*
 * Whether a compact object has the checksum that it should. `outer`: the file itself, of which only
 * v1 counts.
 */
static bool sum_matches(struct sv object, bool outer)
{
	struct sv key, value, rest = object;
	uint64_t found = NO_CHECKSUM;
	struct buf text;
	bool matches;

	buf_init(&text, object.n + 1);
	while (next_member(&rest, &key, &value)) {
		if (outer && !sv_eq(key, SV("\"checksum\"")) && !sv_eq(key, SV("\"v1\"")))
			continue;
		buf_putc(&text, buf_len(&text) ? ',' : '{');
		buf_put_sv(&text, key);
		buf_putc(&text, ':');
		if (!sv_eq(key, SV("\"checksum\""))) {
			buf_put_sv(&text, value);
			continue;
		}
		buf_putc(&text, '0');
		if (sv_u64(value, &found) < 0)
			found = NO_CHECKSUM;
	}
	buf_putc(&text, '}');
	matches = checkpoint_checksum(buf_sv(&text)) == found;
	buf_done(&text);
	return matches;
}

static struct sv member(struct sv object, struct sv name)
{
	struct sv key, value, rest = object;

	while (next_member(&rest, &key, &value))
		if (sv_eq(key, name) && value.n && *value.p == '{')
			return value;
	return SV_NONE;
}

/* "checksum", "v1", "v2", ...: the newer ones are that driver's to add, and it keeps the older. */
static bool members_known(struct sv all)
{
	struct sv key, value, rest = all;
	uint64_t n;

	while (next_member(&rest, &key, &value)) {
		struct sv name = sv_make(key.p + 1, key.n - 2);

		if (!sv_eq(name, SV("checksum")) &&
		    !(sv_starts(name, SV("v")) && sv_u64(sv_drop(name, 1), &n) == 0))
			return false;
	}
	return true;
}

/* What that driver checks when it starts: version 3 alone, or the others. */
static int verify(struct sv text, struct err *e)
{
	struct sv all, v2, v3;
	struct buf plain;
	const char *bad = NULL;
	bool known;

	buf_init(&plain, text.n + 1);
	compact(text, &plain);
	all = buf_sv(&plain);
	known = members_known(all);
	v2 = member(all, SV("\"v2\""));
	v3 = member(all, SV("\"v3\""));
	if (v3.n)
		bad = sum_matches(v3, false) ? NULL : "v3";
	else if (!sum_matches(all, true))
		bad = "v1";
	else if (v2.n && !sum_matches(v2, false))
		bad = "v2";
	buf_done(&plain);
	if (!known)
		return err_set(e, -EBADMSG, "it is no state file of that driver");
	return bad ? err_set(e, -EBADMSG,
			     "the checksum of its version %s does not match: the file is damaged",
			     bad)
		   : 0;
}

/* ---- claims ---- */

struct decoder {
	const struct checkpoint_conf *conf;
	struct checkpoint *out;
	struct map holders; /* identity -> UID of the claim that has the GPU for itself */
	/* The claim under work. */
	const char *uid;
	const struct json *node;
	struct allocation alloc;
	struct err *e;
};

/* "claim UID (pod NAME): why" */
static int refuse(const struct decoder *d, const char *fmt, ...) PRINTF(2, 3);
static int refuse(const struct decoder *d, const char *fmt, ...)
{
	const char *name = json_str(json_get(d->node, "name"), ""), *pod = d->alloc.pod;
	char why[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(d->e, -ENOTSUP, "claim %.64s%s%.64s%s%.64s%s: %s", d->uid, *name ? " " : "",
		       name, pod ? " (pod " : "", pod ? pod : "", pod ? ")" : "", why);
}

/* It names a file and is a key of the ledger. */
static bool is_uid(const char *uid)
{
	struct sv s = sv_str(uid);

	return s.n && s.n <= JOURNAL_KEY_MAX && sv_find(s, '/') < 0;
}

static struct sv prepared_name(const struct json *item)
{
	const struct json *of = json_get(item, "device");
	struct sv name = json_sv(json_get(of, "DeviceName"));

	return name.n ? name : json_sv(json_get(of, "deviceName")); /* version 3 */
}

/* The device of the claim that was prepared for a result; NULL: none. */
static const struct json *find_prepared(const struct decoder *d,
					const struct allocation_result *want, const char **kind)
{
	static const char *const kinds[] = { "gpu", "mig", "vfio" };
	const struct json *groups = json_get(d->node, "preparedDevices");

	for (size_t g = 0; g < json_len(groups); g++) {
		const struct json *devices = json_get(json_at(groups, g), "devices");

		for (size_t i = 0; i < json_len(devices); i++)
			for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
				const struct json *item = json_get(json_at(devices, i), kinds[k]);

				*kind = kinds[k];
				if (sv_eqs(prepared_name(item), want->device))
					return item;
			}
	}
	return NULL;
}

static size_t prepared_count(const struct json *claim)
{
	const struct json *groups = json_get(claim, "preparedDevices");
	size_t n = 0;

	for (size_t g = 0; g < json_len(groups); g++)
		n += json_len(json_get(json_at(groups, g), "devices"));
	return n;
}

/* What was done to the devices beside giving them away, and is not this version's to undo. */
static int check_state(const struct decoder *d, const struct json *state)
{
	const struct json *value;
	const char *key;
	void *pos = NULL;

	while (json_next(state, &pos, &key, &value)) {
		if (sv_eqs(sv_str(key), "timeSliceApplied"))
			continue; /* set for plain claims too; the configuration tells */
		if (sv_eqs(sv_str(key), "mpsControlDaemonID") && !json_sv(value).n)
			continue;
		if (json_kind(value) == JSON_NULL)
			continue;
		if (sv_starts(sv_str(key), SV("mps")))
			return refuse(d, "it shares its GPU by MPS");
		return refuse(d, "it has \"%.40s\", which this version does not know", key);
	}
	return 0;
}

static int check_configs(const struct decoder *d)
{
	for (size_t i = 0; i < d->alloc.configs_n; i++) {
		struct json *root;
		const char *strategy = "";
		bool shares;

		if (json_parse(sv_str(d->alloc.configs[i].text), &json_limits_object, &root, d->e) <
		    0)
			return refuse(d, "its configuration cannot be read");
		strategy = json_str(json_get(root, "sharing", "strategy"), "");
		shares = json_kind(json_get(root, "sharing")) == JSON_OBJ;
		if (shares)
			(void)refuse(d, "its configuration asks for sharing (%.40s)", strategy);
		json_free(&root);
		if (shares)
			return -ENOTSUP;
	}
	return 0;
}

static bool is_full_gpu(const char *device)
{
	uint64_t n;

	return sv_starts(sv_str(device), SV("gpu-")) && sv_u64(sv_drop(sv_str(device), 4), &n) == 0;
}

static const char *kind_of(const char *device)
{
	if (sv_starts(sv_str(device), SV("gpu-vfio-")))
		return "a GPU for a virtual machine (VFIO)";
	if (sv_starts(sv_str(device), SV("gpu-")) && strstr(device, "-mig-"))
		return "a MIG device";
	return "a device of a kind that this version does not know";
}

static int check_result(const struct decoder *d, const struct allocation_result *r)
{
	if (!is_full_gpu(r->device))
		return refuse(d, "%.64s is %s", r->device, kind_of(r->device));
	if (r->share_id)
		return refuse(d, "it has a share of %.64s, not the whole GPU", r->device);
	if (!sv_eqs(sv_str(r->pool), d->conf->pool))
		return refuse(d, "%.64s is in pool %.64s, this node's is %.64s (--node-name?)",
			      r->device, r->pool, d->conf->pool);
	return 0;
}

/* Exclusive means one: what the scheduler would never give twice is not taken over twice. */
static int check_exclusive(struct decoder *d, const struct ledger_device *dev)
{
	const char *other;

	if (dev->admin)
		return 0;
	other = map_get(&d->holders, sv_str(dev->identity));
	if (other)
		return refuse(d, "it and claim %.64s both have %.64s (%.64s)", other, dev->device,
			      dev->identity);
	map_put(&d->holders, sv_str(dev->identity), (void *)(uintptr_t)d->uid);
	return 0;
}

static int take_device(struct decoder *d, const struct allocation_result *r,
		       struct ledger_device *dev)
{
	const char *kind, *uuid;
	const struct json *item = find_prepared(d, r, &kind);
	int status = check_result(d, r);

	if (status < 0)
		return status;
	if (!item)
		return refuse(d, "it was allocated %.64s, which is not among what was prepared",
			      r->device);
	uuid = json_str(json_get(item, "info", "uuid"), "");
	if (!sv_eqs(sv_str(kind), "gpu") || !sv_starts(sv_str(uuid), SV("GPU-")))
		return refuse(d,
			      "%.64s was prepared as a device of kind \"%s\" with UUID \"%.64s\"",
			      r->device, kind, uuid);
	dev->request = mem_strdup(r->request);
	dev->pool = mem_strdup(r->pool);
	dev->device = mem_strdup(r->device);
	dev->identity = mem_strdup(uuid);
	dev->admin = r->admin;
	return 0;
}

static struct ledger_claim *new_record(const struct decoder *d)
{
	struct ledger_claim *rec = MEM_NEW(struct ledger_claim);
	size_t n = d->alloc.results_n;

	rec->uid = mem_strdup(d->uid);
	rec->namespace = mem_strdup(json_str(json_get(d->node, "namespace"), ""));
	rec->name = mem_strdup(json_str(json_get(d->node, "name"), ""));
	rec->boot_id = mem_strdup(d->conf->boot_id);
	rec->allocation = d->alloc.digest;
	rec->since_wall_ms = d->conf->wall_ms;
	rec->devices = mem_calloc(n ? n : 1, sizeof(*rec->devices));
	return rec;
}

static bool fits_ledger(const struct ledger_claim *rec)
{
	struct buf body;
	bool fits;

	buf_init(&body, JOURNAL_BODY_MAX);
	ledger_encode(rec, &body);
	fits = !body.full;
	buf_done(&body);
	return fits;
}

static int take_completed(struct decoder *d)
{
	const struct json *groups = json_get(d->node, "preparedDevices");
	struct ledger_claim *rec = new_record(d);
	int r = 0;

	d->out->claims[d->out->claims_n++] = rec;
	for (size_t g = 0; !r && g < json_len(groups); g++)
		r = check_state(d, json_get(json_at(groups, g), "configState"));
	for (size_t i = 0; !r && i < d->alloc.results_n; i++) {
		r = take_device(d, &d->alloc.results[i], &rec->devices[i]);
		rec->devices_n += !r;
		if (!r)
			r = check_exclusive(d, &rec->devices[i]);
	}
	if (!r && prepared_count(d->node) != rec->devices_n)
		r = refuse(d, "%zu devices were prepared for it, but %zu are allocated",
			   prepared_count(d->node), rec->devices_n);
	if (!r && !fits_ledger(rec))
		r = refuse(d, "its record would be larger than the ledger takes");
	return r;
}

/* Begun and not done: of full GPUs nothing is left but a file. */
static int take_started(struct decoder *d)
{
	for (size_t i = 0; i < d->alloc.results_n; i++) {
		int r = check_result(d, &d->alloc.results[i]);

		if (r < 0)
			return r;
	}
	d->out->started[d->out->started_n++] = mem_strdup(d->uid);
	return 0;
}

static int take_claim(struct decoder *d, bool has_state)
{
	struct sv state = json_sv(json_get(d->node, "checkpointState"));
	bool started = has_state && sv_eqs(state, "PrepareStarted");
	int r;

	if (!is_uid(d->uid))
		return err_set(d->e, -EBADMSG, "\"%.64s\" is no claim UID", d->uid);
	r = allocation_decode_status(json_get(d->node, "status"), d->conf->driver, &d->alloc, d->e);
	if (r && !(r == ALLOCATION_E_NONE && started)) {
		char why[ERR_TEXT_MAX];

		sv_copy(why, sizeof(why), sv_str(d->e->text));
		return refuse(d, "%.200s", why);
	}
	if (has_state && !started && !sv_eqs(state, "PrepareCompleted"))
		return refuse(d, "its state is \"%.40s\", which this version does not know",
			      json_str(json_get(d->node, "checkpointState"), ""));
	r = check_configs(d);
	if (!r)
		r = started ? take_started(d) : take_completed(d);
	return r;
}

static int by_uid(const void *a, const void *b)
{
	const struct ledger_claim *const *x = a, *const *y = b;

	return strcmp((*x)->uid, (*y)->uid);
}

static int take_claims(struct decoder *d, const struct json *claims, bool has_state)
{
	struct checkpoint *out = d->out;
	size_t n = json_len(claims);
	const char *key;
	void *pos = NULL;
	int r = 0;

	out->claims = mem_calloc(n ? n : 1, sizeof(*out->claims));
	out->started = mem_calloc(n ? n : 1, sizeof(*out->started));
	while (!r && json_next(claims, &pos, &key, &d->node)) {
		d->uid = key;
		r = take_claim(d, has_state);
		allocation_done(&d->alloc);
	}
	if (!r)
		qsort(out->claims, out->claims_n, sizeof(*out->claims), by_uid);
	return r;
}

/* ---- reading ---- */

static const struct json *newest(const struct json *root, unsigned *version)
{
	static const char *const names[] = { NULL, "v1", "v2", "v3" };

	for (*version = 3; *version; (*version)--)
		if (json_kind(json_get(root, names[*version])) == JSON_OBJ)
			return json_get(root, names[*version]);
	return NULL;
}

/* Version 3 has no boot id of its own at first; "" is from before there was one, and is believed.
 */
static bool is_stale(const struct json *root, const struct json *body, const char *boot_id)
{
	struct sv boot = json_sv(json_get(body, "nodeBootID"));

	if (!boot.n)
		boot = json_sv(json_get(root, "v2", "nodeBootID"));
	return boot.n && !sv_eqs(boot, boot_id);
}

static int decode(struct decoder *d, const struct json *root)
{
	const struct json *body = newest(root, &d->out->version);
	const struct json *claims = json_get(body, "preparedClaims");

	if (claims && json_kind(claims) != JSON_OBJ && json_kind(claims) != JSON_NULL)
		return err_set(d->e, -EBADMSG, "its preparedClaims are no object");
	if (is_stale(root, body, d->conf->boot_id)) {
		d->out->stale = true;
		d->out->stale_n = json_len(claims);
		return 0;
	}
	return take_claims(d, claims, d->out->version > 1);
}

int checkpoint_decode(struct sv text, const struct checkpoint_conf *conf, struct checkpoint **out,
		      struct err *e)
{
	static const struct json_limits limits = { .bytes = CHECKPOINT_MAX,
						   .values = CHECKPOINT_VALUES,
						   .depth = 64,
						   .memory = CHECKPOINT_MEMORY };
	struct checkpoint *c = MEM_NEW(struct checkpoint);
	struct decoder d = { .conf = conf, .out = c, .e = e };
	struct json *root = NULL;
	int r = json_parse(text, &limits, &root, e);

	if (!r && json_kind(root) != JSON_OBJ)
		r = err_set(e, -EBADMSG, "it is no JSON object");
	if (!r)
		r = verify(text, e);
	map_init(&d.holders);
	if (!r)
		r = decode(&d, root);
	map_done(&d.holders); /* its keys are the claims' */
	json_free(&root);
	if (r < 0) {
		checkpoint_free(&c);
		return r == -ENOTSUP ? r : -EBADMSG;
	}
	*out = c;
	return 0;
}

void checkpoint_free(struct checkpoint **cp)
{
	struct checkpoint *c = *cp;

	if (!c)
		return;
	for (size_t i = 0; i < c->claims_n; i++)
		ledger_claim_free(&c->claims[i]);
	for (size_t i = 0; i < c->started_n; i++)
		mem_free(c->started[i]);
	mem_free(c->claims);
	mem_free(c->started);
	mem_free(c);
	*cp = NULL;
}

/* ---- writing: members in the order of Go's structs ---- */

struct encoder {
	struct jsonw w;
	const char *driver;
	const struct checkpoint_format *format;
};

/* What Go's encoder and ours spell alike; Kubernetes allows no other names. */
static bool is_plain(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:") ==
	       strlen(s);
}

static int check_claim(const struct ledger_claim *c, struct err *e)
{
	bool plain = is_plain(c->uid);

	for (size_t i = 0; plain && i < c->devices_n; i++) {
		const struct ledger_device *d = &c->devices[i];

		if (!is_full_gpu(d->device))
			return err_set(e, -EINVAL,
				       "claim %.64s has %.64s, and only full GPUs can "
				       "be handed over",
				       c->uid, d->device);
		plain = is_plain(d->request) && is_plain(d->pool) && is_plain(d->device) &&
			is_plain(d->identity) && is_plain(d->share_id ? d->share_id : "");
	}
	return plain
		   ? 0
		   : err_set(e, -EINVAL, "claim %.64s has a name with unusual characters", c->uid);
}

static void put_result(struct encoder *x, const struct ledger_device *d)
{
	jsonw_obj(&x->w);
	jsonw_kstr(&x->w, "request", d->request);
	jsonw_kstr(&x->w, "driver", x->driver);
	jsonw_kstr(&x->w, "pool", d->pool);
	jsonw_kstr(&x->w, "device", d->device);
	if (d->admin)
		jsonw_kbool(&x->w, "adminAccess", true);
	if (d->share_id)
		jsonw_kstr(&x->w, "shareID", d->share_id);
	jsonw_end(&x->w);
}

static void put_status(struct encoder *x, const struct ledger_claim *c)
{
	jsonw_kobj(&x->w, "status");
	jsonw_kobj(&x->w, "allocation");
	jsonw_kobj(&x->w, "devices");
	if (c->devices_n) {
		jsonw_karr(&x->w, "results");
		for (size_t i = 0; i < c->devices_n; i++)
			put_result(x, &c->devices[i]);
		jsonw_end(&x->w);
	}
	jsonw_end(&x->w);
	jsonw_end(&x->w);
	jsonw_end(&x->w);
}

static void put_prepared_device(struct encoder *x, const char *uid, const struct ledger_device *d)
{
	jsonw_obj(&x->w);
	jsonw_kobj(&x->w, "gpu");
	jsonw_kobj(&x->w, "info");
	jsonw_kstr(&x->w, "uuid", d->identity);
	jsonw_end(&x->w);
	jsonw_kobj(&x->w, "device");
	jsonw_karr(&x->w, "Requests");
	jsonw_str(&x->w, d->request);
	jsonw_end(&x->w);
	jsonw_kstr(&x->w, "PoolName", d->pool);
	jsonw_kstr(&x->w, "DeviceName", d->device);
	jsonw_karr(&x->w, "CDIDeviceIDs");
	jsonw_fmt(&x->w, "k8s.%s/claim=%s-%s", x->driver, uid, d->device);
	jsonw_end(&x->w);
	jsonw_end(&x->w);
	jsonw_end(&x->w);
	jsonw_key(&x->w, "mig");
	jsonw_null(&x->w);
	jsonw_end(&x->w);
}

static void put_prepared(struct encoder *x, const struct ledger_claim *c)
{
	if (!c->devices_n)
		return;
	jsonw_karr(&x->w, "preparedDevices");
	jsonw_obj(&x->w);
	jsonw_karr(&x->w, "devices");
	for (size_t i = 0; i < c->devices_n; i++)
		put_prepared_device(x, c->uid, &c->devices[i]);
	jsonw_end(&x->w);
	jsonw_kobj(&x->w, "configState");
	if (!x->format->without_mps_id)
		jsonw_kstr(&x->w, "mpsControlDaemonID", "");
	jsonw_end(&x->w);
	jsonw_end(&x->w);
	jsonw_end(&x->w);
}

static void put_claims(struct encoder *x, struct ledger_claim **claims, size_t n, bool state)
{
	if (!n)
		return;
	jsonw_kobj(&x->w, "preparedClaims");
	for (size_t i = 0; i < n; i++) {
		jsonw_kobj(&x->w, claims[i]->uid);
		if (state)
			jsonw_kstr(&x->w, "checkpointState", "PrepareCompleted");
		put_status(x, claims[i]);
		put_prepared(x, claims[i]);
		jsonw_end(&x->w);
	}
	jsonw_end(&x->w);
}

/* `zeroed` with its checksum in the place of the 0. */
static void put_summed(struct buf *out, struct sv zeroed)
{
	struct sv front = SV("{\"checksum\":0");

	must(sv_starts(zeroed, front));
	buf_printf(out, "{\"checksum\":%u", checkpoint_checksum(zeroed));
	buf_put_sv(out, sv_drop(zeroed, front.n));
}

static void put_v1(struct encoder *x, struct ledger_claim **claims, size_t n, struct buf *out)
{
	jsonw_init(&x->w, out);
	jsonw_obj(&x->w);
	jsonw_ki64(&x->w, "checksum", 0);
	jsonw_kobj(&x->w, "v1");
	put_claims(x, claims, n, false);
	jsonw_end(&x->w);
	jsonw_end(&x->w);
}

static void put_v2(struct encoder *x, struct ledger_claim **claims, size_t n, const char *boot_id,
		   struct buf *out)
{
	jsonw_init(&x->w, out);
	jsonw_obj(&x->w);
	jsonw_ki64(&x->w, "checksum", 0);
	put_claims(x, claims, n, true);
	jsonw_kstr(&x->w, "nodeBootID", boot_id);
	jsonw_end(&x->w);
}

int checkpoint_encode(const struct ledger_claim *const *claims, size_t n, const char *driver,
		      const char *boot_id, const struct checkpoint_format *format, struct buf *out,
		      struct err *e)
{
	struct ledger_claim **sorted = mem_calloc(n ? n : 1, sizeof(*sorted));
	struct encoder x = { .driver = driver, .format = format };
	struct buf v1, v2;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		sorted[i] = (struct ledger_claim *)(uintptr_t)claims[i];
		r = check_claim(claims[i], e);
	}
	buf_init(&v1, CHECKPOINT_MAX / 2);
	buf_init(&v2, CHECKPOINT_MAX / 2);
	if (!r) {
		qsort(sorted, n, sizeof(*sorted), by_uid);
		put_v1(&x, sorted, n, &v1);
		put_v2(&x, sorted, n, boot_id, &v2);
		if (v1.full || v2.full)
			r = err_set(e, -EINVAL, "%zu claims are more than such a file takes", n);
	}
	if (!r) {
		put_summed(out, buf_sv(&v1));
		out->end--; /* the closing brace: version 2 follows */
		buf_puts(out, ",\"v2\":");
		put_summed(out, buf_sv(&v2));
		buf_putc(out, '}');
	}
	buf_done(&v1);
	buf_done(&v2);
	mem_free(sorted);
	return r;
}
