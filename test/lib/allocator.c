#include "test/lib/allocator.h"

#include <errno.h>

#include "core/mem.h"
#include "test/lib/cel.h"

enum {
	SLOTS_MAX = 32, /* results of one claim */
	REQUESTS_MAX = 32,
	STEPS_MAX = 200000, /* then it is "not now": a demo needs far fewer */
};

/* A device that a slice of this node offers. */
struct offer {
	const json_t *device;
	const char *driver, *pool;
	char *id; /* "driver/pool/device" */
	bool taken, tainted;
};

/* One choice of a request: "exactly", or one of "firstAvailable". */
struct option {
	const json_t *spec, *class;
	char *name; /* "req" or "req/sub" */
	bool admin, all;
	size_t count;
};
struct request {
	const char *name;
	struct option *options;
	size_t n;
};
struct slot {
	const struct option *option;
	const struct request *request;
	const struct offer *offer;
};

struct allocator {
	struct store *store;
	const json_t *claim;
	const char *node;
	struct offer *offers;
	size_t offers_n;
	struct request requests[REQUESTS_MAX];
	size_t requests_n;
	struct slot slots[SLOTS_MAX];
	size_t slots_n;
	unsigned steps;
	struct err *e; /* why it did not work out, the latest */
	bool fatal;
};

/* ---- what is there ---- */

static bool is_taint(const json_t *device)
{
	const json_t *taints = jx_get(device, "taints");

	for (size_t i = 0; i < json_array_size(taints); i++)
		if (!jx_is(jx_get(json_array_get(taints, i), "effect"), "None"))
			return true;
	return false;
}

static bool has_text(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (jx_is(json_array_get(list, i), text))
			return true;
	return false;
}

/* "driver/pool/device" of everything that is allocated exclusively. */
static json_t *allocated(struct store *s)
{
	const struct store_kind *claims = store_kind(s, "resource.k8s.io", "resourceclaims");
	json_t *ids = json_object();

	for (size_t i = 0; i < store_count(s, claims); i++) {
		const json_t *results =
		    jx_get(store_at(s, claims, i), "status", "allocation", "devices", "results");

		for (size_t r = 0; r < json_array_size(results); r++) {
			const json_t *one = json_array_get(results, r);
			char id[512];

			if (jx_true(jx_get(one, "adminAccess")) || jx_get(one, "shareID"))
				continue;
			snprintf(id, sizeof(id), "%s/%s/%s", jx_text(jx_get(one, "driver")),
				 jx_text(jx_get(one, "pool")), jx_text(jx_get(one, "device")));
			json_object_set_new(ids, id, json_true());
		}
	}
	return ids;
}

/* The newest generation of a pool, and whether all its slices are there. */
static bool pool_complete(const struct allocator *a, const json_t *slice)
{
	const struct store_kind *slices = store_kind(a->store, "resource.k8s.io", "resourceslices");
	const json_t *pool = jx_get(slice, "spec", "pool");
	int64_t generation = jx_int(jx_get(pool, "generation")), n = 0;

	for (size_t i = 0; i < store_count(a->store, slices); i++) {
		const json_t *other = store_at(a->store, slices, i);
		const json_t *p = jx_get(other, "spec", "pool");

		if (!json_equal(jx_get(p, "name"), jx_get(pool, "name")) ||
		    !json_equal(jx_get(other, "spec", "driver"), jx_get(slice, "spec", "driver")))
			continue;
		if (jx_int(jx_get(p, "generation")) > generation)
			return false;
		n += jx_int(jx_get(p, "generation")) == generation;
	}
	return n == jx_int(jx_get(pool, "resourceSliceCount"));
}

static void add_offers(struct allocator *a, const json_t *slice, const json_t *used,
		       const json_t *taken)
{
	const json_t *devices = jx_get(slice, "spec", "devices");

	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *d = json_array_get(devices, i);
		struct offer *o;

		a->offers = mem_realloc(a->offers, a->offers_n + 1, sizeof(*a->offers));
		o = &a->offers[a->offers_n++];
		*o = (struct offer){ .device = d,
				     .driver = jx_text(jx_get(slice, "spec", "driver")),
				     .pool = jx_text(jx_get(slice, "spec", "pool", "name")),
				     .tainted = is_taint(d) };
		o->id = mem_printf("%s/%s/%s", o->driver, o->pool, jx_text(jx_get(d, "name")));
		o->taken = json_object_get(used, o->id) || has_text(taken, o->id);
	}
}

