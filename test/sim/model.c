/*
 * What must hold, judged from outside: files, objects, the kubelet. Of tundra's memory only whether
 * it holds a device when all is over.
 */
#include <errno.h>

#include "core/fsx.h"
#include "core/journal_format.h"
#include "core/json.h"
#include "core/mem.h"
#include "k8s/ledger.h"
#include "test/sim/files.h"
#include "test/sim/sim.h"
#include "transport/grpc.h"

enum { FILE_MAX = 64 << 20, SPEC_MAX = 4 << 20, GRANT_DEVICES = 16 };

/* A ledger, as it would be replayed now. */
struct records {
	struct model *model;
	struct map by_uid; /* -> struct ledger_claim */
	uint64_t at;	   /* files_changes() or files_syncs() when it was read, + 1 */
};

/*
 * What the kubelet was told that it has, until it asks for Unprepare: its containers have ended
 * then, and the driver may be done with it before the kubelet hears so.
 */
struct grant {
	char *uid, *name;
	char identities[GRANT_DEVICES][64];
	size_t n;
};

struct model {
	struct sim *sim;
	struct records written, durable;
	struct map grants; /* uid -> struct grant */
	uint64_t seen, replies, checks;
	bool cdi_emptied; /* until it is complete again */
	bool cdi_torn;	  /* likewise: specs may be there in part */
	bool broken;	  /* a spec is not whole */
};

/* ---- the ledger ---- */

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
		sim_violated(r->model->sim, "a record cannot be read: %s", e.text);
	else
		map_put(&r->by_uid, sv_str(c->uid), c);
}

static void on_del(void *arg, struct sv uid)
{
	drop(arg, uid);
}

static void on_corrupt(void *arg, struct sv uid)
{
	sim_violated(((struct records *)arg)->model->sim, "the record of " SV_FMT " is corrupt",
		     SV_ARG(uid));
}

static void on_meta(void *arg, struct sv key, struct sv body)
{
	(void)arg;
	(void)key;
	(void)body;
}

static void records_clear(struct records *r)
{
	map_for_each (e, &r->by_uid) {
		struct ledger_claim *c = e->value;

		ledger_claim_free(&c);
	}
	map_done(&r->by_uid);
	map_init(&r->by_uid);
}

static void scan(struct records *r, const struct buf *file)
{
	struct journal_scan_events ev = { on_put, on_del, on_corrupt, on_meta, r };
	struct journal_scan_result result;
	struct err e = { "" };

	records_clear(r);
	if (buf_len(file) && journal_scan(buf_sv(file), &ev, &result, &e) < 0)
		sim_violated(r->model->sim, "the ledger cannot be read: %s", e.text);
}

static void read_ledgers(struct model *m)
{
	const char *path = m->sim->lab->ledger;
	struct buf file;
	int r;

	buf_init(&file, FILE_MAX);
	if (m->written.at != files_changes() + 1) {
		m->written.at = files_changes() + 1;
		r = fsx_read(path, FILE_MAX, &file);
		if (r < 0 && r != -ENOENT)
			sim_violated(m->sim, "the ledger cannot be read: %s", strerror(-r));
		scan(&m->written, &file);
		buf_clear(&file);
		files_durable(path, &file);
		scan(&m->durable, &file);
	}
	buf_done(&file);
}

/* ---- at any moment ---- */

static bool exclusive(const struct ledger_device *d)
{
	return !d->admin && !d->share_id;
}

static void check_booking(struct model *m)
{
	struct map taken;

	map_init(&taken);
	map_for_each (e, &m->written.by_uid) {
		const struct ledger_claim *c = e->value;

		for (size_t i = 0; i < c->devices_n; i++) {
			const struct ledger_device *d = &c->devices[i];
			const struct ledger_claim *other;

			if (!exclusive(d))
				continue;
			other = map_put(&taken, sv_str(d->identity), (void *)(uintptr_t)c);
			if (other && other != c)
				sim_violated(m->sim, "%s is booked twice: %s and %s", d->identity,
					     c->name, other->name);
		}
	}
	map_done(&taken);
}

/* Container runtimes read the folder at any moment: JSON, and all of it. */
static void check_whole(struct model *m, const char *name)
{
	static const struct json_limits limits = { .bytes = SPEC_MAX,
						   .values = 100000,
						   .depth = 32 };
	char *path _mem_free_ = mem_printf("%s/%s", m->sim->lab->cdi, name);
	struct err e = { "" };
	struct json *root;
	struct buf text;

	buf_init(&text, SPEC_MAX);
	if (fsx_read(path, SPEC_MAX, &text) || json_parse(buf_sv(&text), &limits, &root, &e))
		m->broken = true;
	else
		json_free(&root);
	if (m->broken && !m->cdi_torn)
		sim_violated(m->sim, "CDI spec %s is not whole: %s", name, e.text);
	buf_done(&text);
}

