#include "k8s/hold.h"

#include "core/mem.h"

/* The first of `uids` owns the GPU, those behind it inherit: see hold_take(). */
struct hold_entry {
	char *identity, **uids;
	size_t n;
};

void hold_init(struct hold *h)
{
	map_init(&h->by_identity);
}

static void entry_free(struct hold_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		mem_free(e->uids[i]);
	mem_free(e->uids);
	mem_free(e->identity);
	mem_free(e);
}

void hold_done(struct hold *h)
{
	map_for_each (e, &h->by_identity)
		entry_free(e->value);
	map_done(&h->by_identity);
}

static bool exclusive(const struct ledger_device *d)
{
	return !d->admin && !d->share_id && *d->identity;
}

const char *hold_owner(const struct hold *h, const char *identity)
{
	const struct hold_entry *e = map_get(&h->by_identity, sv_str(identity));

	return e ? e->uids[0] : NULL;
}

const char *hold_blocker(const struct hold *h, const char *uid, const struct ledger_device *devices,
			 size_t n, const char **identity)
{
	for (size_t i = 0; i < n; i++) {
		const char *owner;

		if (!exclusive(&devices[i]))
			continue;
		owner = hold_owner(h, devices[i].identity);
		if (!owner || sv_eqs(sv_str(owner), uid))
			continue;
		*identity = devices[i].identity;
		return owner;
	}
	return NULL;
}

static size_t place_of(const struct hold_entry *e, const char *uid)
{
	size_t i = 0;

	while (i < e->n && !sv_eqs(sv_str(uid), e->uids[i]))
		i++;
	return i;
}

static struct hold_entry *entry_of(struct hold *h, const char *identity)
{
	struct hold_entry *e = map_get(&h->by_identity, sv_str(identity));

	if (e)
		return e;
	e = MEM_NEW(struct hold_entry);
	e->identity = mem_strdup(identity);
	map_put(&h->by_identity, sv_str(e->identity), e);
	return e;
}

size_t hold_take(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n)
{
	size_t lost = 0;

	for (size_t i = 0; i < n; i++) {
		struct hold_entry *e;

		if (!exclusive(&devices[i]))
			continue;
		e = entry_of(h, devices[i].identity);
		if (place_of(e, uid) == e->n) {
			e->uids = mem_realloc(e->uids, e->n + 1, sizeof(*e->uids));
			e->uids[e->n++] = mem_strdup(uid);
		}
		lost += place_of(e, uid) > 0;
	}
	return lost;
}

void hold_release(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct hold_entry *e = map_get(&h->by_identity, sv_str(devices[i].identity));
		size_t at = e ? place_of(e, uid) : 0;

		if (!e || at == e->n)
			continue;
		mem_free(e->uids[at]);
		memmove(&e->uids[at], &e->uids[at + 1], (--e->n - at) * sizeof(*e->uids));
		if (!e->n)
			entry_free(map_del(&h->by_identity, sv_str(devices[i].identity)));
	}
}