static void gather_offers(struct allocator *a, const json_t *taken)
{
	const struct store_kind *slices = store_kind(a->store, "resource.k8s.io", "resourceslices");
	json_t *used = allocated(a->store);

	for (size_t i = 0; i < store_count(a->store, slices); i++) {
		const json_t *slice = store_at(a->store, slices, i);

		if (jx_is(jx_get(slice, "spec", "nodeName"), a->node) && pool_complete(a, slice))
			add_offers(a, slice, used, taken);
	}
	json_decref(used);
}

/* ---- what is wanted ---- */

static int never(struct allocator *a, const char *what, const char *name)
{
	a->fatal = true;
	return err_set(a->e, -EINVAL, "%s%s", what, name);
}

static int read_option(struct allocator *a, struct option *o, const json_t *spec, char *name)
{
	const struct store_kind *classes = store_kind(a->store, "resource.k8s.io", "deviceclasses");
	const char *class = jx_text(jx_get(spec, "deviceClassName"));
	json_t *count = jx_get(spec, "count");

	*o = (struct option){ .spec = spec,
			      .name = name,
			      .admin = jx_true(jx_get(spec, "adminAccess")),
			      .all = jx_is(jx_get(spec, "allocationMode"), "All"),
			      .count = count ? (size_t)MAX(jx_int(count), 0) : 1 };
	o->class = store_get(a->store, classes, NULL, class);
	return o->class ? 0 : err_set(a->e, -EBUSY, "device class %s does not exist", class);
}

static int read_request(struct allocator *a, const json_t *n)
{
	const json_t *subs = jx_get(n, "firstAvailable");
	struct request *r = &a->requests[a->requests_n];
	int code = 0;

	if (a->requests_n == REQUESTS_MAX)
		return never(a, "too many requests", "");
	a->requests_n++;
	r->name = jx_text(jx_get(n, "name"));
	r->n = subs ? json_array_size(subs) : 1;
	r->options = mem_calloc(r->n + 1, sizeof(*r->options));
	if (!subs && !jx_get(n, "exactly"))
		return never(a, "neither exactly nor firstAvailable in request ", r->name);
	if (!subs)
		return read_option(a, &r->options[0], jx_get(n, "exactly"), mem_strdup(r->name));
	for (size_t i = 0; i < r->n && !code; i++) {
		const json_t *sub = json_array_get(subs, i);

		code = read_option(a, &r->options[i], sub,
				   mem_printf("%s/%s", r->name, jx_text(jx_get(sub, "name"))));
	}
	return code;
}

static int read_requests(struct allocator *a)
{
	const json_t *list = jx_get(a->claim, "spec", "devices", "requests");
	int code = 0;

	for (size_t i = 0; i < json_array_size(list) && !code; i++)
		code = read_request(a, json_array_get(list, i));
	return code;
}

/* ---- does a device fit? ---- */

/* 1, 0, or negative with a text that says why the claim cannot be allocated at all. */
static int selected(const json_t *selectors, const struct offer *o, struct err *e)
{
	int r = 1;

	for (size_t i = 0; i < json_array_size(selectors) && r == 1; i++) {
		const char *expression =
		    jx_text(jx_get(json_array_get(selectors, i), "cel", "expression"));

		r = cel_matches(expression, o->driver, o->device, e);
		if (r < 0)
			err_wrap(e, r, "CEL on %s", o->id);
	}
	return r;
}

static int fits(struct allocator *a, const struct option *o, const struct offer *offer)
{
	int r = selected(jx_get(o->class, "spec", "selectors"), offer, a->e);

	if (r == 1)
		r = selected(jx_get(o->spec, "selectors"), offer, a->e);
	if (r == 1 && offer->tainted && !json_array_size(jx_get(o->spec, "tolerations")))
		r = 0;
	return r;
}

