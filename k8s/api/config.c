#include "k8s/api/config.h"

#include <arpa/inet.h>
#include <errno.h>

#include "core/fsx.h"
#include "core/json.h"
#include "core/mem.h"
#include "k8s/api/base64.h"
#include "k8s/api/yaml.h"

/* A kubeconfig within API_CONFIG_MAX, as JSON: its values are strings, few per byte. */
static const struct json_limits kubeconfig_limits = { .bytes = (size_t)4 * API_CONFIG_MAX,
						      .values = YAML_EVENTS_MAX,
						      .depth = YAML_DEPTH_MAX + 2 };
enum { PEM_MAX = 1 << 20 }; /* bytes: decoded data never exceeds the file it was in */

void api_config_free(struct api_config **c)
{
	struct api_config *x = *c;

	if (!x)
		return;
	mem_free(x->host);
	mem_free(x->unix_path);
	mem_free(x->prefix);
	mem_free(x->server_name);
	mem_free(x->ca_file);
	mem_free(x->cert_file);
	mem_free(x->key_file);
	mem_free(x->token_file);
	mem_free(x->ca_pem);
	mem_free(x->cert_pem);
	mem_free(x->key_pem);
	mem_free(x->token);
	mem_free(x->ns);
	mem_free(x->source);
	mem_free(x);
	*c = NULL;
}

struct api_config *api_config_copy(const struct api_config *c)
{
	struct api_config *x = mem_dup(c, sizeof(*c));

	x->host = mem_strdup(c->host);
	x->unix_path = mem_strdup(c->unix_path);
	x->prefix = mem_strdup(c->prefix);
	x->server_name = mem_strdup(c->server_name);
	x->ca_file = mem_strdup(c->ca_file);
	x->cert_file = mem_strdup(c->cert_file);
	x->key_file = mem_strdup(c->key_file);
	x->token_file = mem_strdup(c->token_file);
	x->ca_pem = mem_strdup(c->ca_pem);
	x->cert_pem = mem_strdup(c->cert_pem);
	x->key_pem = mem_strdup(c->key_pem);
	x->token = mem_strdup(c->token);
	x->ns = mem_strdup(c->ns);
	x->source = mem_strdup(c->source);
	return x;
}

/* ---- server URL ---- */

/* "host[:port]" or "[v6]:port" -> host and port; port stays when none is named. */
static int parse_authority(struct sv s, struct api_config *c)
{
	struct sv host = s, port = SV_NONE;
	ptrdiff_t at;
	uint64_t n;

	if (sv_starts(s, SV("["))) {
		at = sv_find(s, ']');
		if (at < 0)
			return -EINVAL;
		host = sv_make(s.p + 1, (size_t)at - 1);
		s = sv_drop(s, (size_t)at + 1);
		if (s.n && s.p[0] != ':')
			return -EINVAL;
		port = sv_drop(s, 1);
	} else if ((at = sv_find(s, ':')) >= 0) {
		host = sv_make(s.p, (size_t)at);
		port = sv_drop(s, (size_t)at + 1);
	}
	if (!host.n || memchr(host.p, '@', host.n) || memchr(host.p, '\0', host.n))
		return -EINVAL;
	if (port.n && (sv_u64(port, &n) < 0 || n == 0 || n > UINT16_MAX))
		return -EINVAL;
	if (port.n)
		c->port = (uint16_t)n;
	c->host = sv_dup(host);
	return 0;
}

static int parse_server(const char *url, struct api_config *c, struct err *e)
{
	struct sv s = sv_str(url), authority;
	ptrdiff_t slash;

	if (sv_starts(s, SV("https://"))) {
		c->tls = true;
		c->port = 443;
		s = sv_drop(s, 8);
	} else if (sv_starts(s, SV("http://"))) {
		c->port = 80;
		s = sv_drop(s, 7);
	} else {
		return err_set(e, -EINVAL, "server \"%s\" must begin with https:// or http://",
			       url);
	}
	slash = sv_find(s, '/');
	authority = slash < 0 ? s : sv_make(s.p, (size_t)slash);
	s = slash < 0 ? SV("") : sv_drop(s, (size_t)slash);
	while (sv_ends(s, SV("/")))
		s.n--;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == '?' || s.p[i] == '#' || s.p[i] == 0x7f)
			return err_set(e, -EINVAL, "server \"%s\" has a path that is not one", url);
	c->prefix = sv_dup(s);
	if (parse_authority(authority, c) < 0)
		return err_set(e, -EINVAL, "server \"%s\" has no valid host and port", url);
	return 0;
}

