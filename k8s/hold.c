#include "k8s/hold.h"

#include "core/mem.h"

struct hold_entry {
	char *identity, *uid;
};

void hold_init(struct hold *h)
{
	map_init(&h->by_identity);
}

static void entry_free(struct hold_entry *e)
{
	mem_free(e->identity);
	mem_free(e->uid);
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

	return e ? e->uid : NULL;
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

size_t hold_take(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n)
{
	size_t lost = 0;

	for (size_t i = 0; i < n; i++) {
		struct hold_entry *e;
		const char *owner;

		if (!exclusive(&devices[i]))
			continue;
		owner = hold_owner(h, devices[i].identity);
		if (owner) {
			lost += !sv_eqs(sv_str(owner), uid);
			continue;
		}
		e = MEM_NEW(struct hold_entry);
		e->identity = mem_strdup(devices[i].identity);
		e->uid = mem_strdup(uid);
		map_put(&h->by_identity, sv_str(e->identity), e);
	}
	return lost;
}

void hold_release(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *owner = hold_owner(h, devices[i].identity);

		if (owner && sv_eqs(sv_str(owner), uid))
			entry_free(map_del(&h->by_identity, sv_str(devices[i].identity)));
	}
}
