#include "tools/dev/cluster.h"

#include <errno.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/api/base64.h"
#include "k8s/api/yaml.h"
#include "test/lib/controllers.h"
#include "test/lib/jx.h"
#include "test/lib/pki.h"
#include "test/lib/validate.h"
#include "transport/tls.h"

enum { MANIFEST_MAX = 4 << 20, TOKEN_BYTES = 32 };

struct cluster_node {
	struct cluster *cluster;
	char *name, *folder, *registry;
	struct kubelet *kubelet;
};

struct cluster {
	struct loop *loop;
	struct cluster_conf conf;
	struct store *store;
	struct apiserver *api;
	struct controllers *controllers;
	struct pki pki;
	struct tls_server *tls;
	char token[TOKEN_BYTES + 1], url[64];
	const char *tokens[2];
	struct cluster_node *nodes;
	size_t nodes_n;
};

/* ---- lines ---- */

static void on_kubelet_line(void *arg, const char *line)
{
	struct cluster_node *n = arg;
	struct cluster *c = n->cluster;
	char *text;

	if (!c->conf.on_line)
		return;
	text = c->nodes_n > 1 ? mem_printf("%s: %s", n->name, line) : mem_strdup(line);
	c->conf.on_line(c->conf.arg, "kubelet", text);
	mem_free(text);
}

static void on_controller_line(void *arg, const char *line)
{
	struct cluster *c = arg;

	if (c->conf.on_line)
		c->conf.on_line(c->conf.arg, "scheduler", line);
}

static void on_request(void *arg, const char *verb, const char *path, int status)
{
	struct cluster *c = arg;
	char *text = mem_printf("%d %s %s", status, verb, path);

	if (c->conf.on_line)
		c->conf.on_line(c->conf.arg, "api", text);
	mem_free(text);
}

/* ---- API server ---- */

static void make_token(struct cluster *c)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (size_t i = 0; i < TOKEN_BYTES; i++)
		c->token[i] = letters[loop_random(c->loop) % (sizeof(letters) - 1)];
	c->tokens[0] = c->token;
}

static int start_api(struct cluster *c, struct err *e)
{
	const struct store_conf store = { .validate = validate_object };
	struct apiserver_conf api = { .tokens = c->tokens };
	uint16_t port = c->conf.port;
	int r = 0;

	make_token(c);
	c->store = store_new(c->loop, &store);
	api.store = c->store;
	c->api = apiserver_new(c->loop, &api);
	if (c->conf.trace)
		apiserver_on_request(c->api, on_request, c);
	if (c->conf.tls) {
		struct tls_material m = { 0 };

		pki_make(&c->pki, "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc");
		m.cert_pem = sv_str(c->pki.cert);
		m.key_pem = sv_str(c->pki.key);
		r = tls_server_new(&m, &c->tls, e);
	}
	if (!r)
		r = apiserver_listen_tcp(c->api, "127.0.0.1", &port, c->tls, e);
	snprintf(c->url, sizeof(c->url), "%s://127.0.0.1:%u", c->conf.tls ? "https" : "http",
		 (unsigned)port);
	return r;
}

static int write_kubeconfig(struct cluster *c, struct err *e)
{
	char *path = mem_printf("%s/kubeconfig", c->conf.dir);
	struct buf text;
	int r;

	buf_init(&text, 64 << 10);
	buf_printf(&text,
		   "apiVersion: v1\nkind: Config\ncurrent-context: dev\nclusters:\n- name: dev\n"
		   "  cluster:\n    server: %s\n",
		   c->url);
	if (c->conf.tls) {
		buf_puts(&text, "    certificate-authority-data: ");
		base64_encode(sv_str(c->pki.ca), &text);
		buf_putc(&text, '\n');
	}
	buf_printf(&text,
		   "users:\n- name: dev\n  user:\n    token: %s\ncontexts:\n- name: dev\n"
		   "  context:\n    cluster: dev\n    user: dev\n    namespace: default\n",
		   c->token);
	r = fsx_replace(path, buf_sv(&text), 0600, 0);
	if (r < 0)
		r = err_sys(e, r, "cannot write %s", path);
	buf_done(&text);
	mem_free(path);
	return r;
}

/* ---- what is there from the start ---- */

static void put_classes(struct cluster *c)
{
	store_put_text(c->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"DeviceClass\","
		       "\"metadata\":{\"name\":\"gpu.nvidia.com\"},\"spec\":{\"selectors\":["
		       "{\"cel\":{\"expression\":\"device.driver == 'gpu.nvidia.com' && "
		       "device.attributes['gpu.nvidia.com'].type == 'gpu'\"}}]}}");
}

static int put_document(struct cluster *c, const json_t *object, const char *file, struct err *e)
{
	const char *version = jx_text(jx_get(object, "apiVersion")), *slash = strchr(version, '/');
	const struct store_kind *k;
	char group[96];

	if (!json_is_object(object))
		return 0; /* an empty document */
	snprintf(group, sizeof(group), "%.*s", slash ? (int)(slash - version) : 0, version);
	k = store_kind_of(c->store, group, jx_text(jx_get(object, "kind")));
	if (!k || !*jx_name(object))
		return err_set(e, -EINVAL, "%s: kind %s of %s is not served here, or has no name",
			       file, jx_text(jx_get(object, "kind")), version);
	store_put(c->store, object);
	return 0;
}