static const json_t *attribute(const struct offer *o, const char *name)
{
	const json_t *all = jx_get(o->device, "attributes");
	const char *slash = strchr(name, '/');
	json_t *v = json_object_get(all, name);

	if (!v && slash && !strncmp(name, o->driver, (size_t)(slash - name)) &&
	    strlen(o->driver) == (size_t)(slash - name))
		v = json_object_get(all, slash + 1);
	return v;
}

static bool concerns(const json_t *constraint, const struct slot *s)
{
	const json_t *names = jx_get(constraint, "requests");

	return !json_array_size(names) || has_text(names, s->request->name) ||
	       has_text(names, s->option->name);
}

/* Whether the slots filled so far keep a constraint. */
static bool constraint_holds(const struct allocator *a, const json_t *c)
{
	const char *same = jx_text(jx_get(c, "matchAttribute"));
	const char *distinct = jx_text(jx_get(c, "distinctAttribute"));
	const json_t *seen[SLOTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < a->slots_n; i++) {
		const struct slot *s = &a->slots[i];
		const json_t *v;

		if (!concerns(c, s))
			continue;
		v = attribute(s->offer, *same ? same : distinct);
		if (!v)
			return false;
		for (size_t j = 0; j < n; j++)
			if (json_equal(seen[j], v) != (*same != '\0'))
				return false;
		seen[n++] = v;
	}
	return true;
}

static bool constraints_hold(const struct allocator *a)
{
	const json_t *list = jx_get(a->claim, "spec", "devices", "constraints");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!constraint_holds(a, json_array_get(list, i)))
			return false;
	return true;
}

/* ---- search ---- */

static bool place_request(struct allocator *a, size_t request);

static bool chosen(const struct allocator *a, const struct offer *o)
{
	for (size_t i = 0; i < a->slots_n; i++)
		if (a->slots[i].offer == o)
			return true;
	return false;
}

/* Fills `left` slots of an option from offer `from` on, then the requests behind it. */
static bool place_devices(struct allocator *a, size_t request, const struct option *o, size_t left,
			  size_t from)
{
	if (!left)
		return place_request(a, request + 1);
	for (size_t i = from; i < a->offers_n && !a->fatal; i++) {
		const struct offer *offer = &a->offers[i];
		int r;

		if (++a->steps > STEPS_MAX || a->slots_n == SLOTS_MAX)
			return false;
		if ((offer->taken && !o->admin) || chosen(a, offer))
			continue;
		r = fits(a, o, offer);
		a->fatal = r < 0;
		if (r != 1)
			continue;
		a->slots[a->slots_n++] = (struct slot){ o, &a->requests[request], offer };
		if (constraints_hold(a) && place_devices(a, request, o, left - 1, i + 1))
			return true;
		a->slots_n--;
	}
	return false;
}

/* Every device that matches, or none: one that another request of the claim has is not to be had.
 */
static bool place_all(struct allocator *a, size_t request, const struct option *o)
{
	size_t mark = a->slots_n;

	for (size_t i = 0; i < a->offers_n && !a->fatal; i++) {
		const struct offer *offer = &a->offers[i];
		int r = fits(a, o, offer);

		a->fatal = r < 0;
		if (r != 1)
			continue;
		if ((!o->admin && (offer->taken || chosen(a, offer))) || a->slots_n == SLOTS_MAX) {
			a->slots_n = mark;
			return false;
		}
		a->slots[a->slots_n++] = (struct slot){ o, &a->requests[request], offer };
	}
	if (!a->fatal && a->slots_n > mark && constraints_hold(a) && place_request(a, request + 1))
		return true;
	a->slots_n = mark;
	return false;
}

static bool place_request(struct allocator *a, size_t request)
{
	const struct request *r = &a->requests[request];

	if (request == a->requests_n)
		return true;
	for (size_t i = 0; i < r->n && !a->fatal; i++) {
		const struct option *o = &r->options[i];

		if (o->all ? place_all(a, request, o) : place_devices(a, request, o, o->count, 0))
			return true;
	}
	return false;
}

