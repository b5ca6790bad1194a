#include "test/lib/kubelet.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/kubelet_private.h"

/* ---- telling ---- */

static void PRINTF(2, 0) line(struct kubelet *k, const char *fmt, va_list ap)
{
	char *text;

	if (!k->conf.on_line)
		return;
	text = mem_vprintf(fmt, ap);
	k->conf.on_line(k->conf.arg, text);
	mem_free(text);
}

void kubelet_line(struct kubelet *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(k, fmt, ap);
	va_end(ap);
}

void kubelet_failed(struct kubelet *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->stats.last_error, sizeof(k->stats.last_error), fmt, ap);
	va_end(ap);
	kubelet_line(k, "%s", k->stats.last_error);
}

/* ---- wiping slices ---- */

/* driver NULL = all. */
static void wipe(struct kubelet *k, const char *driver)
{
	struct store *s = k->conf.store;
	const struct store_kind *slices = store_kind(s, "resource.k8s.io", "resourceslices");
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	size_t wiped = 0;
	bool gone;

	for (size_t i = store_count(s, slices); i-- > 0;) {
		const json_t *slice = store_at(s, slices, i);

		if (strcmp(jx_text(jx_get(slice, "spec", "nodeName")), k->node) != 0 ||
		    (driver && !jx_is(jx_get(slice, "spec", "driver"), driver)))
			continue;
		wiped += !store_delete(s, slices, NULL, jx_name(slice), &how, &gone, NULL, &e);
	}
	k->stats.wipes += wiped > 0;
	if (wiped)
		kubelet_line(k, "wiped %zu ResourceSlices of %s", wiped,
			     driver ? driver : "all drivers");
}

static bool anyone_connected(const struct kubelet *k, const char *driver)
{
	list_for_each (n, &k->plugins) {
		const struct kubelet_plugin *p = list_entry(n, struct kubelet_plugin, node);

		if (p->state == PLUGIN_REGISTERED && !strcmp(p->driver, driver) &&
		    (p->connected || k->conf.no_health))
			return true;
	}
	return false;
}

static void arm_wipe(struct kubelet *k)
{
	uint64_t now = loop_now_ms(k->loop), next = UINT64_MAX;
	const char *driver;
	json_t *due;

	json_object_foreach(k->wiping, driver, due) next =
	    MIN(next, (uint64_t)json_integer_value(due));
	if (next == UINT64_MAX)
		loop_timer_stop(&k->wipe);
	else
		loop_timer_set(&k->wipe, next > now ? next - now : 0);
}

static void on_wipe(void *arg)
{
	struct kubelet *k = arg;
	uint64_t now = loop_now_ms(k->loop);
	const char *driver;
	json_t *due;
	void *tmp;

	json_object_foreach_safe(k->wiping, tmp, driver, due)
	{
		if ((uint64_t)json_integer_value(due) > now)
			continue;
		wipe(k, driver);
		json_object_del(k->wiping, driver);
	}
	arm_wipe(k);
}

/* No instance of a driver is connected: its slices go after a while. */
void kubelet_plugin_changed(struct kubelet *k, const char *driver)
{
	if (anyone_connected(k, driver))
		json_object_del(k->wiping, driver);
	else if (!json_object_get(k->wiping, driver))
		jx_set_int(k->wiping, driver, (int64_t)(loop_now_ms(k->loop) + k->conf.wipe_ms));
	arm_wipe(k);
}

/* ---- the folder of registration sockets ---- */