/* ---- in a pod ---- */

static char *join(const char *folder, const char *name)
{
	if (name[0] == '/' || !folder || !*folder)
		return mem_strdup(name);
	return mem_printf("%s/%s", folder, name);
}

/* "10.0.0.1", "fd00::1", "[fd00::1]" or a name; the brackets are not part of the host. */
static char *bare_host(const char *host)
{
	struct sv s = sv_str(host);

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = sv_make(s.p + 1, s.n - 2);
	return sv_dup(s);
}

static int read_namespace(const char *folder, struct api_config *c)
{
	char *path = join(folder, "namespace");
	struct buf b;
	int r;

	buf_init(&b, 4096);
	r = fsx_read(path, 256, &b);
	if (r == 0)
		c->ns = sv_dup(sv_trim(buf_sv(&b)));
	buf_done(&b);
	mem_free(path);
	return r == -ENOENT ? 0 : r;
}

int api_config_in_cluster(const char *(*env)(const char *name), const char *folder,
			  struct api_config **out, struct err *e)
{
	const char *host = env("KUBERNETES_SERVICE_HOST"), *port = env("KUBERNETES_SERVICE_PORT");
	struct api_config *c;
	uint64_t n;
	int r;

	if (!host || !*host || !port || !*port)
		return err_set(e, -ENOENT,
			       "not in a pod: KUBERNETES_SERVICE_HOST and "
			       "KUBERNETES_SERVICE_PORT are not set");
	if (sv_u64(sv_str(port), &n) < 0 || n == 0 || n > UINT16_MAX)
		return err_set(e, -EINVAL, "KUBERNETES_SERVICE_PORT \"%s\" is not a port", port);
	c = MEM_NEW(struct api_config);
	c->host = bare_host(host);
	c->port = (uint16_t)n;
	c->prefix = mem_strdup("");
	c->tls = true;
	c->server_name = mem_strdup(c->host);
	c->token_file = join(folder, "token");
	c->ca_file = join(folder, "ca.crt");
	c->source = mem_strdup("in-cluster");
	r = read_namespace(folder, c);
	if (r < 0)
		err_sys(e, r, "%s/namespace", folder);
	else if (!fsx_exists(c->token_file) || !fsx_exists(c->ca_file))
		r = err_set(e, -ENOENT, "%s has no token and ca.crt: is %s false?", folder,
			    "automountServiceAccountToken");
	if (r < 0)
		api_config_free(&c);
	*out = c;
	return r;
}

/* ---- kubeconfig ---- */

struct kubeconfig {
	const struct json *root;
	const char *folder;
	struct api_config *c;
	struct err *e;
};

/* A member that must be a string when present. *out: NULL if absent, null or "". */
static int text_of(struct kubeconfig *k, const struct json *n, const char *key, const char **out)
{
	const struct json *v = json_get(n, key);

	*out = NULL;
	if (json_kind(v) == JSON_NONE || json_kind(v) == JSON_NULL)
		return 0;
	if (json_kind(v) != JSON_STR)
		return err_set(k->e, -EINVAL, "%s must be a string", key);
	*out = json_str(v, NULL);
	if (*out && !**out)
		*out = NULL;
	return 0;
}

static int flag_of(struct kubeconfig *k, const struct json *n, const char *key, bool *out)
{
	const struct json *v = json_get(n, key);

	if (json_kind(v) != JSON_NONE && json_kind(v) != JSON_NULL && json_kind(v) != JSON_BOOL)
		return err_set(k->e, -EINVAL, "%s must be true or false", key);
	*out = json_flag(v, false);
	return 0;
}

static int copy_text(struct kubeconfig *k, const struct json *n, const char *key, char **out)
{
	const char *text;
	int r = text_of(k, n, key, &text);

	*out = mem_strdup(text);
	return r;
}

static int copy_path(struct kubeconfig *k, const struct json *n, const char *key, char **out)
{
	const char *text;
	int r = text_of(k, n, key, &text);

	*out = text ? join(k->folder, text) : NULL;
	return r;
}

