/*
 * How a round of answers becomes the list of devices. Each GPU that was asked, or that the kernel
 * lists, gets a draft; the vendor's model fills them together; then each is matched by identity
 * with what is known: the same content is no news, other content replaces it under the same handle,
 * and what nobody described is absent.
 */
#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "gpu/inventory_private.h"
#include "gpu/pci.h"

/* A description under construction, one per GPU that was asked or seen. */
struct inv_draft {
	struct gpu_device d;
	struct inv_device *known;
	char *facts; /* its own */
	size_t facts_n;
	char trouble[sizeof(((struct gpu_device *)0)->trouble)];
	bool keep; /* it hung for the first time: what is known stays as it is */
};
struct inv_drafts {
	struct inv_draft list[2 * GPU_MSG_GPUS_MAX];
	size_t n;
};

/* ---- devices ---- */

static int inv_order(const struct gpu_device *a, const struct gpu_device *b)
{
	int r;

	if (a->vendor != b->vendor)
		return strcmp(a->vendor->name, b->vendor->name);
	r = pci_cmp_text(a->pci, b->pci);
	if (r == 0)
		r = (int)b->present - (int)a->present;
	return r ? r : strcmp(a->uuid, b->uuid);
}

/* Puts a device where it belongs in the list, which is in order but for it. */
static void inv_place(struct inventory *inv, struct gpu_device *d)
{
	struct list *at;

	list_remove(&d->node);
	for (at = inv->devices.next; at != &inv->devices; at = at->next)
		if (inv_order(d, list_entry(at, struct gpu_device, node)) < 0)
			break;
	list_insert_between(&d->node, at->prev, at);
}

void inventory_forget(struct inventory *inv, struct inv_device *x)
{
	list_remove(&x->d.node);
	device_done(&x->d);
	mem_free(x->facts);
	slab_release(inv->slab, x->d.handle);
}

static bool inv_same_identity(const struct gpu_device *a, const struct gpu_device *b)
{
	return a->vendor == b->vendor && strcmp(a->pci, b->pci) == 0 &&
	       (!*a->uuid || !*b->uuid || strcmp(a->uuid, b->uuid) == 0);
}

/* The known device that a description is of. One whose UUID says so is better than one without. */
static struct inv_device *inv_find(struct inventory *inv, const struct gpu_device *like)
{
	struct inv_device *best = NULL;

	list_for_each (n, &inv->devices) {
		struct gpu_device *d = list_entry(n, struct gpu_device, node);

		if (!inv_same_identity(d, like) || (!*d->pci && strcmp(d->name, like->name) != 0))
			continue;
		if (!best || (d->present && !best->d.present))
			best = inv_of(d);
	}
	return best;
}

static void inv_set_facts(struct inv_device *x, struct inv_draft *f)
{
	if (!f->facts_n)
		return;
	mem_free(x->facts);
	x->facts = f->facts;
	x->facts_n = f->facts_n;
	f->facts = NULL;
}

/* Takes a description over: content is replaced, identity and addresses stay. True = news. */
static bool inv_update(struct inventory *inv, struct inv_device *x, struct gpu_device *from)
{
	struct list node = x->d.node;
	slab_handle handle = x->d.handle;
	char trouble_before = x->d.trouble[0];

	if (device_same(&x->d, from)) {
		device_done(from);
		return false;
	}
	if (*from->trouble)
		log_warn("device cannot be used", LOG_S("device", from->name),
			 LOG_S("pci", from->pci), LOG_S("uuid", from->uuid),
			 LOG_S("why", from->trouble));
	else if (trouble_before || !x->d.present)
		log_info("device is usable", LOG_S("device", from->name), LOG_S("pci", from->pci),
			 LOG_S("uuid", from->uuid));
	device_done(&x->d);
	x->d = *from;
	x->d.node = node;
	x->d.handle = x->d.physical = handle;
	inv_place(inv, &x->d);
	return true;
}

static struct inv_device *inv_add(struct inventory *inv, const struct gpu_device *like)
{
	slab_handle handle;
	struct inv_device *x = slab_get_new(inv->slab, &handle);

