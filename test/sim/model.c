/*
 * What must hold, judged from outside: files, objects, the kubelet. Of tundra's memory only whether
 * it holds a device when all is over.
 */
#include <stdarg.h>

#include "core/fsx.h"
#include "core/journal_format.h"
#include "core/mem.h"
#include "k8s/ledger.h"
#include "test/sim/sim.h"

enum { FILE_MAX = 64 << 20 };

/* The ledger's file, as it would be replayed now. */
struct records {
	struct sim *sim;
	struct map by_uid; /* -> struct ledger_claim */
};

void sim_violated(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (*s->violation)
		return; /* the first one counts */
	va_start(ap, fmt);
	vsnprintf(s->violation, sizeof(s->violation), fmt, ap);
	va_end(ap);
}

static void drop(struct records *r, struct sv uid)
{
	struct ledger_claim *c = map_del(&r->by_uid, uid);

	ledger_claim_free(&c);
}

static void on_put(void *arg, struct sv uid, struct sv body)
{
	struct records *r = arg;
	struct ledger_claim *c;
	struct err e = { "" };

	drop(r, uid);
	if (ledger_decode(uid, body, &c, &e))
		sim_violated(r->sim, "a record cannot be read: %s", e.text);
	else
		map_put(&r->by_uid, sv_str(c->uid), c);
}

static void on_del(void *arg, struct sv uid)
{
	drop(arg, uid);
}

static void on_corrupt(void *arg, struct sv uid)
{
	sim_violated(((struct records *)arg)->sim, "the record of " SV_FMT " is corrupt",
		     SV_ARG(uid));
}

static void on_meta(void *arg, struct sv key, struct sv body)
{
	(void)arg;
	(void)key;
	(void)body;
}

static void read_records(struct sim *s, struct records *r)
{
	struct journal_scan_events ev = { on_put, on_del, on_corrupt, on_meta, r };
	struct journal_scan_result result;
	struct err e = { "" };
	struct buf file;

	*r = (struct records){ .sim = s };
	map_init(&r->by_uid);
	buf_init(&file, FILE_MAX);
	if (!fsx_read(s->lab->ledger, FILE_MAX, &file) &&
	    journal_scan(buf_sv(&file), &ev, &result, &e) < 0)
		sim_violated(s, "the ledger cannot be read: %s", e.text);
	buf_done(&file);
}

static void records_done(struct records *r)
{
	map_for_each (e, &r->by_uid) {
		struct ledger_claim *c = e->value;

		ledger_claim_free(&c);
	}
	map_done(&r->by_uid);
}

/* ---- at any moment ---- */

static void check_booking(struct sim *s, const struct records *r)
{
	struct map taken;

	map_init(&taken);
	map_for_each (e, &r->by_uid) {
		const struct ledger_claim *c = e->value;

		for (size_t i = 0; i < c->devices_n; i++) {
			const struct ledger_device *d = &c->devices[i];
			const struct ledger_claim *other;

			if (d->admin || d->share_id)
				continue;
			other = map_put(&taken, sv_str(d->identity), (void *)(uintptr_t)c);
			if (other && other != c)
				sim_violated(s, "%s is booked twice: %s and %s", d->identity,
					     c->name, other->name);
		}
	}
	map_done(&taken);
}

struct spec_check {
	struct sim *sim;
	const struct records *records;
};

/* "k8s.gpu.nvidia.com-claim_<uid>.yaml" */
static int check_spec(void *arg, const char *name)
{
	struct spec_check *c = arg;
	struct sv uid = sv_str(name);

	if (fsx_is_temp(name))
		return 0;
	(void)sv_cut(&uid, '_');
	if (!sv_ends(uid, SV(".yaml"))) {
		sim_violated(c->sim, "what is this in the CDI folder: %s", name);
		return 0;
	}
	uid.n -= strlen(".yaml");
	if (!map_get(&c->records->by_uid, uid))
		sim_violated(c->sim, "CDI spec %s has no record", name);
	return 0;
}

static void check_specs(struct sim *s, const struct records *r)
{
	struct spec_check c = { s, r };

	if (fsx_list(s->lab->cdi, check_spec, &c) < 0)
		sim_violated(s, "the CDI folder cannot be read");
}

static const struct ledger_claim *record_of(const struct records *r, const char *claim)
{
	map_for_each (e, &r->by_uid) {
		const struct ledger_claim *c = e->value;

		if (!strcmp(c->name, claim))
			return c;
	}
	return NULL;
}

static bool names_device(const struct ledger_claim *c, const char *device)
{
	for (size_t i = 0; i < c->devices_n; i++)
		if (!strcmp(c->devices[i].device, device))
			return true;
	return false;
}