/* ---- the result ---- */

static void put_result(json_t *results, const struct slot *s)
{
	json_t *r = json_object();

	jx_set_text(r, "request", s->option->name);
	jx_set_text(r, "driver", s->offer->driver);
	jx_set_text(r, "pool", s->offer->pool);
	jx_set_text(r, "device", jx_text(jx_get(s->offer->device, "name")));
	if (s->option->admin)
		json_object_set_new(r, "adminAccess", json_true());
	json_array_append_new(results, r);
}

static bool option_used(const struct allocator *a, const struct option *o)
{
	for (size_t i = 0; i < a->slots_n; i++)
		if (a->slots[i].option == o)
			return true;
	return false;
}

static void class_configs(const struct allocator *a, json_t *out, const struct option *o)
{
	const json_t *list = jx_get(o->class, "spec", "config");

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *c = json_deep_copy(json_array_get(list, i));

		jx_set_text(c, "source", "FromClass");
		json_array_append_new(jx_arr(c, "requests"), json_string(o->name));
		json_array_append_new(out, c);
	}
	(void)a;
}

/* A claim's configuration counts when it is for all requests or for one that was chosen. */
static bool config_counts(const struct allocator *a, const json_t *config)
{
	const json_t *names = jx_get(config, "requests");

	if (!json_array_size(names))
		return true;
	for (size_t i = 0; i < a->slots_n; i++)
		if (has_text(names, a->slots[i].request->name) ||
		    has_text(names, a->slots[i].option->name))
			return true;
	return false;
}

static json_t *result(const struct allocator *a)
{
	const json_t *configs = jx_get(a->claim, "spec", "devices", "config");
	json_t *out = json_object(), *devices = jx_obj(out, "devices");

	for (size_t i = 0; i < a->slots_n; i++)
		put_result(jx_arr(devices, "results"), &a->slots[i]);
	for (size_t r = 0; r < a->requests_n; r++)
		for (size_t o = 0; o < a->requests[r].n; o++)
			if (option_used(a, &a->requests[r].options[o]))
				class_configs(a, jx_arr(devices, "config"),
					      &a->requests[r].options[o]);
	for (size_t i = 0; i < json_array_size(configs); i++) {
		json_t *c;

		if (!config_counts(a, json_array_get(configs, i)))
			continue;
		c = json_deep_copy(json_array_get(configs, i));
		jx_set_text(c, "source", "FromClaim");
		json_array_append_new(jx_arr(devices, "config"), c);
	}
	json_object_set_new(
	    out, "nodeSelector",
	    jx_make("{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":"
		    "\"metadata.name\",\"operator\":\"In\",\"values\":[\"%s\"]}]}]}",
		    a->node));
	return out;
}

static void done(struct allocator *a)
{
	for (size_t i = 0; i < a->offers_n; i++)
		mem_free(a->offers[i].id);
	mem_free(a->offers);
	for (size_t i = 0; i < a->requests_n; i++) {
		for (size_t o = 0; o < a->requests[i].n; o++)
			mem_free(a->requests[i].options[o].name);
		mem_free(a->requests[i].options);
	}
}

int allocator_allocate(struct store *s, const json_t *claim, const char *node, json_t *taken,
		       json_t **out, struct err *e)
{
	struct allocator a = { .store = s, .claim = claim, .node = node };
	struct err why = { "" };
	int r;

	a.e = &why;
	gather_offers(&a, taken);
	r = read_requests(&a);
	if (!r && !place_request(&a, 0)) {
		r = a.fatal ? -EINVAL : -EBUSY;
		if (!a.fatal)
			err_set(&why, r, "cannot allocate all claims");
	}
	if (!r) {
		*out = result(&a);
		for (size_t i = 0; taken && i < a.slots_n; i++)
			if (!a.slots[i].option->admin)
				json_array_append_new(taken, json_string(a.slots[i].offer->id));
	} else {
		err_set(e, r, "%s", why.text);
	}
	done(&a);
	return r;
}