	if (!x)
		return NULL;
	x->d.vendor = like->vendor;
	memcpy(x->d.pci, like->pci, sizeof(x->d.pci));
	x->d.handle = x->d.physical = handle;
	x->d.minor = -1;
	list_init(&x->d.node);
	return x;
}

/* What was not met is absent now. What never was more than trouble leaves no trace. */
static bool inv_sweep(struct inventory *inv, const struct gpu_vendor *vendor)
{
	bool news = false;

	list_for_each_safe (n, &inv->devices) {
		struct gpu_device *d = list_entry(n, struct gpu_device, node);
		struct inv_device *x = inv_of(d);

		if (d->vendor != vendor || x->met || !d->present)
			continue;
		news = true;
		log_warn("device is gone", LOG_S("device", d->name), LOG_S("pci", d->pci),
			 LOG_S("uuid", d->uuid));
		if (!x->facts_n) {
			inventory_forget(inv, x);
			continue;
		}
		d->present = false;
		x->gone_ms = loop_now_ms(inv->loop);
		inv_place(inv, d);
	}
	return news;
}

static void inv_forget_longest_gone(struct inventory *inv)
{
	struct inv_device *oldest;
	size_t n;

	do {
		oldest = NULL;
		n = 0;
		list_for_each (node, &inv->devices) {
			struct inv_device *x = inv_of(list_entry(node, struct gpu_device, node));

			if (x->d.present)
				continue;
			n++;
			if (!oldest || x->gone_ms < oldest->gone_ms)
				oldest = x;
		}
		if (n > INV_ABSENT_MAX)
			inventory_forget(inv, oldest);
	} while (n > INV_ABSENT_MAX);
}

/* ---- a round's result ---- */

static struct inv_draft *inv_draft(struct inv_vendor *v, struct inv_drafts *drafts, const char *pci,
				   const char *uuid, int64_t minor)
{
	struct inv_draft *f = &drafts->list[drafts->n++];

	memset(f, 0, sizeof(*f));
	f->d.vendor = v->vendor;
	f->d.present = true;
	f->d.minor = (int)minor;
	sv_copy(f->d.pci, sizeof(f->d.pci), sv_str(pci));
	sv_copy(f->d.uuid, sizeof(f->d.uuid), sv_str(uuid));
	return f;
}

/* A name for what has told none: it is shown to people, never published. */
static void inv_draft_name(struct inv_draft *f, size_t index)
{
	char *c;

	if (f->d.minor >= 0)
		snprintf(f->d.name, sizeof(f->d.name), "gpu-%d", f->d.minor);
	else if (*f->d.pci)
		snprintf(f->d.name, sizeof(f->d.name), "gpu-at-%s", f->d.pci);
	else
		snprintf(f->d.name, sizeof(f->d.name), "gpu-of-index-%zu", index);
	for (c = f->d.name; *c; c++)
		if (*c == ':' || *c == '.')
			*c = '-';
}

static void inv_draft_facts(struct inv_draft *f, struct sv facts)
{
	f->facts = facts.n ? mem_dup(facts.p, facts.n) : NULL;
	f->facts_n = facts.n;
}

static void inv_draft_answer(struct inv_vendor *v, struct inv_draft *f, struct sv facts)
{
	struct buf merged;

	if (!f->known || !f->known->facts_n) {
		inv_draft_facts(f, facts);
		return;
	}
	buf_init(&merged, WORKER_FRAME_MAX);
	v->vendor->remember(sv_make(f->known->facts, f->known->facts_n), facts, &merged);
	inv_draft_facts(f, buf_sv(&merged));
	buf_done(&merged);
}

/* Gives a GPU that tells nothing the looks it is known by. */
static void inv_draft_known(struct inv_draft *f, size_t index, const char *trouble)
{
	sv_copy(f->trouble, sizeof(f->trouble), sv_str(trouble));
	if (f->known) {
		inv_draft_facts(f, sv_make(f->known->facts, f->known->facts_n));
		if (!*f->d.uuid)
			memcpy(f->d.uuid, f->known->d.uuid, sizeof(f->d.uuid));
		if (f->d.minor < 0)
			f->d.minor = f->known->d.minor;
		/* Its nodes still tell who has it open. They were within the limit before. */
		must(edits_add_all(&f->d.edits, &f->known->d.edits) == 0);
	}
	if (!f->facts_n)
		inv_draft_name(f, index);
}

