#include "tools/dev/demo.h"

#include <stdarg.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/jx.h"

#define NS    "default"
#define CLASS "gpu.nvidia.com"

enum { LOOK_MS = 20 };

enum phase { AWAIT_SLICES, AWAIT_PODS, AWAIT_LATE, AWAIT_END, OVER };

struct demo {
	struct loop *loop;
	struct demo_conf conf;
	struct store *store;
	const struct store_kind *pods, *claims, *slices;
	struct loop_timer timer;
	enum phase phase;
	uint64_t since_ms;
	size_t gpus, used, rows;
	const char *first; /* pod that ends for the one that waits */
	char late[16];
};

static void say(struct demo *d, const char *fmt, ...) PRINTF(2, 3);
static void say(struct demo *d, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	d->conf.on_line(d->conf.arg, "", text);
	mem_free(text);
}

static void blank(struct demo *d)
{
	d->conf.on_line(d->conf.arg, "", "");
}

/* ---- the GPUs ---- */

static size_t count_gpus(const struct demo *d)
{
	size_t n = 0;

	for (size_t i = 0; i < store_count(d->store, d->slices); i++)
		n += json_array_size(jx_get(store_at(d->store, d->slices, i), "spec", "devices"));
	return n;
}

static const char *attribute(const json_t *device, const char *name)
{
	const json_t *a = jx_get(device, "attributes", name);

	return *jx_text(jx_get(a, "string")) ? jx_text(jx_get(a, "string"))
					     : jx_text(jx_get(a, "version"));
}

static void show_slices(struct demo *d)
{
	blank(d);
	say(d, "ResourceSlices: %zu GPUs", d->gpus);
	say(d, "  %-8s %-26s %-10s %-14s %s", "DEVICE", "PRODUCT", "MEMORY", "PCI", "NODE");
	for (size_t i = 0; i < store_count(d->store, d->slices); i++) {
		const json_t *slice = store_at(d->store, d->slices, i);
		const json_t *devices = jx_get(slice, "spec", "devices");

		for (size_t j = 0; j < json_array_size(devices); j++) {
			const json_t *g = json_array_get(devices, j);

			say(d, "  %-8s %-26s %-10s %-14s %s", jx_text(jx_get(g, "name")),
			    attribute(g, "productName"),
			    jx_text(jx_get(g, "capacity", "memory", "value")),
			    attribute(g, "resource.kubernetes.io/pciBusID"),
			    jx_text(jx_get(slice, "spec", "nodeName")));
		}
	}
	blank(d);
}

/* ---- claims and pods ---- */

static void make_claim(struct demo *d, const char *name, const char *devices)
{
	store_put_text(d->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
		       "\"metadata\":{\"name\":\"%s\",\"namespace\":\"" NS "\"},"
		       "\"spec\":{\"devices\":%s}}",
		       name, devices);
}

/* claim NULL: from the template "one-gpu". */
static void make_pod(struct demo *d, const char *name, const char *claim)
{
	store_put_text(d->store,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
		       "\"namespace\":\"" NS "\"},\"spec\":{\"containers\":[{\"name\":\"main\","
		       "\"image\":\"cuda\",\"resources\":{\"claims\":[{\"name\":\"gpu\"}]}}],"
		       "\"resourceClaims\":[{\"name\":\"gpu\",\"%s\":\"%s\"}]}}",
		       name, claim ? "resourceClaimName" : "resourceClaimTemplateName",
		       claim ? claim : "one-gpu");
}

static void make_template(struct demo *d)
{
	store_put_text(d->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaimTemplate\","
		       "\"metadata\":{\"name\":\"one-gpu\",\"namespace\":\"" NS "\"},\"spec\":{"
		       "\"spec\":{\"devices\":{\"requests\":[{\"name\":\"gpu\",\"exactly\":{"
		       "\"deviceClassName\":\"" CLASS "\"}}]}}}}");
}