/* Base64 of PEM text. */
static int copy_data(struct kubeconfig *k, const struct json *n, const char *key, char **out)
{
	const char *text;
	struct buf b;
	int r = text_of(k, n, key, &text);

	if (r < 0 || !text)
		return r;
	buf_init(&b, PEM_MAX);
	r = base64_decode(sv_str(text), &b);
	if (r == 0 && memchr(buf_sv(&b).p ? buf_sv(&b).p : "", '\0', buf_len(&b)))
		r = -EINVAL;
	if (r < 0)
		err_set(k->e, r, "%s is not base64 of PEM text", key);
	else
		*out = buf_steal(&b);
	buf_done(&b);
	return r;
}

/* Refuses what we cannot do rather than connect as someone else or around a proxy. */
static int refuse(struct kubeconfig *k, const struct json *n, const char *const *keys,
		  const char *instead)
{
	const struct json *v;

	for (; *keys; keys++) {
		v = json_get(n, *keys);
		if (json_kind(v) == JSON_NONE || json_kind(v) == JSON_NULL ||
		    (json_kind(v) == JSON_STR && !*json_str(v, "")))
			continue;
		return err_set(k->e, -ENOTSUP, "\"%s\" is not supported; %s", *keys, instead);
	}
	return 0;
}

/* The entry of `list` ("clusters") called `name`: its `member` ("cluster"). */
static int find_entry(struct kubeconfig *k, const char *list, const char *member, const char *name,
		      const struct json **out)
{
	const struct json *entries = json_get(k->root, list), *entry;

	for (size_t i = 0; i < json_len(entries); i++) {
		entry = json_at(entries, i);
		if (strcmp(json_str(json_get(entry, "name"), ""), name) != 0)
			continue;
		*out = json_get(entry, member);
		if (json_kind(*out) == JSON_OBJ || json_kind(*out) == JSON_NULL)
			return 0;
		break;
	}
	return err_set(k->e, -EINVAL, "%s has no %s named \"%s\"", list, member, name);
}

static int read_cluster(struct kubeconfig *k, const struct json *cluster)
{
	static const char *const refused[] = { "proxy-url", NULL };
	struct api_config *c = k->c;
	const char *server;
	int r;

	r = refuse(k, cluster, refused, "connect to the API server directly");
	if (r == 0)
		r = text_of(k, cluster, "server", &server);
	if (r == 0 && !server)
		r = err_set(k->e, -EINVAL, "the cluster has no server");
	if (r == 0)
		r = parse_server(server, c, k->e);
	if (r == 0)
		r = flag_of(k, cluster, "insecure-skip-tls-verify", &c->insecure_skip_verify);
	if (r == 0)
		r = copy_text(k, cluster, "tls-server-name", &c->server_name);
	if (r == 0)
		r = copy_path(k, cluster, "certificate-authority", &c->ca_file);
	/* Inline data wins over a file, as in client-go. */
	if (r == 0)
		r = copy_data(k, cluster, "certificate-authority-data", &c->ca_pem);
	if (r == 0 && c->tls && !c->server_name)
		c->server_name = mem_strdup(c->host);
	return r;
}

static int read_user(struct kubeconfig *k, const struct json *user)
{
	static const char *const plugins[] = { "exec", "auth-provider", NULL };
	static const char *const others[] = { "username",  "password",	    "as", "as-uid",
					      "as-groups", "as-user-extra", NULL };
	struct api_config *c = k->c;
	int r;

	r = refuse(k, user, plugins,
		   "use a client certificate, a token or a tokenFile "
		   "(kubectl create token makes one)");
	if (r == 0)
		r = refuse(k, user, others, "use a client certificate, a token or a tokenFile");
	if (r == 0)
		r = copy_path(k, user, "client-certificate", &c->cert_file);
	if (r == 0)
		r = copy_data(k, user, "client-certificate-data", &c->cert_pem);
	if (r == 0)
		r = copy_path(k, user, "client-key", &c->key_file);
	if (r == 0)
		r = copy_data(k, user, "client-key-data", &c->key_pem);
	if (r == 0)
		r = copy_text(k, user, "token", &c->token);
	if (r == 0)
		r = copy_path(k, user, "tokenFile", &c->token_file);
	return r;
}

static void prefer(char **winner, char **loser)
{
	if (!*winner)
		return;
	mem_free(*loser);
	*loser = NULL;
}