static bool inv_drafted(const struct inv_drafts *drafts, const char *pci)
{
	size_t i;

	for (i = 0; i < drafts->n; i++)
		if (strcmp(drafts->list[i].d.pci, pci) == 0)
			return true;
	return false;
}

static bool inv_nameless(const struct scan_gpu *g)
{
	return g->state != GPU_QUERY_OK && g->state != GPU_QUERY_SKIP && !*g->pci;
}

/* What the library does not tell of a GPU in trouble, the kernel's driver may. */
static void inv_draft_from_kernel(struct inv_draft *f, const struct scan_result *r)
{
	size_t i;

	for (i = 0; i < r->open->seen_n; i++) {
		const struct gpu_seen *seen = &r->open->seen[i];

		if (strcmp(seen->pci, f->d.pci) != 0)
			continue;
		if (f->d.minor < 0)
			f->d.minor = (int)seen->minor;
		if (!*f->d.uuid)
			memcpy(f->d.uuid, seen->uuid, sizeof(f->d.uuid));
	}
}

static void inv_draft_gpu(struct inv_vendor *v, struct inv_drafts *drafts,
			  const struct scan_result *r, size_t index)
{
	struct scan_gpu *g = &r->gpus[index];
	struct inv_draft *f;

	if (g->state == GPU_QUERY_SKIP || inv_nameless(g))
		return; /* the latter: see inv_draft_seen() */
	if (*g->pci && inv_drafted(drafts, g->pci)) {
		log_error("two GPUs with one address, the second is left out", LOG_S("pci", g->pci),
			  LOG_S("uuid", g->uuid));
		return;
	}
	f = inv_draft(v, drafts, g->pci, g->uuid, g->minor);
	if (g->state != GPU_QUERY_OK)
		inv_draft_from_kernel(f, r);
	f->known = inv_find(v->inv, &f->d);
	if (g->hung && g->strikes < SCAN_STRIKES_MAX && f->known && f->known->d.present) {
		f->keep = true;
		f->known->met = true; /* its name is taken, whoever comes before it */
		return;
	}
	if (g->state == GPU_QUERY_OK && g->facts_n) {
		f->d.edits = g->edits;
		edits_init(&g->edits);
		inv_draft_answer(v, f, sv_make(g->facts, g->facts_n));
	} else {
		inv_draft_known(f, index, *g->text ? g->text : "the worker told nothing about it");
	}
}

static bool inv_skipped(const struct scan_result *r, const char *pci)
{
	size_t i;

	for (i = 0; i < r->gpus_n; i++)
		if (r->gpus[i].state == GPU_QUERY_SKIP && strcmp(r->gpus[i].pci, pci) == 0)
			return true;
	return false;
}

/* The next GPU from *at that failed before it told its address. */
static const struct scan_gpu *inv_next_nameless(const struct scan_result *r, size_t *at)
{
	for (; *at < r->gpus_n; (*at)++)
		if (inv_nameless(&r->gpus[*at]))
			return &r->gpus[(*at)++];
	return NULL;
}

/*
 * GPUs that the kernel's driver has and the library left out: said, rather than left to guess.
 * Those that failed before they told their address are among them.
 */
static void inv_draft_seen(struct inv_vendor *v, struct inv_drafts *drafts,
			   const struct scan_result *r)
{
	const struct scan_gpu *nameless;
	struct inv_draft *f;
	size_t i, at = 0;

	for (i = 0; i < r->open->seen_n; i++) {
		const struct gpu_seen *seen = &r->open->seen[i];

		if (inv_drafted(drafts, seen->pci) || inv_skipped(r, seen->pci))
			continue;
		nameless = inv_next_nameless(r, &at);
		f = inv_draft(v, drafts, seen->pci, seen->uuid, seen->minor);
		f->known = inv_find(v->inv, &f->d);
		inv_draft_known(f, i,
				nameless
				    ? nameless->text
				    : "the kernel's driver has it and the driver's library does "
				      "not list it: lost, or being reset");
	}
	while ((nameless = inv_next_nameless(r, &at))) {
		f = inv_draft(v, drafts, "", "", -1);
		inv_draft_name(f, at - 1);
		f->known = inv_find(v->inv, &f->d);
		inv_draft_known(f, at - 1, nameless->text);
	}
}