/* What is asked for, and how many GPUs it takes. */
static void ask_template(struct demo *d)
{
	make_template(d);
	make_pod(d, "train-a", NULL);
	make_pod(d, "train-b", NULL);
}

static void ask_pair(struct demo *d)
{
	make_claim(d, "pair",
		   "{\"requests\":[{\"name\":\"gpus\",\"exactly\":{\"deviceClassName\":\"" CLASS
		   "\",\"count\":2}}],\"constraints\":[{\"matchAttribute\":\"gpu.nvidia.com/"
		   "productName\"}]}");
	make_pod(d, "pair", "pair");
}

static void ask_memory(struct demo *d)
{
	make_claim(d, "big",
		   "{\"requests\":[{\"name\":\"gpu\",\"exactly\":{\"deviceClassName\":\"" CLASS
		   "\",\"selectors\":[{\"cel\":{\"expression\":\"device.capacity["
		   "'gpu.nvidia.com'].memory.compareTo(quantity('10Gi')) >= 0\"}}]}}]}");
	make_pod(d, "big", "big");
}

static void ask_shared(struct demo *d)
{
	make_claim(d, "shared",
		   "{\"requests\":[{\"name\":\"gpu\",\"firstAvailable\":[{\"name\":\"huge\","
		   "\"deviceClassName\":\"" CLASS "\",\"selectors\":[{\"cel\":{\"expression\":"
		   "\"device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('4Ti'))\"}}]}"
		   ",{\"name\":\"any\",\"deviceClassName\":\"" CLASS "\"}]}]}");
	make_pod(d, "shared-1", "shared");
	make_pod(d, "shared-2", "shared");
}

static void ask_admin(struct demo *d)
{
	make_claim(d, "monitor",
		   "{\"requests\":[{\"name\":\"all\",\"exactly\":{\"deviceClassName\":\"" CLASS
		   "\",\"allocationMode\":\"All\",\"adminAccess\":true}}]}");
	make_pod(d, "monitor", "monitor");
}

static const struct {
	size_t gpus;
	void (*ask)(struct demo *d);
	const char *pod; /* one of those that hold them */
	const char *what;
} asks[] = {
	{ 2, ask_template, "train-a", "two pods with a GPU each, from a claim template" },
	{ 2, ask_pair, "pair", "one pod with two GPUs of the same product" },
	{ 1, ask_memory, "big", "one GPU with at least 10 GiB, by CEL" },
	{ 1, ask_shared, "shared-1",
	  "two pods that share one claim, its first alternative impossible" },
	{ 0, ask_admin, "monitor", "a monitor with admin access to every GPU" },
};

static void begin(struct demo *d)
{
	char devices[200];

	show_slices(d);
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		if (d->used + asks[i].gpus > d->gpus)
			continue;
		say(d, "asking for %s", asks[i].what);
		asks[i].ask(d);
		d->first = d->first ? d->first : asks[i].pod;
		d->used += asks[i].gpus;
	}
	/* One more than is left: it waits until somebody ends. */
	say(d, "asking for %zu GPUs more, with %zu left: that pod has to wait",
	    d->gpus - d->used + 1, d->gpus - d->used);
	snprintf(devices, sizeof(devices),
		 "{\"requests\":[{\"name\":\"gpus\",\"exactly\":{\"deviceClassName\":\"" CLASS
		 "\",\"count\":%zu}}]}",
		 d->gpus - d->used + 1);
	make_claim(d, "late", devices);
	make_pod(d, "late", "late");
	blank(d);
}

/* ---- how far it is ---- */

static const char *phase_of(const struct demo *d, const char *pod)
{
	return jx_text(jx_get(store_get(d->store, d->pods, NS, pod), "status", "phase"));
}

static bool all_run(const struct demo *d, bool late_too)
{
	for (size_t i = 0; i < store_count(d->store, d->pods); i++) {
		const char *name = jx_name(store_at(d->store, d->pods, i));

		if (!late_too && !strcmp(name, "late"))
			continue;
		if (strcmp(phase_of(d, name), "Running") != 0)
			return false;
	}
	return true;
}