/* What can only be judged when cluster and user are both known. */
static int check_whole(struct kubeconfig *k)
{
	struct api_config *c = k->c;
	bool cert, key;

	prefer(&c->ca_pem, &c->ca_file);
	prefer(&c->cert_pem, &c->cert_file);
	prefer(&c->key_pem, &c->key_file);
	prefer(&c->token_file, &c->token);
	cert = c->cert_file || c->cert_pem;
	key = c->key_file || c->key_pem;
	if (cert != key)
		return err_set(k->e, -EINVAL, "the user has a client %s without its %s",
			       cert ? "certificate" : "key", cert ? "key" : "certificate");
	if (cert && (c->cert_pem != NULL) != (c->key_pem != NULL))
		return err_set(k->e, -ENOTSUP,
			       "client certificate and key must both be files or both be data");
	if (c->insecure_skip_verify && (c->ca_file || c->ca_pem))
		return err_set(k->e, -EINVAL,
			       "insecure-skip-tls-verify and a certificate authority exclude "
			       "each other");
	if (c->token && (strlen(c->token) > API_CONFIG_TOKEN_MAX || strpbrk(c->token, "\r\n ")))
		return err_set(k->e, -EINVAL, "the token holds white space or is too long");
	return 0;
}

static int read_context(struct kubeconfig *k, const char *context)
{
	const struct json *ctx = NULL, *cluster = NULL, *user = NULL;
	const char *cluster_name = NULL, *user_name = NULL;
	int r = 0;

	if (!context)
		r = text_of(k, k->root, "current-context", &context);
	if (r < 0)
		return r;
	if (!context)
		return err_set(k->e, -EINVAL, "no current-context");
	r = find_entry(k, "contexts", "context", context, &ctx);
	if (r == 0)
		r = text_of(k, ctx, "cluster", &cluster_name);
	if (r == 0)
		r = text_of(k, ctx, "user", &user_name);
	if (r == 0)
		r = copy_text(k, ctx, "namespace", &k->c->ns);
	if (r == 0)
		r = find_entry(k, "clusters", "cluster", cluster_name ? cluster_name : "",
			       &cluster);
	if (r == 0 && user_name)
		r = find_entry(k, "users", "user", user_name, &user);
	if (r == 0)
		r = read_cluster(k, cluster);
	if (r == 0)
		r = read_user(k, user);
	if (r == 0)
		r = check_whole(k);
	return r;
}

/* A kubeconfig is YAML; as JSON text it takes at most six bytes for one. */
static int parse_kubeconfig(struct sv text, struct json **root, struct err *e)
{
	struct buf json;
	int r;

	if (text.n > API_CONFIG_MAX)
		return err_set(e, -E2BIG, "larger than %d bytes", API_CONFIG_MAX);
	buf_init(&json, kubeconfig_limits.bytes);
	r = yaml_to_json(text, &json, e);
	if (r == 0)
		r = json_parse(buf_sv(&json), &kubeconfig_limits, root, e);
	buf_done(&json);
	return r;
}

int api_config_text(struct sv text, const char *folder, const char *context,
		    struct api_config **out, struct err *e)
{
	struct json *root = NULL;
	struct kubeconfig k = { .folder = folder, .e = e };
	int r;

	*out = NULL;
	r = parse_kubeconfig(text, &root, e);
	if (r < 0)
		return r;
	k.root = root;
	k.c = MEM_NEW(struct api_config);
	if (json_kind(root) != JSON_OBJ)
		r = err_set(e, -EINVAL, "not a kubeconfig");
	else
		r = read_context(&k, context);
	json_free(&root);
	if (r < 0)
		api_config_free(&k.c);
	else
		k.c->source = mem_strdup("kubeconfig");
	*out = k.c;
	return r;
}

int api_config_file(const char *path, const char *context, struct api_config **out, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *folder = mem_strndup(path, slash ? (size_t)(slash - path) + (slash == path) : 0);
	struct buf b;
	int r;

	*out = NULL;
	buf_init(&b, (size_t)API_CONFIG_MAX + 1);
	r = fsx_read(path, API_CONFIG_MAX, &b);
	if (r < 0)
		err_sys(e, r, "kubeconfig %s", path);
	else if ((r = api_config_text(buf_sv(&b), folder, context, out, e)) < 0)
		err_wrap(e, r, "kubeconfig %s", path);
	if (r == 0) {
		mem_free((*out)->source);
		(*out)->source = mem_strdup(path);
	}
	buf_done(&b);
	mem_free(folder);
	return r;
}