/* "k8s.gpu.nvidia.com-claim_<uid>.yaml" */
static int check_spec(void *arg, const char *name)
{
	struct model *m = arg;
	struct sv uid = sv_str(name);

	if (fsx_is_temp(name))
		return 0;
	(void)sv_cut(&uid, '_');
	if (!sv_ends(uid, SV(".yaml"))) {
		sim_violated(m->sim, "what is this in the CDI folder: %s", name);
		return 0;
	}
	uid.n -= strlen(".yaml");
	if (!map_get(&m->written.by_uid, uid) || !map_get(&m->durable.by_uid, uid))
		sim_violated(m->sim, "CDI spec %s has no record on the disk", name);
	check_whole(m, name);
	return 0;
}

static void check_specs(struct model *m)
{
	int r;

	m->broken = false;
	r = fsx_list(m->sim->lab->cdi, check_spec, m);
	if (r < 0 && r != -ENOENT) /* a reboot empties /run */
		sim_violated(m->sim, "the CDI folder cannot be read");
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
static void check_pod(struct model *m, const struct sim_pod *pod)
{
	const struct ledger_claim *c = record_of(&m->durable, pod->claim);
	char *devices = lab_allocated(m->sim->lab, pod->claim);
	struct sv rest = sv_str(devices);

	if (!c) {
		sim_violated(m->sim, "pod %s runs, claim %s has no record", pod->name, pod->claim);
	} else if (!m->cdi_emptied && !lab_cdi_exists(m->sim->lab, c->uid)) {
		sim_violated(m->sim, "pod %s runs, claim %s has no CDI spec", pod->name,
			     pod->claim);
	} else {
		while (rest.n) {
			char *device = sv_dup(sv_cut(&rest, ','));

			if (!names_device(c, device))
				sim_violated(m->sim, "pod %s runs without its %s", pod->name,
					     device);
			mem_free(device);
		}
	}
	mem_free(devices);
}

/* Records without a spec: how many, and the name of one. */
static size_t incomplete(const struct model *m, const char **name)
{
	size_t n = 0;

	map_for_each (e, &m->written.by_uid) {
		const struct ledger_claim *c = e->value;

		if (!c->devices_n || lab_cdi_exists(m->sim->lab, c->uid))
			continue;
		*name = c->name;
		n++;
	}
	return n;
}

/* Nobody publishes what he may not give away: an instance that waits for the ledger writes nothing.
 */
static void check_writers(struct model *m)
{
	for (size_t i = 0; i < SIM_NODES; i++) {
		const struct lab_node *n = &m->sim->nodes[i];
		const struct publisher_stats *p;
		struct driver_facts facts;

		if (!n->driver)
			continue;
		driver_facts(n->driver, &facts);
		p = facts.publisher;
		if (facts.ledger == LEDGER_OPENING && p->creates + p->updates + p->deletes)
			sim_violated(m->sim, "%s publishes before it has the ledger", n->instance);
	}
}

static void check(struct model *m)
{
	struct sim *s = m->sim;
	const char *name;

	m->checks++;
	read_ledgers(m);
	check_booking(m);
	check_writers(m);
	check_specs(m);
	m->cdi_emptied = m->cdi_emptied && (incomplete(m, &name) || m->broken);
	m->cdi_torn = m->cdi_torn && m->cdi_emptied;
	for (size_t i = 0; i < s->pods_n; i++)
		if (kubelet_pod_runs(s->kubelet, "default", s->pods[i].name))
			check_pod(m, &s->pods[i]);
	s->result->digest = s->result->digest * 31 + map_len(&m->written.by_uid) +
			    loop_now_ms(s->lab->loop) * 7 + store_rv(s->lab->store);
}

/* Nothing that it looks at changes without one of these. */
void model_on_turn(void *arg)
{
	struct sim *s = arg;
	struct model *m = s->model;
	uint64_t now = files_changes() + m->replies + store_rv(s->lab->store);

	if (now == m->seen || *s->result->violation)
		return;
	m->seen = now;
	check(m);
}

/* ---- what the driver answers ---- */

static void grant_free(struct grant *g)
{
	if (!g)
		return;
	mem_free(g->uid);
	mem_free(g->name);
	mem_free(g);
}

static void check_grant(struct model *m, const struct grant *g)
{
	map_for_each (e, &m->grants) {
		const struct grant *other = e->value;

		for (size_t i = 0; strcmp(other->uid, g->uid) && i < other->n; i++)
			for (size_t j = 0; j < g->n; j++)
				if (!strcmp(other->identities[i], g->identities[j]))
					sim_violated(m->sim, "%s is given to %s while %s has it",
						     g->identities[j], g->name, other->name);
	}
}

static void grant(struct model *m, const struct ledger_claim *c)
{
	struct grant *g = MEM_NEW(struct grant);

	g->uid = mem_strdup(c->uid);
	g->name = mem_strdup(c->name);
	for (size_t i = 0; i < c->devices_n && g->n < GRANT_DEVICES; i++)
		if (exclusive(&c->devices[i]))
			snprintf(g->identities[g->n++], sizeof(g->identities[0]), "%s",
				 c->devices[i].identity);
	check_grant(m, g);
	grant_free(map_del(&m->grants, sv_str(g->uid)));
	map_put(&m->grants, sv_str(g->uid), g);
}

static void on_prepared(struct model *m, const struct kubelet_reply *r)
{
	const struct ledger_claim *c = map_get(&m->durable.by_uid, sv_str(r->uid));

	if (!c)
		sim_violated(m->sim, "Prepare of %s was answered before its record is on the disk",
			     r->name);
	else if (r->devices != c->devices_n)
		sim_violated(m->sim, "Prepare of %s answered %zu devices, %zu are on record",
			     r->name, r->devices, c->devices_n);
	else if (c->devices_n && !m->cdi_emptied && !lab_cdi_exists(m->sim->lab, r->uid))
		sim_violated(m->sim, "Prepare of %s was answered without a CDI spec", r->name);
	else
		grant(m, c);
}

static void on_unprepared(struct model *m, const struct kubelet_reply *r)
{
	if (map_get(&m->durable.by_uid, sv_str(r->uid)))
		sim_violated(m->sim, "Unprepare of %s was answered, its record is on the disk",
			     r->name);
	if (lab_cdi_exists(m->sim->lab, r->uid))
		sim_violated(m->sim, "Unprepare of %s was answered, its CDI spec is there",
			     r->name);
}

void model_on_call(void *arg, bool prepare, const char *uid)
{
	struct model *m = ((struct sim *)arg)->model;

	if (!prepare)
		grant_free(map_del(&m->grants, sv_str(uid)));
}

void model_on_reply(void *arg, const struct kubelet_reply *r)
{
	struct sim *s = arg;
	struct model *m = s->model;

	m->replies++;
	if (r->code == GRPC_DEADLINE_EXCEEDED)
		sim_violated(s, "%s of %s was not answered in time",
			     r->prepare ? "Prepare" : "Unprepare", r->name);
	if (r->error && s->only_lost && r->code != -1 && r->code != GRPC_UNAVAILABLE)
		sim_violated(s, "%s of %s fails: %s", r->prepare ? "Prepare" : "Unprepare", r->name,
			     r->error);
	if (r->error)
		return;
	read_ledgers(m);
	if (r->prepare)
		on_prepared(m, r);
	else
		on_unprepared(m, r);
}

void model_cdi_emptied(struct model *m, bool torn)
{
	m->cdi_emptied = true;
	m->cdi_torn = m->cdi_torn || torn;
}

void model_after_crash(struct sim *s)
{
	struct model *m = s->model;

	read_ledgers(m);
	map_for_each (e, &m->grants) {
		const struct grant *g = e->value;

		if (!map_get(&m->written.by_uid, sv_str(g->uid)))
			sim_violated(s, "Prepare of %s was answered, the crash lost its record",
				     g->name);
	}
}

/* ---- what is left in folders ---- */

struct tidy {
	struct sim *sim;
	const char *folder;
	const char *socket; /* the one that may be there, NULL: none */
};

static int check_name(void *arg, const char *name)
{
	static const char *const files[] = { "ledger", "ledger.lock", "tundra-cdi-hook" };
	const struct tidy *t = arg;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (!strcmp(name, files[i]))
			return 0;
	if (!t->socket || strcmp(name, t->socket) != 0)
		sim_violated(t->sim, "%s is left in %s", name, t->folder);
	return 0;
}

static void check_folder(struct sim *s, const char *folder, const char *socket)
{
	struct tidy t = { .sim = s, .folder = folder, .socket = socket };

	int r = fsx_list(folder, check_name, &t);

	if (r < 0 && r != -ENOENT)
		sim_violated(s, "%s cannot be read", folder);
}

void model_tidy(struct sim *s, bool runs)
{
	const char *instance = s->present->instance;
	char *state _mem_free_ = mem_printf("%s/" LAB_DRIVER, s->lab->plugins);
	char *service _mem_free_ = mem_printf("dra-%s.sock", instance);
	char *registrar _mem_free_ = mem_printf(LAB_DRIVER "-%s-reg.sock", instance);

	check_folder(s, state, runs ? service : NULL);
	check_folder(s, s->lab->registry, runs ? registrar : NULL);
	check_folder(s, s->lab->cdi, NULL);
}

/* ---- when it is quiet ---- */

/* What the slices offer is what is there, each GPU once. */
void model_published(struct sim *s)
{
	unsigned seen[SIM_GPUS] = { 0 };
	char uuid[64];

	for (size_t i = 0; lab_published_uuid(s->lab, i, uuid, sizeof(uuid)); i++)
		for (size_t g = 0; g < SIM_GPUS; g++)
			seen[g] += !strcmp(uuid, s->lab->gpus.gpus[g].uuid);
	for (size_t g = 0; g < SIM_GPUS; g++) {
		const struct gpu_script_gpu *gpu = &s->lab->gpus.gpus[g];

		if (seen[g] != (gpu->present && !*gpu->trouble))
			sim_violated(s, "%s is %s and published %u times", gpu->uuid,
				     !gpu->present   ? "lost"
				     : *gpu->trouble ? "ill"
						     : "well",
				     seen[g]);
	}
}

static void check_driver(struct sim *s)
{
	if (!kubelet_registered(s->kubelet, LAB_DRIVER) ||
	    !kubelet_connected(s->kubelet, LAB_DRIVER))
		sim_violated(s, "the kubelet is not connected to the driver: %s",
			     kubelet_stats(s->kubelet)->last_error);
	if (!lab_node_ready(s->present))
		sim_violated(s, "the driver is not ready");
}

void model_settled(struct sim *s)
{
	struct model *m = s->model;
	const char *name;

	check(m);
	model_published(s);
	check_driver(s);
	if (incomplete(m, &name))
		sim_violated(s, "claim %s has a record and no CDI spec", name);
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

/* A temporary file whose removal failed stays until a driver starts five minutes later. */
static int remove_temp(void *arg, const char *name)
{
	struct lab *l = arg;
	char *path _mem_free_ = mem_printf("%s/%s", l->cdi, name);

	return fsx_is_temp(name) ? fsx_remove(path) : 0;
}

static void check_left_files(struct sim *s)
{
	if (files_were_failing())
		must(fsx_list(s->lab->cdi, remove_temp, s->lab) == 0);
	if (lab_cdi_count(s->lab))
		sim_violated(s, "%zu files are left in the CDI folder", lab_cdi_count(s->lab));
}

void model_over(struct sim *s)
{
	struct model *m = s->model;

	check(m);
	if (map_len(&m->written.by_uid))
		sim_violated(s, "%zu records are left", map_len(&m->written.by_uid));
	if (map_len(&m->grants))
		sim_violated(s, "the kubelet was told of %zu claims that were never taken back",
			     map_len(&m->grants));
	check_left_files(s);
	if (kubelet_claims(s->kubelet))
		sim_violated(s, "the kubelet still has %zu claims: %s", kubelet_claims(s->kubelet),
			     kubelet_stats(s->kubelet)->last_error);
	if (lab_count(s->lab, "pods") || lab_count(s->lab, "resourceclaims"))
		sim_violated(s, "%zu pods and %zu claims are left", lab_count(s->lab, "pods"),
			     lab_count(s->lab, "resourceclaims"));
	for (size_t i = 0; i < SIM_GPUS; i++)
		if (driver_holder(s->present->driver, s->lab->gpus.gpus[i].uuid))
			sim_violated(s, "%s is still held", s->lab->gpus.gpus[i].uuid);
}

/* ---- life ---- */

struct model *model_new(struct sim *s)
{
	struct model *m = MEM_NEW(struct model);

	m->sim = s;
	m->written.model = m->durable.model = m;
	map_init(&m->written.by_uid);
	map_init(&m->durable.by_uid);
	map_init(&m->grants);
	return m;
}

void model_free(struct model **mp)
{
	struct model *m = *mp;

	if (!m)
		return;
	records_clear(&m->written);
	records_clear(&m->durable);
	map_for_each (e, &m->grants)
		grant_free(e->value);
	map_done(&m->written.by_uid);
	map_done(&m->durable.by_uid);
	map_done(&m->grants);
	mem_free(m);
	*mp = NULL;
}

uint64_t model_checks(const struct model *m)
{
	return m->checks;
}