static void show_device(void *arg, const struct kubelet_device *dev)
{
	struct demo *d = arg;

	say(d, "    %-8s %-8s %s", dev->request, dev->device, dev->cdi_id);
}

static void show_claim(struct demo *d, const json_t *claim)
{
	struct cluster *c = d->conf.cluster;
	const json_t *users = jx_get(claim, "status", "reservedFor");
	struct buf names;

	buf_init(&names, 4096);
	for (size_t i = 0; i < json_array_size(users); i++)
		buf_printf(&names, "%s%s", i ? ", " : "",
			   jx_text(jx_get(json_array_get(users, i), "name")));
	say(d, "  claim %s, pod %s", jx_name(claim), buf_cstr(&names));
	buf_done(&names);
	for (size_t i = 0; i < cluster_nodes(c); i++)
		kubelet_each_device(cluster_kubelet(c, i), NS, jx_name(claim), show_device, d);
}

static int show_spec(void *arg, const char *name)
{
	struct demo *d = arg;

	if (*name == '.') /* half of one, of a driver that was killed: no runtime reads it */
		return 0;
	say(d, "  %s", name);
	d->rows++;
	return 0;
}

/* Shows each and tells how many there are. */
static size_t list_specs(struct demo *d)
{
	struct cluster *c = d->conf.cluster;

	d->rows = 0;
	for (size_t i = 0; i < cluster_nodes(c); i++) {
		char *folder _mem_free_ = mem_printf("%s/cdi", cluster_node_folder(c, i));

		if (fsx_list(folder, show_spec, d) < 0)
			say(d, "  %s cannot be read", folder);
	}
	return d->rows;
}

/* Each prepared claim has its spec; no container would start without. */
static bool show_prepared(struct demo *d)
{
	size_t claims = 0, specs;

	blank(d);
	say(d, "Prepared claims, as the driver answered the kubelet (request, device, CDI id):");
	for (size_t i = 0; i < store_count(d->store, d->claims); i++)
		if (jx_get(store_at(d->store, d->claims, i), "status", "allocation")) {
			show_claim(d, store_at(d->store, d->claims, i));
			claims++;
		}
	blank(d);
	say(d, "CDI specs written:");
	specs = list_specs(d);
	if (specs != claims)
		say(d, "%zu claims are prepared, %zu CDI specs are there", claims, specs);
	blank(d);
	return specs == claims;
}

/* ---- giving back ---- */

static void delete_pod(struct demo *d, const char *name)
{
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	(void)store_delete(d->store, d->pods, NS, name, &how, &gone, NULL, &e);
}

static void delete_all(struct demo *d)
{
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	for (size_t i = store_count(d->store, d->pods); i-- > 0;)
		delete_pod(d, jx_name(store_at(d->store, d->pods, i)));
	for (size_t i = store_count(d->store, d->claims); i-- > 0;) {
		const json_t *claim = store_at(d->store, d->claims, i);

		(void)store_delete(d->store, d->claims, NS, jx_name(claim), &how, &gone, NULL, &e);
	}
}

static bool all_given_back(struct demo *d)
{
	struct cluster *c = d->conf.cluster;

	for (size_t i = 0; i < cluster_nodes(c); i++)
		if (kubelet_claims(cluster_kubelet(c, i)))
			return false;
	return !store_count(d->store, d->pods) && !store_count(d->store, d->claims);
}