static struct kubelet_plugin *plugin_named(const struct kubelet *k, const char *name)
{
	list_for_each (n, &k->plugins) {
		struct kubelet_plugin *p = list_entry(n, struct kubelet_plugin, node);

		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

static int see_entry(void *arg, const char *name)
{
	struct kubelet *k = arg;
	char *path _mem_free_ = mem_printf("%s/%s", k->registry, name);
	struct kubelet_plugin *p = plugin_named(k, name);
	uint64_t ctime_ns;
	struct stat st;

	if (*name == '.' || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0;
	ctime_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec;
	if (p && p->ino == (uint64_t)st.st_ino && p->ctime_ns == ctime_ns) {
		p->seen = true;
		return 0;
	}
	if (p)
		kubelet_plugin_free(p); /* made anew: unregistered, then registered again */
	kubelet_plugin_add(k, name, (uint64_t)st.st_ino, ctime_ns);
	return 0;
}

static void on_reconcile(void *arg)
{
	struct kubelet *k = arg;

	list_for_each (n, &k->plugins)
		list_entry(n, struct kubelet_plugin, node)->seen = false;
	if (fsx_list(k->registry, see_entry, k) < 0)
		kubelet_line(k, "the folder %s cannot be read", k->registry);
	list_for_each_safe (m, &k->plugins) {
		struct kubelet_plugin *p = list_entry(m, struct kubelet_plugin, node);

		if (p->seen)
			continue;
		kubelet_line(k, "registration socket %s is gone", p->name);
		kubelet_plugin_free(p);
	}
}

static void on_folder(void *arg, const char *name)
{
	struct kubelet *k = arg;

	(void)name;
	if (!loop_timer_armed(&k->reconcile))
		loop_timer_set(&k->reconcile, k->conf.loop_ms);
}

static void on_stale(void *arg)
{
	struct kubelet *k = arg;

	kubelet_claims_stale(k);
	loop_timer_set(&k->stale, k->conf.stale_ms);
}

/* ---- life ---- */

static void defaults(struct kubelet_conf *c)
{
	c->loop_ms = c->loop_ms ? c->loop_ms : KUBELET_LOOP_MS;
	c->sync_ms = c->sync_ms ? c->sync_ms : KUBELET_SYNC_MS;
	c->stale_ms = c->stale_ms ? c->stale_ms : KUBELET_STALE_MS;
	c->wipe_ms = c->wipe_ms ? c->wipe_ms : KUBELET_WIPE_MS;
	c->call_ms = c->call_ms ? c->call_ms : KUBELET_CALL_MS;
}

static void make_node(struct kubelet *k)
{
	const struct store_kind *nodes = store_kind(k->conf.store, "", "nodes");

	if (store_get(k->conf.store, nodes, NULL, k->node))
		return;
	store_put_text(k->conf.store,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\","
		       "\"labels\":{\"kubernetes.io/hostname\":\"%s\"}},\"spec\":{},"
		       "\"status\":{\"capacity\":{\"cpu\":\"8\",\"pods\":\"110\"},"
		       "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
		       k->node, k->node);
}

static void start(struct kubelet *k)
{
	make_node(k);
	wipe(k, NULL);
	kubelet_pods_start(k);
	on_reconcile(k);
	loop_timer_set(&k->stale, k->conf.stale_ms);
}

static void stop(struct kubelet *k)
{
	loop_timer_stop(&k->reconcile);
	loop_timer_stop(&k->stale);
	loop_timer_stop(&k->wipe);
	if (k->stale_rpc)
		k->stale_rpc->claims[0]->busy = false;
	kubelet_rpc_free(&k->stale_rpc);
	kubelet_pods_stop(k);
	list_for_each_safe (n, &k->plugins)
		kubelet_plugin_free(list_entry(n, struct kubelet_plugin, node));
	loop_timer_stop(&k->wipe);
	json_object_clear(k->wiping);
}

int kubelet_new(struct loop *l, const struct kubelet_conf *conf, struct kubelet **out,
		struct err *e)
{
	struct kubelet *k = MEM_NEW(struct kubelet);
	int r;

	k->loop = l;
	k->conf = *conf;
	defaults(&k->conf);
	k->node = mem_strdup(conf->node);
	k->registry = mem_strdup(conf->registry);
	k->state = mem_strdup(conf->state);
	k->wiping = json_object();
	list_init(&k->plugins);
	list_init(&k->pods);
	list_init(&k->claims);
	list_init(&k->rpcs);
	loop_timer_init(&k->reconcile, l, on_reconcile, k);
	loop_timer_init(&k->stale, l, on_stale, k);
	loop_timer_init(&k->wipe, l, on_wipe, k);
	r = fsx_mkdirs(k->registry, 0755);
	if (r >= 0)
		r = fswatch_new(l, k->registry, on_folder, k, &k->watch);
	if (r < 0) {
		kubelet_free(&k);
		return err_sys(e, r, "cannot watch %s", conf->registry);
	}
	kubelet_claims_load(k);
	start(k);
	*out = k;
	return 0;
}

void kubelet_free(struct kubelet **kp)
{
	struct kubelet *k = *kp;

	if (!k)
		return;
	stop(k);
	fswatch_free(&k->watch);
	list_for_each_safe (n, &k->claims)
		kubelet_claim_forget(list_entry(n, struct kubelet_claim, node));
	json_decref(k->wiping);
	mem_free(k->node);
	mem_free(k->registry);
	mem_free(k->state);
	loop_defer_free(k->loop, k, mem_free); /* cancelled calls look at it until the turn's end */
	*kp = NULL;
}

void kubelet_restart(struct kubelet *k)
{
	stop(k);
	list_for_each (n, &k->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		c->prepared = c->busy = false;
	}
	start(k);
}

void kubelet_reboot(struct kubelet *k)
{
	k->rebooted = true;
	kubelet_restart(k);
	k->rebooted = false;
}

/* ---- what it knows ---- */

const struct kubelet_stats *kubelet_stats(const struct kubelet *k)
{
	return &k->stats;
}

bool kubelet_registered(const struct kubelet *k, const char *driver)
{
	return kubelet_plugin_of(k, driver) != NULL;
}

bool kubelet_connected(const struct kubelet *k, const char *driver)
{
	const struct kubelet_plugin *p = kubelet_plugin_of(k, driver);

	return p && p->connected;
}

size_t kubelet_claims(const struct kubelet *k)
{
	size_t count = 0;

	list_for_each (n, &k->claims)
		count++;
	return count;
}

void kubelet_each_device(const struct kubelet *k, const char *ns, const char *claim,
			 void (*fn)(void *arg, const struct kubelet_device *d), void *arg)
{
	const struct kubelet_claim *c = kubelet_claim_find(k, ns, claim);

	for (size_t i = 0; c && i < c->answers_n; i++) {
		const struct kubelet_answer *a = &c->answers[i];
		const struct kubelet_device d = { a->driver, a->request, a->pool,
						  a->device, a->cdi_id,	 a->share_id };

		fn(arg, &d);
	}
}
