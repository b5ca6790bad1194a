#include "test/scale/slices.h"

#include "core/map.h"
#include "core/mem.h"
#include "k8s/api/cache.h"

struct slices {
	struct loop *loop;
	struct api *api;
	struct cache *cache;
	struct map full; /* names of slices with all their devices; each is its own value */
	char *prefix;
	size_t devices;
	uint64_t last_us;
};

static void forget(struct slices *s, const char *name)
{
	mem_free(map_del(&s->full, sv_str(name)));
}

static void on_upsert(void *arg, const struct json *object, enum api_version v)
{
	struct slices *s = arg;
	const struct json *spec = json_get(object, "spec");
	char *name;

	(void)v;
	if (!sv_starts(json_sv(json_get(spec, "nodeName")), sv_str(s->prefix)))
		return;
	s->last_us = loop_now_us(s->loop);
	forget(s, meta_name(object));
	if (json_len(json_get(spec, "devices")) != s->devices)
		return;
	name = mem_strdup(meta_name(object));
	map_put(&s->full, sv_str(name), name);
}

static void on_delete(void *arg, const char *ns, const char *name, const char *uid)
{
	struct slices *s = arg;

	(void)ns;
	(void)uid;
	s->last_us = loop_now_us(s->loop);
	forget(s, name);
}

int slices_new(struct loop *l, const char *kubeconfig, const char *prefix, size_t devices,
	       struct slices **out, struct err *e)
{
	struct slices *s = MEM_NEW(struct slices);
	struct api_config *config = NULL;
	struct api_conf conf = { .user_agent = "tundra-scale" };
	struct cache_conf cache = { .what = { .group = API_GROUP_RESOURCE,
					      .resource = "resourceslices",
					      .labels = SLICES_MARK },
				    .on_upsert = on_upsert,
				    .on_delete = on_delete,
				    .arg = s };
	int r = api_config_file(kubeconfig, NULL, &config, e);

	s->loop = l;
	s->prefix = mem_strdup(prefix);
	s->devices = devices;
	map_init(&s->full);
	conf.config = config;
	if (!r)
		r = api_new(l, &conf, &s->api, e);
	api_config_free(&config);
	if (!r)
		s->cache = cache_new(s->api, &cache);
	*out = s;
	return r;
}

void slices_free(struct slices **sp)
{
	struct slices *s = *sp;

	if (!s)
		return;
	cache_free(&s->cache);
	api_free(&s->api);
	map_for_each (m, &s->full)
		mem_free(m->value);
	map_done(&s->full);
	mem_free(s->prefix);
	mem_free(s);
	*sp = NULL;
}

size_t slices_nodes(const struct slices *s)
{
	return map_len(&s->full);
}

uint64_t slices_last_us(const struct slices *s)
{
	return s->last_us;
}
