#include "k8s/cdi.h"

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"

#define SPEC_MAX      ((size_t)4 << 20) /* 32 devices of a node with every driver file: about 200 kB */
#define FRAGMENT_MAX  ((size_t)1 << 20)
#define PATH_MAX_OURS 512

struct cdi {
	char *root, *kind, *prefix, *hook;
	struct buf common; /* members of containerEdits, rendered; empty = none */
	bool common_gids;
	struct buf spec, present;  /* reused for every file */
	uint64_t written, version; /* version: of the common edits, counted */
};

static void write_node(struct jsonw *w, const struct gpu_edit_node *n)
{
	jsonw_obj(w);
	jsonw_kstr(w, "path", n->path);
	if (n->host && !sv_eqs(sv_str(n->host), n->path))
		jsonw_kstr(w, "hostPath", n->host);
	if (n->major > 0) {
		jsonw_kstr(w, "type", "c");
		jsonw_ki64(w, "major", n->major);
	}
	if (n->minor > 0)
		jsonw_ki64(w, "minor", n->minor);
	if (n->mode)
		jsonw_ki64(w, "fileMode", n->mode);
	jsonw_kstr(w, "permissions", "rwm");
	if (n->gid)
		jsonw_ki64(w, "gid", n->gid);
	jsonw_end(w);
}

static void write_mount(struct jsonw *w, const struct gpu_edit_mount *m)
{
	jsonw_obj(w);
	jsonw_kstr(w, "hostPath", m->host);
	jsonw_kstr(w, "containerPath", m->path);
	jsonw_karr(w, "options");
	for (const char *const *o = m->options; o && *o; o++)
		jsonw_str(w, *o);
	jsonw_end(w);
	jsonw_end(w);
}

/* args[0] is the name upstream's hook goes by; runtimes show it, our program ignores it. */
static void write_hook(struct jsonw *w, const char *program, const struct gpu_edit_hook *h)
{
	jsonw_obj(w);
	jsonw_kstr(w, "hookName", "createContainer");
	jsonw_kstr(w, "path", program);
	jsonw_karr(w, "args");
	jsonw_str(w, "nvidia-cdi-hook");
	for (const char *const *a = h->args; *a; a++)
		jsonw_str(w, *a);
	jsonw_end(w);
	jsonw_end(w);
}

/* The members of a containerEdits object; empty kinds are left out. */
static void write_edits(struct jsonw *w, const char *program, const struct gpu_edits *e)
{
	if (e->env_n) {
		jsonw_karr(w, "env");
		for (size_t i = 0; i < e->env_n; i++)
			jsonw_str(w, e->env[i]);
		jsonw_end(w);
	}
	if (e->nodes_n) {
		jsonw_karr(w, "deviceNodes");
		for (size_t i = 0; i < e->nodes_n; i++)
			write_node(w, &e->nodes[i]);
		jsonw_end(w);
	}
	if (e->mounts_n) {
		jsonw_karr(w, "mounts");
		for (size_t i = 0; i < e->mounts_n; i++)
			write_mount(w, &e->mounts[i]);
		jsonw_end(w);
	}
	if (e->hooks_n) {
		jsonw_karr(w, "hooks");
		for (size_t i = 0; i < e->hooks_n; i++)
			write_hook(w, program, &e->hooks[i]);
		jsonw_end(w);
	}
	if (e->gids_n) {
		jsonw_karr(w, "additionalGids");
		for (size_t i = 0; i < e->gids_n; i++)
			jsonw_i64(w, e->gids[i]);
		jsonw_end(w);
	}
}

struct cdi *cdi_new(const struct cdi_conf *conf)
{
	struct cdi *c = MEM_NEW(struct cdi);

	c->root = mem_strdup(conf->root);
	c->kind = mem_printf("k8s.%s/claim", conf->driver);
	c->prefix = mem_printf("k8s.%s-claim_", conf->driver);
	c->hook = mem_strdup(conf->hook);
	buf_init(&c->common, FRAGMENT_MAX);
	buf_init(&c->spec, SPEC_MAX);
	buf_init(&c->present, SPEC_MAX);
	return c;
}

void cdi_free(struct cdi **cp)
{
	struct cdi *c = *cp;

	if (!c)
		return;
	mem_free(c->root);
	mem_free(c->kind);
	mem_free(c->prefix);
	mem_free(c->hook);
	buf_done(&c->common);
	buf_done(&c->spec);
	buf_done(&c->present);
	mem_free(c);
	*cp = NULL;
}

/* Rendered as an object and stored without its braces, so that it can be put into any spec. */
void cdi_set_common(struct cdi *c, const struct gpu_edits *common)
{
	struct buf out;
	struct jsonw w;
	struct sv text;

	c->version++;
	buf_clear(&c->common);
	c->common_gids = common && common->gids_n > 0;
	if (!common)
		return;
	buf_init(&out, FRAGMENT_MAX);
	jsonw_init(&w, &out);
	jsonw_obj(&w);
	write_edits(&w, c->hook, common);
	jsonw_end(&w);
	text = buf_sv(&out);
	must(!out.full && text.n >= 2);
	buf_put(&c->common, text.p + 1, text.n - 2);
	buf_done(&out);
}

void cdi_id(const struct cdi *c, const char *uid, const char *device, struct buf *out)
{
	buf_printf(out, "%s=%s-%s", c->kind, uid, device);
}

static bool repeated(const struct cdi_device *devices, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (sv_eqs(sv_str(devices[j].device), devices[i].device))
			return true;
	return false;
}

