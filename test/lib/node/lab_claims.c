/* Claims on top of a lab. */
#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/node/lab.h"
#include "test/lib/node/lab_objects.h"

void lab_claim_json(struct lab *l, const char *name, const char *uid, const char *allocation)
{
	char *own _mem_free_ = mem_printf("uid-%s", name);

	lab_put_claim(l->store, name, uid ? uid : own, allocation);
}

void lab_claim(struct lab *l, const char *name, const char *uid, const char *devices)
{
	char *allocation _mem_free_ = devices ? lab_allocation_text(devices) : NULL;

	lab_claim_json(l, name, uid, allocation);
}

void lab_claim_delete(struct lab *l, const char *name)
{
	lab_delete_claim(l->store, name);
}

size_t lab_count(struct lab *l, const char *resource)
{
	return lab_count_objects(l->store, resource);
}

char *lab_object(struct lab *l, const char *resource, size_t i)
{
	return lab_object_text(l->store, resource, i);
}

void lab_delete(struct lab *l, const char *resource, const char *name)
{
	lab_delete_object(l->store, resource, name);
}

void lab_delete_all(struct lab *l, const char *resource)
{
	lab_delete_objects(l->store, resource);
}

void lab_claim_end(struct lab *l, const char *name)
{
	lab_end_claim(l->store, name);
}

size_t lab_published(struct lab *l)
{
	return lab_count_published(l->store);
}

bool lab_published_uuid(struct lab *l, size_t i, char *out, size_t size)
{
	return lab_uuid_published(l->store, i, out, size);
}

char *lab_allocated(struct lab *l, const char *name)
{
	return lab_allocated_devices(l->store, name);
}

size_t lab_events(struct lab *l, const char *reason, const char **message)
{
	return lab_count_events(l->store, reason, message);
}

/* ---- claims ---- */

static void on_report(void *arg, const struct claim_report *r)
{
	struct lab_claims *c = arg;

	c->reports++;
	c->errors += r->error != NULL;
}

static void on_inventory(void *arg, unsigned changed)
{
	struct lab_claims *c = arg;

	claims_on_inventory(c->claims, changed);
}

static const struct gpu_edits *common_edits(struct lab *l)
{
	return inventory_common_edits(l->inventory, inventory_vendors(l->inventory)[0]);
}

void lab_claims_start(struct lab_claims *c, struct lab *l, struct lab_disk *disk,
		      const char *instance)
{
	const struct cdi_conf cdi = { .root = l->cdi, .driver = LAB_DRIVER, .hook = "/hook" };
	struct claims_conf conf = { .driver = LAB_DRIVER,
				    .pool = LAB_NODE,
				    .api = l->api,
				    .inventory = l->inventory,
				    .events = l->events,
				    .on_report = on_report,
				    .arg = c };
	struct err e = { "" };

	*c = (struct lab_claims){ .lab = l };
	c->ledger = (struct ledger_conf){
		.path = l->ledger, .boot_id = l->boot_id, .instance = instance, .disk = disk->worker
	};
	c->cdi = cdi_new(&cdi);
	cdi_set_common(c->cdi, common_edits(l));
	conf.cdi = c->cdi;
	conf.ledger = &c->ledger;
	if (claims_new(l->loop, &conf, &c->claims, &e) < 0) {
		(void)fprintf(stderr, "claims_new: %s\n", e.text);
		must(false);
	}
	inventory_listen(l->inventory, on_inventory, c);
}

void lab_claims_stop(struct lab_claims *c)
{
	if (!c->claims)
		return;
	inventory_unlisten(c->lab->inventory, c);
	claims_free(&c->claims);
	cdi_free(&c->cdi);
}

static void on_answer(void *arg, const struct claim_answer *a)
{
	struct lab_call *call = arg;

	must(!call->done);
	call->done = true;
	call->call = NULL;
	call->status = a->status;
	call->done_ms = loop_now_ms(call->lab->loop);
	snprintf(call->error, sizeof(call->error), "%s", a->error ? a->error : "");
	call->n = a->n;
	for (size_t i = 0; i < MIN(a->n, ARRAY_LEN(call->devices)); i++) {
		const struct claim_device *d = &a->devices[i];

		snprintf(call->devices[i].request, sizeof(call->devices[i].request), "%s",
			 d->request);
		snprintf(call->devices[i].pool, sizeof(call->devices[i].pool), "%s", d->pool);
		snprintf(call->devices[i].device, sizeof(call->devices[i].device), "%s", d->device);
		snprintf(call->devices[i].share_id, sizeof(call->devices[i].share_id), "%s",
			 d->share_id ? d->share_id : "");
		snprintf(call->devices[i].cdi_id, sizeof(call->devices[i].cdi_id), "%s", d->cdi_id);
	}
}

static void start_call(struct lab_claims *c, const char *name, const char *uid, uint64_t due_ms,
		       bool prepare, struct lab_call *call)
{
	char *own _mem_free_ = mem_printf("uid-%s", name);
	const struct claim_ref ref = { "default", name, uid ? uid : own };

	*call = (struct lab_call){ .lab = c->lab };
	call->call =
	    (prepare ? claims_prepare : claims_unprepare)(c->claims, &ref, due_ms, on_answer, call);
}

void lab_prepare(struct lab_claims *c, const char *name, const char *uid, struct lab_call *call)
{
	start_call(c, name, uid, loop_now_ms(c->lab->loop) + 45000, true, call);
}

void lab_prepare_due(struct lab_claims *c, const char *name, uint64_t due_ms, struct lab_call *call)
{
	start_call(c, name, NULL, due_ms, true, call);
}

void lab_unprepare(struct lab_claims *c, const char *name, const char *uid, struct lab_call *call)
{
	start_call(c, name, uid, loop_now_ms(c->lab->loop) + 45000, false, call);
}

void lab_cancel(struct lab_call *call)
{
	if (call->call)
		claim_call_cancel(call->call);
	call->call = NULL;
}
