/* Checks against the API server, over the same client that tundra node has. */
#include <errno.h>
#include <time.h>

#include "core/jsonw.h"
#include "core/mem.h"
#include "tools/tundra/doctor.h"
#include "tools/tundra/doctor_kube.h"

enum {
	MINOR_MIN = 32, /* Kubernetes 1.32: resource.k8s.io/v1beta1 */
	MINOR_V1 = 34,	/* and v1, on by default */
	CLOCK_WARN_MS = 5000,
	CLOCK_FAIL_MS = 60000, /* certificates and tokens of a minute's age are refused */
};

/* ---- asking ---- */

/* One GET with its handler. False: f says why it could not be asked. */
static bool get(const struct doctor *d, struct doctor_finding *f, const struct api_target *to,
		api_fn fn, void *arg)
{
	struct kube_call call = { .fn = fn, .arg = arg };
	struct api_request r = { .verb = API_GET, .to = *to, .retry = API_RETRY_NEVER };
	struct kube k;

	if (kube_open(d, &k, f) < 0)
		return false;
	kube_call(&k, &call, &r);
	kube_wait(&k);
	kube_close(&k);
	return true;
}

/* ---- api server ---- */

struct version {
	const struct doctor *d;
	struct doctor_finding *f;
};

static void unreachable(struct doctor_finding *f, const struct api_result *r)
{
	doctor_say(f, DOCTOR_FAIL, "%s", r->error);
	if (r->status == API_UNAUTHORIZED)
		doctor_fix(f,
			   "the token or certificate is refused: was the service account "
			   "deleted, is the kubeconfig of another cluster, is this clock right?");
	else if (r->status > 0)
		doctor_fix(f, "the server answers with an error of its own; its log tells");
	else
		doctor_fix(f, "from this node: is its address right, does a firewall or "
			      "NetworkPolicy stand between, is its certificate for that name?");
}

static int64_t leading(const char *digits)
{
	return strtoll(digits, NULL, 10); /* minor may be "33+" */
}

static void on_version(void *arg, const struct api_result *r)
{
	const struct version *v = arg;
	const char *text = json_str(json_get(r->object, "gitVersion"), "");

	if (r->status) {
		unreachable(v->f, r);
		return;
	}
	doctor_say(v->f, DOCTOR_OK, "Kubernetes %s (%s)", text, v->d->api->source);
	if (leading(json_str(json_get(r->object, "major"), "0")) == 1 &&
	    leading(json_str(json_get(r->object, "minor"), "0")) < MINOR_MIN) {
		v->f->verdict = DOCTOR_FAIL;
		doctor_fix(v->f, "Kubernetes 1.%d or newer is needed, better 1.%d", MINOR_MIN,
			   MINOR_V1);
	}
}

void check_api_server(const struct doctor *d, struct doctor_finding *f)
{
	struct version v = { d, f };

	(void)get(d, f, &(struct api_target){ .raw = "/version" }, on_version, &v);
}

/* ---- resource.k8s.io ---- */

static void on_group(void *arg, const struct api_result *r)
{
	static const char *const spoken[] = { "v1", "v1beta2", "v1beta1" };
	struct doctor_finding *f = arg;
	const struct json *versions = json_get(r->object, "versions");
	const char *best = NULL;

	if (r->status == API_FORBIDDEN) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s", r->error);
		doctor_fix(f, "discovery is closed to this account; tundra tries the versions in "
			      "turn. Bind system:discovery to it to have this checked");
		return;
	}
	if (r->status && r->status != API_NOT_SERVED && r->status != API_NOT_FOUND) {
		unreachable(f, r);
		return;
	}
	doctor_say(f, DOCTOR_FAIL, "resource.k8s.io is not served");
	for (size_t i = 0; i < json_len(versions); i++)
		doctor_more(f, "%s %s", i ? "," : ", but:",
			    json_str(json_get(json_at(versions, i), "version"), ""));
	for (size_t i = 0; !best && i < ARRAY_LEN(spoken); i++)
		for (size_t k = 0; k < json_len(versions); k++)
			if (sv_eqs(json_sv(json_get(json_at(versions, k), "version")), spoken[i]))
				best = spoken[i];
	if (!best) {
		doctor_fix(f, "1.34 and newer serve v1 by default: look for a switched off "
			      "DynamicResourceAllocation. 1.32, 1.33: --feature-gates="
			      "DynamicResourceAllocation=true on API server, controller manager, "
			      "scheduler and kubelet, and --runtime-config=resource.k8s.io/"
			      "v1beta1=true on the API server");
		return;
	}
	doctor_say(f, DOCTOR_OK, "resource.k8s.io/%s is used; served:", best);
	for (size_t i = 0; i < json_len(versions); i++)
		doctor_more(f, "%s %s", i ? "," : "",
			    json_str(json_get(json_at(versions, i), "version"), ""));
}