/* All that vendors' models may want to know: the drafts, then those that are gone. */
static void inv_draft_model(struct inv_vendor *v, struct inv_drafts *drafts, struct sv system)
{
	struct gpu_found *found;
	size_t i, n = 0, most = drafts->n;

	list_for_each (node, &v->inv->devices)
		most++;
	found = mem_calloc(most + 1, sizeof(*found));
	for (i = 0; i < drafts->n; i++) {
		struct inv_draft *f = &drafts->list[i];

		if (f->keep && f->known)
			found[n++] =
			    (struct gpu_found){ NULL, sv_make(f->known->facts, f->known->facts_n) };
		else if (f->facts_n)
			found[n++] = (struct gpu_found){ &f->d, sv_make(f->facts, f->facts_n) };
	}
	list_for_each (node, &v->inv->devices) {
		struct gpu_device *d = list_entry(node, struct gpu_device, node);
		struct inv_device *x = inv_of(d);

		if (d->vendor == v->vendor && x->facts_n && !inv_drafted(drafts, d->pci))
			found[n++] = (struct gpu_found){ NULL, sv_make(x->facts, x->facts_n) };
	}
	v->vendor->model(system, found, n, v->inv->extras);
	mem_free(found);
}

/* Names are unique within a pool, or the API server refuses all of it. */
static bool inv_name_taken(struct inventory *inv, const struct gpu_device *like)
{
	list_for_each (n, &inv->devices) {
		struct gpu_device *d = list_entry(n, struct gpu_device, node);

		if (d->vendor == like->vendor && inv_of(d)->met && !*d->trouble &&
		    strcmp(d->name, like->name) == 0 && !inv_same_identity(d, like))
			return true;
	}
	return false;
}

static bool inv_take_draft(struct inv_vendor *v, struct inv_draft *f)
{
	struct inv_device *x = f->known;
	bool news = false;

	if (f->keep) {
		device_done(&f->d);
		return false;
	}
	if (*f->trouble)
		sv_copy(f->d.trouble, sizeof(f->d.trouble), sv_str(f->trouble));
	if (!*f->d.name)
		inv_draft_name(f, 0);
	if (!*f->d.trouble && inv_name_taken(v->inv, &f->d))
		device_trouble(&f->d, "another GPU has the name %s", f->d.name);
	if (!x) {
		x = inv_add(v->inv, &f->d);
		news = true;
	}
	if (!x) {
		log_error("too many devices", LOG_S("pci", f->d.pci),
			  LOG_I("limit", INV_DEVICES_MAX));
		device_done(&f->d);
		return false;
	}
	x->met = true;
	inv_set_facts(x, f);
	return inv_update(v->inv, x, &f->d) || news;
}

static bool inv_take_edits(struct inv_vendor *v, struct gpu_edits *edits)
{
	bool same = v->known && edits_hash(&v->edits) == edits_hash(edits);

	if (same)
		return false;
	edits_done(&v->edits);
	v->edits = *edits;
	edits_init(edits);
	v->known = true;
	return true;
}

bool inventory_merge(struct inv_vendor *v, struct scan_result *r)
{
	struct inv_drafts *drafts _mem_free_ = mem_alloc(sizeof(*drafts));
	bool news;
	size_t i;

	drafts->n = 0;
	list_for_each (n, &v->inv->devices)
		inv_of(list_entry(n, struct gpu_device, node))->met = false;
	for (i = 0; i < r->gpus_n; i++)
		inv_draft_gpu(v, drafts, r, i);
	inv_draft_seen(v, drafts, r);
	inv_draft_model(v, drafts, r->facts);
	news = inv_take_edits(v, &r->open->edits);
	for (i = 0; i < drafts->n; i++)
		news |= inv_take_draft(v, &drafts->list[i]);
	for (i = 0; i < drafts->n; i++)
		mem_free(drafts->list[i].facts);
	news |= inv_sweep(v->inv, v->vendor);
	inv_forget_longest_gone(v->inv);
	return news;
}
