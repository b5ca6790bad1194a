#include "k8s/allocation.h"

#include <errno.h>

#include "core/jsonw.h"
#include "core/map.h"
#include "core/mem.h"
#include "k8s/digest.h"

#define CONFIG_TEXT_MAX ((size_t)16 << 10) /* 10 KiB of parameters, re-spelled by us */

static const char *required_str(const struct json *n, const char *what, struct err *e)
{
	const char *s = json_str(n, NULL);

	if (!s || !*s) {
		err_set(e, -EINVAL, "the claim's allocation has no %s", what);
		return NULL;
	}
	return s;
}

static int decode_result(const struct json *n, struct allocation_result *r, struct err *e)
{
	const char *request = required_str(json_get(n, "request"), "result.request", e);
	const char *pool = required_str(json_get(n, "pool"), "result.pool", e);
	const char *device = required_str(json_get(n, "device"), "result.device", e);

	if (!request || !pool || !device)
		return -EINVAL;
	r->request = mem_strdup(request);
	r->pool = mem_strdup(pool);
	r->device = mem_strdup(device);
	r->share_id = mem_strdup(json_str(json_get(n, "shareID"), NULL));
	r->admin = json_flag(json_get(n, "adminAccess"), false);
	return 0;
}

static int decode_results(const struct json *list, const char *driver, struct allocation *a,
			  struct err *e)
{
	size_t n = json_len(list);
	int r;