void check_dra_api(const struct doctor *d, struct doctor_finding *f)
{
	(void)get(d, f, &(struct api_target){ .raw = "/apis/resource.k8s.io" }, on_group, f);
}

/* ---- RBAC ---- */

static const struct {
	const char *group, *resource, *verb;
	bool wished; /* tundra works without */
} verbs[] = {
	{ API_GROUP_RESOURCE, "resourceclaims", "get", false },
	{ API_GROUP_RESOURCE, "resourceslices", "get", false },
	{ API_GROUP_RESOURCE, "resourceslices", "list", false },
	{ API_GROUP_RESOURCE, "resourceslices", "watch", false },
	{ API_GROUP_RESOURCE, "resourceslices", "create", false },
	{ API_GROUP_RESOURCE, "resourceslices", "update", false },
	{ API_GROUP_RESOURCE, "resourceslices", "delete", false },
	{ API_GROUP_CORE, "nodes", "get", false },
	{ API_GROUP_CORE, "events", "create", true },
};

struct review {
	struct kube_call call;
	size_t row;
	int allowed; /* -1: no answer */
	struct doctor_finding *f;
};

static void on_review(void *arg, const struct api_result *r)
{
	struct review *v = arg;

	v->allowed = r->status ? -1 : json_flag(json_get(r->object, "status", "allowed"), false);
	if (r->status)
		doctor_say(v->f, DOCTOR_UNKNOWN, "%s", r->error);
}

static void ask_review(struct kube *k, struct review *v)
{
	struct api_request r = { .verb = API_CREATE,
				 .to = { .group = "authorization.k8s.io",
					 .version = "v1",
					 .resource = "selfsubjectaccessreviews" },
				 .retry = API_RETRY_NEVER };
	struct jsonw w;
	struct buf body;

	buf_init(&body, 4096);
	jsonw_init(&w, &body);
	jsonw_obj(&w);
	jsonw_kstr(&w, "apiVersion", "authorization.k8s.io/v1");
	jsonw_kstr(&w, "kind", "SelfSubjectAccessReview");
	jsonw_kobj(&w, "spec");
	jsonw_kobj(&w, "resourceAttributes");
	jsonw_kstr(&w, "group", verbs[v->row].group);
	jsonw_kstr(&w, "resource", verbs[v->row].resource);
	jsonw_kstr(&w, "verb", verbs[v->row].verb);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
	r.body = buf_sv(&body);
	v->call = (struct kube_call){ .fn = on_review, .arg = v };
	kube_call(k, &v->call, &r);
	buf_done(&body);
}

static void judge_reviews(const struct review *v, struct doctor_finding *f)
{
	size_t denied = 0, needed = 0;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (v[i].allowed < 0)
			return; /* f has the error */
	doctor_say(f, DOCTOR_OK, "all %zu verbs are allowed", ARRAY_LEN(verbs));
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (v[i].allowed)
			continue;
		if (!denied++)
			doctor_say(f, DOCTOR_WARN, "denied:");
		doctor_more(f, "%s %s %s", denied > 1 ? "," : "", verbs[i].verb, verbs[i].resource);
		needed += !verbs[i].wished;
	}
	if (needed)
		f->verdict = DOCTOR_FAIL;
	if (denied)
		doctor_fix(f,
			   "bind the chart's ClusterRole (tundra-kubelet-plugin) to this service "
			   "account: helm upgrade installs both%s",
			   needed ? "" : "; without it only the Events are missing");
}

void check_rbac(const struct doctor *d, struct doctor_finding *f)
{
	struct review v[ARRAY_LEN(verbs)] = { 0 };
	struct kube k;

	if (kube_open(d, &k, f) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		v[i].row = i;
		v[i].allowed = -1;
		v[i].f = f;
		ask_review(&k, &v[i]);
	}
	kube_wait(&k);
	kube_close(&k);
	judge_reviews(v, f);
}

/* ---- the Node ---- */

