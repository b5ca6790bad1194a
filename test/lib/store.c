#include "core/mem.h"
#include "test/lib/store_private.h"

enum { HISTORY = 1000 };

static const struct store_kind builtin[] = {
	{ "", "namespaces", "Namespace", .namespaced = false },
	{ "", "nodes", "Node", .status = true },
	{ "", "pods", "Pod", .namespaced = true, .status = true, .graceful = true },
	{ "", "events", "Event", .namespaced = true },
	{ "", "configmaps", "ConfigMap", .namespaced = true },
	{ "", "secrets", "Secret", .namespaced = true },
	{ "resource.k8s.io", "deviceclasses", "DeviceClass", .generation = true },
	{ "resource.k8s.io", "resourceslices", "ResourceSlice", .generation = true },
	{ "resource.k8s.io", "resourceclaims", "ResourceClaim", .namespaced = true,
	  .status = true },
	{ "resource.k8s.io", "resourceclaimtemplates", "ResourceClaimTemplate",
	  .namespaced = true },
	{ "coordination.k8s.io", "leases", "Lease", .namespaced = true },
};

/* ---- kinds ---- */

void store_serve(struct store *s, const struct store_kind *k)
{
	must(s->shelves_n < STORE_KINDS_MAX);
	s->shelves[s->shelves_n++] = (struct store_shelf){ .kind = k };
}

const struct store_kind *store_kind_at(const struct store *s, size_t i)
{
	return i < s->shelves_n ? s->shelves[i].kind : NULL;
}

const struct store_kind *store_kind(const struct store *s, const char *group, const char *resource)
{
	for (size_t i = 0; i < s->shelves_n; i++)
		if (!strcmp(s->shelves[i].kind->group, group) &&
		    !strcmp(s->shelves[i].kind->resource, resource))
			return s->shelves[i].kind;
	return NULL;
}

const struct store_kind *store_kind_of(const struct store *s, const char *group, const char *kind)
{
	for (size_t i = 0; i < s->shelves_n; i++)
		if (!strcmp(s->shelves[i].kind->group, group) &&
		    !strcmp(s->shelves[i].kind->kind, kind))
			return s->shelves[i].kind;
	return NULL;
}

struct store_shelf *store_shelf(const struct store *s, const struct store_kind *k)
{
	for (size_t i = 0; i < s->shelves_n; i++)
		if (s->shelves[i].kind == k)
			return (struct store_shelf *)(uintptr_t)&s->shelves[i];
	must(false);
	return NULL;
}

/* ---- objects ---- */

static int compare(const json_t *object, const char *ns, const char *name)
{
	int r = strcmp(jx_ns(object), ns ? ns : "");

	return r ? r : strcmp(jx_name(object), name);
}

size_t store_place(const struct store_shelf *f, const char *ns, const char *name, bool *found)
{
	size_t low = 0, high = f->n;

	*found = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = compare(f->objects[mid], ns, name);

		if (!r) {
			*found = true;
			return mid;
		}
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct json_t *store_get(const struct store *s, const struct store_kind *k, const char *ns,
			       const char *name)
{
	const struct store_shelf *f = store_shelf(s, k);
	bool found;
	size_t i = store_place(f, ns, name, &found);

	return found ? f->objects[i] : NULL;
}

size_t store_count(const struct store *s, const struct store_kind *k)
{
	return store_shelf(s, k)->n;
}

const struct json_t *store_at(const struct store *s, const struct store_kind *k, size_t i)
{
	const struct store_shelf *f = store_shelf(s, k);

	return i < f->n ? f->objects[i] : NULL;
}

size_t store_after(const struct store *s, const struct store_kind *k, const char *ns,
		   const char *name)
{
	bool found;
	size_t i = store_place(store_shelf(s, k), ns, name, &found);

	return found ? i + 1 : i;
}

uint64_t store_rv(const struct store *s)
{
	return s->rv;
}

struct loop *store_loop(const struct store *s)
{
	return s->loop;
}

static void insert(struct store_shelf *f, size_t at, json_t *object)
{
	if (f->n == f->max) {
		f->max = f->max ? f->max * 2 : 16;
		f->objects = mem_realloc(f->objects, f->max, sizeof(*f->objects));
	}
	memmove(f->objects + at + 1, f->objects + at, (f->n - at) * sizeof(*f->objects));
	f->objects[at] = object;
	f->n++;
}

static void take_out(struct store_shelf *f, size_t at)
{
	f->n--;
	memmove(f->objects + at, f->objects + at + 1, (f->n - at) * sizeof(*f->objects));
}

static void stamp(json_t *object, uint64_t rv)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)rv);
	jx_set_text(jx_obj(object, "metadata"), "resourceVersion", text);
}

void store_commit(struct store *s, const struct store_kind *k, json_t *old, json_t *object)
{
	struct store_shelf *f = store_shelf(s, k);
	const json_t *named = object ? object : old;
	struct store_event ev = { .rv = ++s->rv, .kind = k, .before = old };
	bool found;
	size_t at = store_place(f, jx_ns(named), jx_name(named), &found);

	must(found == (old != NULL));
	if (object) {
		ev.change = old ? STORE_MODIFIED : STORE_ADDED;
		ev.object = object;
		if (found)
			f->objects[at] = object;
		else
			insert(f, at, object);
		json_incref(object); /* one for the shelf, one for the event */
	} else {
		ev.change = STORE_DELETED;
		ev.object = json_deep_copy(old);
		take_out(f, at);
	}
	stamp(ev.object, s->rv);
	store_record(s, &ev); /* takes the shelf's reference of the old one */
}

/* ---- life ---- */

struct store *store_new(struct loop *l, const struct store_conf *conf)
{
	struct store *s = MEM_NEW(struct store);

	s->loop = l;
	s->conf = *conf;
	if (!s->conf.history)
		s->conf.history = HISTORY;
	s->rv = s->floor = STORE_FIRST_RV;
	store_events_init(s);
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		store_serve(s, &builtin[i]);
	store_put_text(s, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
			  "\"metadata\":{\"name\":\"default\"}}");
	store_put_text(s, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
			  "\"metadata\":{\"name\":\"kube-system\"}}");
	return s;
}

void store_free(struct store **sp)
{
	struct store *s = *sp;

	if (!s)
		return;
	store_events_done(s);
	for (size_t i = 0; i < s->shelves_n; i++) {
		for (size_t o = 0; o < s->shelves[i].n; o++)
			json_decref(s->shelves[i].objects[o]);
		mem_free(s->shelves[i].objects);
	}
	mem_free(s);
	*sp = NULL;
}