	if (n > ALLOCATION_RESULTS_MAX)
		return err_set(e, -EINVAL,
			       "the claim has %zu results, more than the API allows (%d)", n,
			       ALLOCATION_RESULTS_MAX);
	a->results = mem_calloc(n ? n : 1, sizeof(*a->results));
	for (size_t i = 0; i < n; i++) {
		const struct json *item = json_at(list, i);

		if (!sv_eqs(json_sv(json_get(item, "driver")), driver))
			continue;
		r = decode_result(item, &a->results[a->results_n++], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int decode_config(const struct json *n, struct allocation_config *c, struct err *e)
{
	const struct json *requests = json_get(n, "requests");
	const struct json *parameters = json_get(n, "opaque", "parameters");
	struct buf text;
	struct jsonw w;

	if (json_kind(parameters) != JSON_OBJ)
		return err_set(e, -EINVAL,
			       "a configuration for this driver has no opaque.parameters object");
	c->requests_n = json_len(requests);
	c->requests = mem_calloc(c->requests_n ? c->requests_n : 1, sizeof(char *));
	for (size_t i = 0; i < c->requests_n; i++)
		c->requests[i] = mem_strdup(json_str(json_at(requests, i), ""));
	buf_init(&text, CONFIG_TEXT_MAX);
	jsonw_init(&w, &text);
	jsonw_json(&w, parameters);
	if (text.full) {
		buf_done(&text);
		return err_set(e, -EINVAL, "opaque parameters are larger than 10 KiB");
	}
	c->text = buf_steal(&text);
	buf_done(&text);
	return 0;
}

static int decode_configs(const struct json *list, const char *driver, struct allocation *a,
			  struct err *e)
{
	size_t n = json_len(list);
	int r;

	if (n > ALLOCATION_CONFIGS_MAX)
		return err_set(e, -EINVAL,
			       "the claim has %zu configurations, more than the API allows (%d)", n,
			       ALLOCATION_CONFIGS_MAX);
	a->configs = mem_calloc(n ? n : 1, sizeof(*a->configs));
	for (size_t i = 0; i < n; i++) {
		const struct json *item = json_at(list, i);

		if (json_kind(json_get(item, "opaque")) != JSON_OBJ)
			return err_set(e, -EINVAL,
				       "only opaque parameters are supported by this driver");
		if (!sv_eqs(json_sv(json_get(item, "opaque", "driver")), driver))
			continue;
		r = decode_config(item, &a->configs[a->configs_n++], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Kept in the ledger and compared with it after an upgrade. */
static uint64_t digest(const struct allocation *a)
{
	uint64_t h = DIGEST_START;

	for (size_t i = 0; i < a->results_n; i++) {
		const struct allocation_result *r = &a->results[i];

		h = digest_str(digest_str(digest_str(h, r->request), r->pool), r->device);
		h = digest_str(digest_str(h, r->share_id), r->admin ? "admin" : "");
	}
	for (size_t i = 0; i < a->configs_n; i++) {
		for (size_t j = 0; j < a->configs[i].requests_n; j++)
			h = digest_str(h, a->configs[i].requests[j]);
		h = digest_str(h, a->configs[i].text);
	}
	return h;
}

static char *first_pod(const struct json *reserved)
{
	for (size_t i = 0; i < json_len(reserved); i++) {
		const struct json *item = json_at(reserved, i);

		if (sv_eqs(json_sv(json_get(item, "resource")), "pods"))
			return mem_strdup(json_str(json_get(item, "name"), NULL));
	}
	return NULL;
}

int allocation_decode_status(const struct json *status, const char *driver, struct allocation *out,
			     struct err *e)
{
	const struct json *allocation = json_get(status, "allocation");
	int r;

	*out = (struct allocation){ 0 };
	if (json_kind(allocation) != JSON_OBJ)
		return err_set(e, ALLOCATION_E_NONE, "the claim is not allocated");
	r = decode_results(json_get(allocation, "devices", "results"), driver, out, e);
	if (!r)
		r = decode_configs(json_get(allocation, "devices", "config"), driver, out, e);
	if (r < 0) {
		allocation_done(out);
		return r;
	}
	out->pod = first_pod(json_get(status, "reservedFor"));
	out->digest = digest(out);
	return 0;
}

int allocation_decode(const struct json *claim, const char *uid, const char *driver,
		      struct allocation *out, struct err *e)
{
	const char *actual = json_str(json_get(claim, "metadata", "uid"), "");

	*out = (struct allocation){ 0 };
	if (!sv_eqs(sv_str(uid), actual))
		return err_set(
		    e, ALLOCATION_E_REPLACED,
		    "the claim was replaced: its UID is now %s, the kubelet asked for %s", actual,
		    uid);
	return allocation_decode_status(json_get(claim, "status"), driver, out, e);
}

static void config_done(struct allocation_config *c)
{
	for (size_t i = 0; i < c->requests_n; i++)
		mem_free(c->requests[i]);
	mem_free(c->requests);
	mem_free(c->text);
}

void allocation_done(struct allocation *a)
{
	for (size_t i = 0; i < a->results_n; i++) {
		mem_free(a->results[i].request);
		mem_free(a->results[i].pool);
		mem_free(a->results[i].device);
		mem_free(a->results[i].share_id);
	}
	for (size_t i = 0; i < a->configs_n; i++)
		config_done(&a->configs[i]);
	mem_free(a->results);
	mem_free(a->configs);
	mem_free(a->pod);
	*a = (struct allocation){ 0 };
}

struct sv allocation_base_request(const char *request)
{
	struct sv rest = sv_str(request);

	return sv_cut(&rest, '/');
}

static bool names_request(const struct allocation_config *c, const char *request)
{
	struct sv base = allocation_base_request(request);

	for (size_t i = 0; i < c->requests_n; i++) {
		struct sv named = sv_str(c->requests[i]);

		if (sv_eqs(named, request) || sv_eq(named, base))
			return true;
	}
	return false;
}

int allocation_config_for(const struct allocation *a, const struct allocation_result *r,
			  allocation_fits_fn fits, void *ctx, const char **text, struct err *e)
{
	*text = NULL;
	for (size_t i = a->configs_n; i-- > 0;) {
		const struct allocation_config *c = &a->configs[i];
		int misfit;

		if (c->requests_n && !names_request(c, r->request))
			continue;
		misfit = fits(ctx, c->text, e);
		if (misfit < 0 || (misfit && c->requests_n))
			return err_wrap(e, -EINVAL, "configuration of request %s", r->request);
		if (misfit)
			continue;
		*text = c->text;
		return 0;
	}
	return 0;
}