static const struct json *ready_of(const struct json *node)
{
	const struct json *list = json_get(node, "status", "conditions");

	for (size_t i = 0; i < json_len(list); i++)
		if (sv_eqs(json_sv(json_get(json_at(list, i), "type")), "Ready"))
			return json_at(list, i);
	return NULL;
}

static void judge_node(const struct version *v, const struct json *node)
{
	const struct json *ready = ready_of(node);
	const char *kubelet = json_str(json_get(node, "status", "nodeInfo", "kubeletVersion"), "");
	const char *runtime =
	    json_str(json_get(node, "status", "nodeInfo", "containerRuntimeVersion"), "");
	const char *gpus = json_str(json_get(node, "status", "capacity", "nvidia.com/gpu"), "0");
	struct doctor_finding *f = v->f;
	int major = 0, minor = 0;

	snprintf(f->kubelet, sizeof(f->kubelet), "%.31s", kubelet);
	snprintf(f->runtime, sizeof(f->runtime), "%.63s", runtime);
	f->plugin_gpus = leading(gpus);
	doctor_say(f, DOCTOR_OK, "%s: kubelet %s, %s", v->d->o->node_name,
		   *kubelet ? kubelet : "unknown", *runtime ? runtime : "runtime unknown");
	if (doctor_version(kubelet, "v", &major, &minor) && major == 1 && minor < MINOR_MIN) {
		f->verdict = DOCTOR_FAIL;
		doctor_fix(f, "the kubelet must be 1.%d or newer", MINOR_MIN);
	} else if (!sv_eqs(json_sv(json_get(ready, "status")), "True")) {
		f->verdict = DOCTOR_WARN;
		doctor_more(f, "; not Ready: %s", json_str(json_get(ready, "message"), "no word"));
		doctor_fix(f, "pods come when the node is Ready: kubectl describe node %s",
			   v->d->o->node_name);
	}
}

static void on_node(void *arg, const struct api_result *r)
{
	const struct version *v = arg;

	if (r->status == 0) {
		judge_node(v, r->object);
	} else if (r->status == API_NOT_FOUND) {
		doctor_say(v->f, DOCTOR_FAIL, "there is no Node \"%s\"", v->d->o->node_name);
		doctor_fix(v->f, "--node-name (NODE_NAME) must be the name in kubectl get nodes; "
				 "the chart sets it from spec.nodeName");
	} else {
		doctor_say(v->f, DOCTOR_UNKNOWN, "%s", r->error);
	}
}

void check_node_object(const struct doctor *d, struct doctor_finding *f)
{
	struct version v = { d, f };

	(void)get(d, f,
		  &(struct api_target){ .group = API_GROUP_CORE,
					.version = "v1",
					.resource = "nodes",
					.name = d->o->node_name },
		  on_node, &v);
}

/* ---- clock ---- */

static void on_date(void *arg, const struct api_result *r)
{
	struct doctor_finding *f = arg;
	struct timespec t;
	double ahead;

	clock_gettime(CLOCK_REALTIME, &t);
	if (!r->date_ms) {
		doctor_say(f, DOCTOR_UNKNOWN, "the API server tells no time (no Date header)");
		return;
	}
	ahead = (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 - (double)r->date_ms;
	if (ahead > 0) /* the header has whole seconds, cut off */
		ahead = ahead > 1000 ? ahead - 1000 : 0;
	doctor_say(f, DOCTOR_OK, "this clock is within a second of the API server's");
	if (ahead > 1000 || ahead < -1000)
		doctor_say(f, DOCTOR_OK, "this clock is %.0f s %s the API server's",
			   (ahead < 0 ? -ahead : ahead) / 1000, ahead < 0 ? "behind" : "ahead of");
	if (ahead > CLOCK_FAIL_MS || ahead < -CLOCK_FAIL_MS)
		f->verdict = DOCTOR_FAIL;
	else if (ahead > CLOCK_WARN_MS || ahead < -CLOCK_WARN_MS)
		f->verdict = DOCTOR_WARN;
	if (f->verdict != DOCTOR_OK)
		doctor_fix(f,
			   "set the clock: chrony or systemd-timesyncd on the node (timedatectl); "
			   "tokens and certificates are refused beyond their times");
}

void check_clock(const struct doctor *d, struct doctor_finding *f)
{
	(void)get(d, f, &(struct api_target){ .raw = "/version" }, on_date, f);
}