static int put_manifest(struct cluster *c, const char *file, struct err *e)
{
	struct buf text, json;
	json_t *all = NULL;
	int r;

	buf_init(&text, MANIFEST_MAX);
	buf_init(&json, MANIFEST_MAX);
	r = fsx_read(file, MANIFEST_MAX, &text);
	if (r < 0)
		r = err_sys(e, r, "cannot read %s", file);
	else
		r = yaml_all_to_json(buf_sv(&text), &json, e);
	if (!r)
		all = jx_parse(buf_sv(&json), e);
	if (!r && !all)
		r = -EINVAL;
	for (size_t i = 0; !r && i < json_array_size(all); i++)
		r = put_document(c, json_array_get(all, i), file, e);
	json_decref(all);
	buf_done(&text);
	buf_done(&json);
	return r;
}

static int each_word(struct cluster *c, const char *list,
		     int (*fn)(struct cluster *c, const char *word, struct err *e), struct err *e)
{
	struct sv rest = sv_str(list);
	int r = 0;

	while (rest.n && !r) {
		char *word = sv_dup(sv_trim(sv_cut(&rest, ',')));

		r = *word ? fn(c, word, e) : 0;
		mem_free(word);
	}
	return r;
}

static int put_fault(struct cluster *c, const char *text, struct err *e)
{
	return apiserver_fault_text(c->api, text, e);
}

/* ---- nodes ---- */

static int start_node(struct cluster *c, struct cluster_node *n, size_t i, struct err *e)
{
	static const char *const folders[] = { "plugins", "cdi", "run" };
	struct kubelet_conf conf = {
		.store = c->store, .sync_ms = c->conf.sync_ms, .on_line = on_kubelet_line, .arg = n
	};
	int r = 0;

	n->cluster = c;
	n->name =
	    c->conf.nodes > 1 ? mem_printf("%s-%zu", c->conf.node, i) : mem_strdup(c->conf.node);
	n->folder = mem_printf("%s/%s", c->conf.dir, n->name);
	n->registry = mem_printf("%s/plugins_registry", n->folder);
	for (size_t f = 0; f < ARRAY_LEN(folders) && r >= 0; f++) {
		char *path _mem_free_ = mem_printf("%s/%s", n->folder, folders[f]);

		r = fsx_mkdirs(path, 0755);
		if (r < 0)
			return err_sys(e, r, "cannot make %s", path);
	}
	conf.node = n->name;
	conf.registry = n->registry;
	return kubelet_new(c->loop, &conf, &n->kubelet, e);
}

static int start_nodes(struct cluster *c, struct err *e)
{
	int r = 0;

	c->nodes = mem_calloc(c->conf.nodes, sizeof(*c->nodes));
	for (size_t i = 0; i < c->conf.nodes && !r; i++) {
		c->nodes_n++;
		r = start_node(c, &c->nodes[i], i, e);
	}
	return r;
}

/* ---- life ---- */

int cluster_new(struct loop *l, const struct cluster_conf *conf, struct cluster **out,
		struct err *e)
{
	struct cluster *c = MEM_NEW(struct cluster);
	struct controllers_conf controllers = { .on_line = on_controller_line, .arg = c };
	int r;

	must(conf->nodes > 0 && conf->nodes <= CLUSTER_NODES_MAX);
	c->loop = l;
	c->conf = *conf;
	r = fsx_mkdirs(conf->dir, 0755);
	if (r < 0)
		r = err_sys(e, r, "cannot make %s", conf->dir);
	if (r >= 0)
		r = start_api(c, e);
	if (!r) {
		controllers.store = c->store;
		c->controllers = controllers_new(l, &controllers);
		put_classes(c);
		r = each_word(c, conf->faults, put_fault, e);
	}
	if (!r)
		r = start_nodes(c, e);
	if (!r)
		r = each_word(c, conf->manifests, put_manifest, e);
	if (!r)
		r = write_kubeconfig(c, e); /* last: who waits for it finds all the rest */
	if (r < 0) {
		cluster_free(&c);
		return r;
	}
	*out = c;
	return 0;
}

void cluster_free(struct cluster **cp)
{
	struct cluster *c = *cp;

	if (!c)
		return;
	for (size_t i = 0; i < c->nodes_n; i++) {
		kubelet_free(&c->nodes[i].kubelet);
		mem_free(c->nodes[i].name);
		mem_free(c->nodes[i].folder);
		mem_free(c->nodes[i].registry);
	}
	mem_free(c->nodes);
	controllers_free(&c->controllers);
	apiserver_free(&c->api);
	store_free(&c->store);
	tls_server_free(&c->tls);
	pki_done(&c->pki);
	mem_free(c);
	*cp = NULL;
}

struct store *cluster_store(struct cluster *c)
{
	return c->store;
}

struct apiserver *cluster_api(struct cluster *c)
{
	return c->api;
}

const char *cluster_url(const struct cluster *c)
{
	return c->url;
}

size_t cluster_nodes(const struct cluster *c)
{
	return c->nodes_n;
}

struct kubelet *cluster_kubelet(const struct cluster *c, size_t node)
{
	return c->nodes[node].kubelet;
}

const char *cluster_node_name(const struct cluster *c, size_t node)
{
	return c->nodes[node].name;
}

const char *cluster_node_folder(const struct cluster *c, size_t node)
{
	return c->nodes[node].folder;
}