/* A pod that runs has its claim's record and spec, for the devices that it was allocated. */
static void check_pod(struct sim *s, const struct records *r, const struct sim_pod *pod)
{
	const struct ledger_claim *c = record_of(r, pod->claim);
	char *devices = lab_allocated(s->lab, pod->claim);
	struct sv rest = sv_str(devices);

	if (!c) {
		sim_violated(s, "pod %s runs, claim %s has no record", pod->name, pod->claim);
	} else if (!lab_cdi_exists(s->lab, c->uid)) {
		sim_violated(s, "pod %s runs, claim %s has no CDI spec", pod->name, pod->claim);
	} else {
		while (rest.n) {
			char *device = sv_dup(sv_cut(&rest, ','));

			if (!names_device(c, device))
				sim_violated(s, "pod %s runs without its %s", pod->name, device);
			mem_free(device);
		}
	}
	mem_free(devices);
}

void sim_check(struct sim *s)
{
	struct records r;

	read_records(s, &r);
	check_booking(s, &r);
	check_specs(s, &r);
	for (size_t i = 0; i < s->pods_n; i++)
		if (kubelet_pod_runs(s->kubelet, "default", s->pods[i].name))
			check_pod(s, &r, &s->pods[i]);
	s->digest = s->digest * 31 + map_len(&r.by_uid) + loop_now_ms(s->lab->loop) * 7 +
		    store_rv(s->lab->store);
	records_done(&r);
}

/* ---- when it is quiet ---- */

/* A spec may be away while something is wrong; then it is written anew. */
static void check_records(struct sim *s)
{
	struct records r;

	read_records(s, &r);
	map_for_each (e, &r.by_uid) {
		const struct ledger_claim *c = e->value;

		if (!lab_cdi_exists(s->lab, c->uid))
			sim_violated(s, "claim %s has a record and no CDI spec", c->name);
	}
	records_done(&r);
}

/* What the slices offer is what is there, each GPU once. */
static void check_published(struct sim *s)
{
	unsigned seen[SIM_GPUS] = { 0 };
	char uuid[64];

	if (lab_published(s->lab) != SIM_GPUS)
		sim_violated(s, "%zu of %d GPUs are published", lab_published(s->lab), SIM_GPUS);
	for (size_t i = 0; lab_published_uuid(s->lab, i, uuid, sizeof(uuid)); i++)
		for (size_t g = 0; g < SIM_GPUS; g++)
			seen[g] += !strcmp(uuid, s->lab->gpus.gpus[g].uuid);
	for (size_t g = 0; g < SIM_GPUS; g++)
		if (seen[g] != 1)
			sim_violated(s, "%s is published %u times", s->lab->gpus.gpus[g].uuid,
				     seen[g]);
}

void sim_check_settled(struct sim *s)
{
	sim_check(s);
	check_published(s);
	check_records(s);
	for (size_t i = 0; i < s->pods_n; i++) {
		const struct sim_pod *pod = &s->pods[i];
		char *devices = lab_allocated(s->lab, pod->claim);

		/* One that the scheduler could place must run by now. */
		if (*devices && !strcmp(lab_pod_phase(s->lab, pod->name), "Pending"))
			sim_violated(s, "pod %s was given %s and does not run: %s", pod->name,
				     devices, kubelet_stats(s->kubelet)->last_error);
		mem_free(devices);
	}
}

void sim_check_over(struct sim *s)
{
	struct records r;

	sim_check(s);
	read_records(s, &r);
	if (map_len(&r.by_uid))
		sim_violated(s, "%zu records are left", map_len(&r.by_uid));
	records_done(&r);
	if (lab_cdi_count(s->lab))
		sim_violated(s, "%zu files are left in the CDI folder", lab_cdi_count(s->lab));
	if (kubelet_claims(s->kubelet))
		sim_violated(s, "the kubelet still has %zu claims: %s", kubelet_claims(s->kubelet),
			     kubelet_stats(s->kubelet)->last_error);
	if (lab_count(s->lab, "pods") || lab_count(s->lab, "resourceclaims"))
		sim_violated(s, "%zu pods and %zu claims are left", lab_count(s->lab, "pods"),
			     lab_count(s->lab, "resourceclaims"));
	for (int i = 0; i < SIM_GPUS; i++) {
		char identity[16];

		snprintf(identity, sizeof(identity), "GPU-%04d", i);
		if (driver_holder(s->nodes[s->nodes_n - 1].driver, identity))
			sim_violated(s, "%s is still held", identity);
	}
}