/* A CDI device with empty edits is invalid, so a device that needs nothing says its name. */
static void write_device(struct cdi *c, struct jsonw *w, const char *uid,
			 const struct cdi_device *d)
{
	const struct gpu_edits *e = d->edits;
	bool empty = !e || !(e->env_n || e->nodes_n || e->mounts_n || e->hooks_n);

	jsonw_obj(w);
	jsonw_key(w, "name");
	jsonw_fmt(w, "%s-%s", uid, d->device);
	jsonw_kobj(w, "containerEdits");
	if (empty) {
		jsonw_karr(w, "env");
		jsonw_fmt(w, "DRA_DEVICE=%s", d->device);
		jsonw_end(w);
	} else {
		write_edits(w, c->hook, e);
	}
	jsonw_end(w);
	jsonw_end(w);
}

/* additionalGids came with 0.7.0; hostPath of device nodes with 0.5.0. */
static const char *version_needed(const struct cdi *c, const struct cdi_device *devices, size_t n)
{
	if (c->common_gids)
		return "0.7.0";
	for (size_t i = 0; i < n; i++)
		if (devices[i].edits && devices[i].edits->gids_n)
			return "0.7.0";
	return "0.5.0";
}

static void render(struct cdi *c, const char *uid, const struct cdi_device *devices, size_t n)
{
	struct jsonw w;

	buf_clear(&c->spec);
	jsonw_init(&w, &c->spec);
	jsonw_obj(&w);
	jsonw_kstr(&w, "cdiVersion", version_needed(c, devices, n));
	jsonw_kstr(&w, "kind", c->kind);
	jsonw_karr(&w, "devices");
	for (size_t i = 0; i < n; i++)
		if (!repeated(devices, i))
			write_device(c, &w, uid, &devices[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	if (!buf_len(&c->common))
		return;
	/* The writer's closing brace makes room for the fragment that is kept rendered. */
	c->spec.end--;
	buf_puts(&c->spec, ",\"containerEdits\":{");
	buf_put_sv(&c->spec, buf_sv(&c->common));
	buf_puts(&c->spec, "}}");
}

static int spec_path(const struct cdi *c, const char *uid, char *path, size_t size, struct err *e)
{
	int n;

	if (!*uid || sv_find(sv_str(uid), '/') >= 0)
		return err_set(e, -EINVAL, "\"%s\" is no claim UID", uid);
	n = snprintf(path, size, "%s/%s%s.yaml", c->root, c->prefix, uid);
	if (n < 0 || (size_t)n >= size)
		return err_set(e, -ENAMETOOLONG, "path of the CDI spec of claim %s is too long",
			       uid);
	return 0;
}

int cdi_write(struct cdi *c, const char *uid, const struct cdi_device *devices, size_t n,
	      struct err *e)
{
	char path[PATH_MAX_OURS];
	int r = spec_path(c, uid, path, sizeof(path), e);

	if (r < 0)
		return r;
	render(c, uid, devices, n);
	if (c->spec.full)
		return err_set(e, -E2BIG, "the CDI spec of claim %s is larger than %zu bytes", uid,
			       SPEC_MAX);
	buf_clear(&c->present);
	if (!fsx_read(path, SPEC_MAX, &c->present) && sv_eq(buf_sv(&c->present), buf_sv(&c->spec)))
		return 0;
	r = fsx_replace(path, buf_sv(&c->spec), 0644, 0);
	if (r == -ENOENT && !fsx_mkdirs(c->root, 0755))
		r = fsx_replace(path, buf_sv(&c->spec), 0644, 0);
	if (r < 0)
		return err_sys(e, r, "cannot write the CDI spec %s", path);
	c->written += buf_len(&c->spec);
	return CDI_E_WRITTEN;
}

void cdi_write_ahead(struct cdi *c, const char *uid, const struct cdi_device *devices, size_t n,
		     struct cdi_ahead *a)
{
	char path[PATH_MAX_OURS], temp[PATH_MAX_OURS];

	cdi_drop_ahead(a);
	if (spec_path(c, uid, path, sizeof(path), NULL) < 0)
		return;
	render(c, uid, devices, n);
	if (c->spec.full || fsx_stage(path, buf_sv(&c->spec), 0644, temp, sizeof(temp)) < 0)
		return;
	c->written += buf_len(&c->spec);
	*a = (struct cdi_ahead){ mem_strdup(temp), c->version };
}

int cdi_take_ahead(struct cdi *c, const char *uid, struct cdi_ahead *a, struct err *e)
{
	char path[PATH_MAX_OURS];
	int r = spec_path(c, uid, path, sizeof(path), e);

	if (r < 0 || !a->temp)
		return r;
	/* Gone meanwhile, with its folder or by whoever tidied up: no reason to fail. */
	if (a->version == c->version && rename(a->temp, path) == 0)
		r = CDI_E_WRITTEN;
	else
		(void)unlink(a->temp);
	mem_free(a->temp);
	a->temp = NULL;
	return r;
}

void cdi_drop_ahead(struct cdi_ahead *a)
{
	if (!a->temp)
		return;
	(void)unlink(a->temp);
	mem_free(a->temp);
	a->temp = NULL;
}

int cdi_remove(struct cdi *c, const char *uid, struct err *e)
{
	char path[PATH_MAX_OURS];
	int r = spec_path(c, uid, path, sizeof(path), e);

	if (r < 0)
		return r;
	r = fsx_remove(path);
	return r < 0 ? err_sys(e, r, "cannot remove the CDI spec %s", path) : 0;
}

uint64_t cdi_bytes_written(const struct cdi *c)
{
	return c->written;
}