static void summary(struct demo *d)
{
	struct kubelet_stats sum = { 0 };
	struct cluster *c = d->conf.cluster;

	for (size_t i = 0; i < cluster_nodes(c); i++) {
		const struct kubelet_stats *s = kubelet_stats(cluster_kubelet(c, i));

		sum.prepares += s->prepares;
		sum.prepare_errors += s->prepare_errors;
		sum.unprepares += s->unprepares;
		sum.unprepare_errors += s->unprepare_errors;
	}
	blank(d);
	say(d,
	    "Summary: %zu GPUs published; %llu prepare calls (%llu failed), %llu unprepare calls "
	    "(%llu failed); %llu API requests; nothing left.",
	    d->gpus, (unsigned long long)sum.prepares, (unsigned long long)sum.prepare_errors,
	    (unsigned long long)sum.unprepares, (unsigned long long)sum.unprepare_errors,
	    (unsigned long long)apiserver_count(cluster_api(c), NULL, NULL));
}

/* ---- steps ---- */

static void enter(struct demo *d, enum phase phase)
{
	d->phase = phase;
	d->since_ms = loop_now_ms(d->loop);
}

static void finish(struct demo *d, bool ok)
{
	enter(d, OVER);
	d->conf.done(d->conf.arg, ok);
}

static void step_slices(struct demo *d)
{
	d->gpus = count_gpus(d);
	if (d->gpus < d->conf.gpus)
		return;
	begin(d);
	enter(d, AWAIT_PODS);
}

static void step_pods(struct demo *d)
{
	if (!all_run(d, false))
		return;
	if (!show_prepared(d)) {
		finish(d, false);
		return;
	}
	say(d, "ending pod %s: its GPU goes to the pod that waits", d->first);
	delete_pod(d, d->first);
	enter(d, AWAIT_LATE);
}

static void step_late(struct demo *d)
{
	if (!all_run(d, true))
		return;
	blank(d);
	say(d, "pod late runs");
	if (!d->conf.once) {
		finish(d, true);
		return;
	}
	blank(d);
	say(d, "giving everything back");
	delete_all(d);
	enter(d, AWAIT_END);
}

static void step_end(struct demo *d)
{
	if (!all_given_back(d))
		return;
	if (list_specs(d)) {
		say(d, "the CDI specs above were left behind");
		finish(d, false);
		return;
	}
	summary(d);
	finish(d, true);
}

static void on_timer(void *arg)
{
	static void (*const steps[])(struct demo * d) = { [AWAIT_SLICES] = step_slices,
							  [AWAIT_PODS] = step_pods,
							  [AWAIT_LATE] = step_late,
							  [AWAIT_END] = step_end };
	static const char *const awaited[] = { [AWAIT_SLICES] = "a driver to publish all GPUs",
					       [AWAIT_PODS] = "the pods to run",
					       [AWAIT_LATE] = "the late pod to run",
					       [AWAIT_END] = "everything to be given back" };
	struct demo *d = arg;

	steps[d->phase](d);
	if (d->phase == OVER)
		return;
	if (loop_now_ms(d->loop) - d->since_ms > d->conf.wait_ms) {
		say(d, "waited %llu s in vain for %s; %zu of %zu are published",
		    (unsigned long long)d->conf.wait_ms / 1000, awaited[d->phase], count_gpus(d),
		    d->conf.gpus);
		finish(d, false);
		return;
	}
	loop_timer_set(&d->timer, LOOK_MS);
}

struct demo *demo_new(struct loop *l, const struct demo_conf *conf)
{
	struct demo *d = MEM_NEW(struct demo);

	d->loop = l;
	d->conf = *conf;
	d->store = cluster_store(conf->cluster);
	d->pods = store_kind(d->store, "", "pods");
	d->claims = store_kind(d->store, "resource.k8s.io", "resourceclaims");
	d->slices = store_kind(d->store, "resource.k8s.io", "resourceslices");
	loop_timer_init(&d->timer, l, on_timer, d);
	enter(d, AWAIT_SLICES);
	loop_timer_set(&d->timer, 0);
	return d;
}

void demo_free(struct demo **dp)
{
	struct demo *d = *dp;

	if (!d)
		return;
	loop_timer_stop(&d->timer);
	mem_free(d);
	*dp = NULL;
}
