/* A claim in terms of this node's devices: what was allocated, whether it can be had, its CDI file.
 */
#include <errno.h>

#include "k8s/claim_machine.h"

static struct gpu_device *find_device(struct claims *o, const struct ledger_device *d)
{
	struct gpu_device *g = inventory_by_name(o->conf.inventory, sv_str(d->device));

	return g && g->present ? g : NULL;
}

static const char *identity_of(struct claims *o, const struct gpu_device *g)
{
	const struct gpu_device *p = inventory_get(o->conf.inventory, g->physical);

	return p ? p->uuid : g->uuid;
}

struct ledger_claim *claim_record(struct claim *c)
{
	struct ledger_claim *rec = MEM_NEW(struct ledger_claim);
	const struct allocation *a = &c->alloc;

	rec->uid = mem_strdup(c->uid);
	rec->namespace = mem_strdup(c->ns);
	rec->name = mem_strdup(c->name);
	rec->pod = mem_strdup(c->alloc.pod);
	rec->boot_id = mem_strdup(c->owner->boot_id);
	rec->allocation = a->digest;
	rec->since_wall_ms = loop_wall_ms(c->owner->loop);
	rec->devices_n = a->results_n;
	rec->devices = mem_calloc(a->results_n ? a->results_n : 1, sizeof(*rec->devices));
	for (size_t i = 0; i < a->results_n; i++) {
		struct ledger_device *d = &rec->devices[i];

		d->request = mem_strdup(a->results[i].request);
		d->pool = mem_strdup(a->results[i].pool);
		d->device = mem_strdup(a->results[i].device);
		d->share_id = mem_strdup(a->results[i].share_id);
		d->admin = a->results[i].admin;
		d->identity = mem_strdup("");
	}
	return rec;
}

/* Gives each device of the record its identity, and checks that it can be used. */
enum claim_resolve claim_resolve(struct claim *c, struct ledger_claim *rec)
{
	struct claims *o = c->owner;
	enum inventory_state state = inventory_state(o->conf.inventory);

	for (size_t i = 0; i < rec->devices_n; i++) {
		struct ledger_device *d = &rec->devices[i];
		const struct gpu_device *g;

		if (!sv_eqs(sv_str(d->pool), o->pool)) {
			err_set(claim_error(c), 0,
				"device %s is in pool %s, this node serves pool %s", d->device,
				d->pool, o->pool);
			return RESOLVE_FAIL;
		}
		g = find_device(o, d);
		/* Without a driver, what is remembered of a GPU is not enough to use it. */
		if (state == INVENTORY_NO_DRIVER || (!g && state != INVENTORY_READY)) {
			err_set(claim_error(c), 0, "the GPUs of this node are not ready: %s",
				inventory_reason(o->conf.inventory));
			return RESOLVE_WAIT;
		}
		if (!g) {
			err_set(claim_error(c), 0,
				"allocatable not found for device \"%s\": this node has no such "
				"GPU now",
				d->device);
			return RESOLVE_FAIL;
		}
		if (*g->trouble) {
			err_set(claim_error(c), 0, "device %s (%s) cannot be used: %s", d->device,
				g->uuid, g->trouble);
			return RESOLVE_FAIL;
		}
		mem_free(d->identity);
		d->identity = mem_strdup(identity_of(o, g));
	}
	return RESOLVED;
}

static int config_fits(void *ctx, const char *text, struct err *e)
{
	return plan_config_fits(ctx, sv_str(text), e);
}

int claim_make_plan(struct claim *c, const struct ledger_claim *rec)
{
	struct claims *o = c->owner;
	int r = 0;

	plan_free(&c->plan);
	c->plan = plan_new(o->conf.inventory);
	for (size_t i = 0; !r && i < rec->devices_n; i++) {
		struct gpu_device *g = find_device(o, &rec->devices[i]);
		const char *config;

		r = allocation_config_for(&c->alloc, &c->alloc.results[i], config_fits, g, &config,
					  claim_error(c));
		if (!r)
			r = plan_add(c->plan, g, sv_str(config), claim_error(c));
	}
	return r;
}

void claim_keep_plan(struct ledger_claim *rec, const struct plan *plan)
{
	struct buf bytes;

	buf_init(&bytes, JOURNAL_BODY_MAX / 4);
	plan_encode(plan, &bytes);
	must(!bytes.full);
	mem_free(rec->plan);
	rec->plan_n = buf_len(&bytes);
	rec->plan = mem_dup(buf_sv(&bytes).p ? buf_sv(&bytes).p : "", rec->plan_n);
	buf_done(&bytes);
}

/* What the claim's CDI devices are made of; NULL when a GPU of its record is not here. */
static struct cdi_device *cdi_devices(struct claim *c, struct err *e)
{
	struct claims *o = c->owner;
	const struct ledger_claim *rec = c->record;
	struct cdi_device *devices =
	    mem_calloc(rec->devices_n ? rec->devices_n : 1, sizeof(*devices));

	for (size_t i = 0; i < rec->devices_n; i++) {
		const struct gpu_device *g = find_device(o, &rec->devices[i]);

		if (!g || !sv_eqs(sv_str(identity_of(o, g)), rec->devices[i].identity)) {
			err_set(e, 0, "device %s (%s) is not on this node now",
				rec->devices[i].device, rec->devices[i].identity);
			mem_free(devices);
			return NULL;
		}
		devices[i] = (struct cdi_device){ rec->devices[i].device, &g->edits };
	}
	return devices;
}

int claim_write_cdi(struct claim *c, struct err *e)
{
	struct cdi *cdi = c->owner->conf.cdi;
	struct cdi_device *devices = cdi_devices(c, e);
	int r = devices ? 0 : -ENODEV;

	/* A claim without devices of ours is prepared, and needs nothing in the container. */
	if (!r && c->record->devices_n) {
		r = cdi_take_ahead(cdi, c->uid, &c->ahead, e);
		if (!r)
			r = cdi_write(cdi, c->uid, devices, c->record->devices_n, e);
	}
	mem_free(devices);
	return r;
}

void claim_write_ahead(struct claim *c)
{
	struct cdi_device *devices = cdi_devices(c, NULL);

	if (devices && c->record->devices_n)
		cdi_write_ahead(c->owner->conf.cdi, c->uid, devices, c->record->devices_n,
				&c->ahead);
	mem_free(devices);
}
