#include "k8s/takeover.h"

#include <errno.h>
#include <time.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "k8s/cdi.h"
#include "k8s/checkpoint.h"
#include "k8s/ledger_file.h"
#include "transport/sock.h"

#define ASIDE_MAX 100
#define BACK                                                                                       \
	"; nothing was changed: let the driver that ran here before run again, end the pods of "   \
	"that claim, then start tundra"
#define REMOVE "; if no pod of this node uses a GPU, remove that file"

bool takeover_listens(const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	struct sock_addr addr;
	int fd = -1, r = sock_addr_unix(&addr, path, NULL);

	if (!r)
		r = sock_connect(&addr, &fd);
	sock_close(&fd);
	mem_free(path);
	return r >= 0 || r == -EAGAIN; /* its queue of callers is full */
}

int takeover_set_aside(const char *path, const char *suffix, char **to, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *name = mem_printf("%s%s", path, suffix), *folder;
	int r;

	for (int i = 2; fsx_exists(name) && i < ASIDE_MAX; i++) {
		mem_free(name);
		name = mem_printf("%s%s.%d", path, suffix, i);
	}
	must(slash);
	folder = mem_strndup(path, (size_t)(slash - path));
	r = fsx_exists(name) ? -EEXIST : rename(path, name) ? -errno : fsx_sync_dir(folder);
	if (r < 0)
		err_sys(e, r, "cannot rename %s to %s", path, name);
	mem_free(folder);
	if (to && !r)
		*to = name;
	else
		mem_free(name);
	return r;
}

/* ---- reading and comparing ---- */

static int read_checkpoint(const struct takeover_conf *c, const char *path, struct checkpoint **out,
			   struct err *e)
{
	struct checkpoint_conf conf = { .driver = c->driver,
					.pool = c->pool,
					.boot_id = c->boot_id,
					.wall_ms = (uint64_t)time(NULL) * 1000 };
	struct buf file;
	int r;

	buf_init(&file, CHECKPOINT_MAX);
	r = fsx_read(path, CHECKPOINT_MAX, &file);
	if (r < 0 && r != -ENOENT)
		r = err_sys(e, -EEXIST,
			    "cannot read %s, the state of the driver that ran here before", path);
	else if (!r)
		r = checkpoint_decode(buf_sv(&file), &conf, out, e);
	buf_done(&file);
	if (r == -EBADMSG || r == -ENOTSUP) {
		char why[ERR_TEXT_MAX];

		sv_copy(why, sizeof(why), sv_str(e->text));
		r = err_set(e, -EEXIST,
			    "%.120s of the driver that ran here before cannot be taken over: "
			    "%.180s%s",
			    path, why, r == -ENOTSUP ? BACK : REMOVE);
	}
	return r;
}

static bool same_devices(const struct ledger_claim *a, const struct ledger_claim *b)
{
	if (a->devices_n != b->devices_n)
		return false;
	for (size_t i = 0; i < a->devices_n; i++)
		if (strcmp(a->devices[i].identity, b->devices[i].identity) != 0 ||
		    a->devices[i].admin != b->devices[i].admin)
			return false;
	return true;
}

/*
 * Who has a GPU for itself by our ledger. Where that names two, neither is forgotten: one of them
 * may be the claim that is compared.
 */
struct owners {
	const struct ledger_file *file;
	struct map first, second; /* identity -> struct ledger_claim */
};

static void owners_init(struct owners *o, const struct ledger_file *f)
{
	o->file = f;
	map_init(&o->first);
	map_init(&o->second);
	for (size_t i = 0; i < f->claims_n; i++) {
		for (size_t k = 0; k < f->claims[i]->devices_n; k++) {
			const struct ledger_device *d = &f->claims[i]->devices[k];
			struct map *m =
			    map_get(&o->first, sv_str(d->identity)) ? &o->second : &o->first;

			if (!d->admin)
				(void)map_put(m, sv_str(d->identity), f->claims[i]);
		}
	}
}

static void owners_done(struct owners *o)
{
	map_done(&o->first);
	map_done(&o->second);
}

/* A claim of our ledger that has this GPU for itself, and is not `uid`; NULL: none. */
static const struct ledger_claim *owner(const struct owners *o, const char *identity,
					const char *uid)
{
	const struct ledger_claim *one = map_get(&o->first, sv_str(identity));
	const struct ledger_claim *two = map_get(&o->second, sv_str(identity));

	if (one && strcmp(one->uid, uid) != 0)
		return one;
	return two && strcmp(two->uid, uid) != 0 ? two : NULL;
}

/* The ledger has records already: of a take-over that was cut short, or of a time before. */
static int compare(const struct ledger_claim *c, const struct owners *o, struct err *e)
{
	const struct ledger_claim *ours = ledger_file_find(o->file, c->uid);

	if (ours && !same_devices(ours, c))
		return err_set(e, -EEXIST, "claim %.64s has other GPUs in it than in our ledger",
			       c->uid);
	for (size_t i = 0; i < c->devices_n; i++) {
		const struct ledger_device *d = &c->devices[i];

		ours = d->admin ? NULL : owner(o, d->identity, c->uid);
		if (ours)
			return err_set(e, -EEXIST,
				       "GPU %.64s is prepared for claim %.64s in it and for claim "
				       "%.64s in our ledger",
				       d->identity, c->uid, ours->uid);
	}
	return 0;
}

static int compare_all(const char *path, const struct checkpoint *cp, const struct ledger_file *f,
		       struct err *e)
{
	char why[ERR_TEXT_MAX];
	struct owners owners;
	int r = 0;

	owners_init(&owners, f);
	for (size_t i = 0; !r && i < cp->claims_n; i++)
		r = compare(cp->claims[i], &owners, e);
	owners_done(&owners);
	if (!r)
		return 0;
	sv_copy(why, sizeof(why), sv_str(e->text));
	return err_set(e, r,
		       "%.120s and the ledger disagree: %.200s; nothing was changed: end the pods "
		       "of one of them, or, if ours is outdated, drop it: tundra unprepare --force "
		       "--claim UID",
		       path, why);
}

/* ---- writing ---- */

static int write_records(const struct checkpoint *cp, struct ledger_file *f, struct err *e)
{
	const struct ledger_claim **fresh =
	    mem_calloc(cp->claims_n ? cp->claims_n : 1, sizeof(struct ledger_claim *));
	size_t n = 0;
	int r;

	for (size_t i = 0; i < cp->claims_n; i++)
		if (!ledger_file_find(f, cp->claims[i]->uid))
			fresh[n++] = cp->claims[i];
	r = ledger_file_put(f, fresh, n, e);
	mem_free(fresh);
	return r < 0 ? err_wrap(e, r, "cannot write the ledger") : 0;
}

static int remove_started(const struct takeover_conf *c, const struct checkpoint *cp,
			  const struct ledger_file *f, struct err *e)
{
	struct cdi_conf conf = { .root = c->cdi, .driver = c->driver, .hook = "" };
	struct cdi *cdi = cdi_new(&conf);
	int r = 0;

	for (size_t i = 0; !r && i < cp->started_n; i++) {
		if (ledger_file_find(f, cp->started[i]))
			continue; /* ours: prepared by us since */
		r = cdi_remove(cdi, cp->started[i], e);
		log_info("a prepare that the driver before had begun is dropped, the kubelet asks "
			 "again",
			 LOG_S("uid", cp->started[i]));
	}
	cdi_free(&cdi);
	return r;
}

static void tell(const struct checkpoint *cp, const char *aside)
{
	for (size_t i = 0; i < cp->claims_n; i++)
		for (size_t k = 0; k < cp->claims[i]->devices_n; k++)
			log_info("claim taken over", LOG_S("uid", cp->claims[i]->uid),
				 LOG_S("device", cp->claims[i]->devices[k].device),
				 LOG_S("gpu", cp->claims[i]->devices[k].identity));
	if (cp->stale)
		log_info("the state of the driver that ran here before is of an earlier boot: "
			 "nothing of it holds",
			 LOG_I("claims", cp->stale_n), LOG_S("kept_as", aside));
	else
		log_info("took over from the driver that ran here before",
			 LOG_I("claims", cp->claims_n), LOG_I("begun", cp->started_n),
			 LOG_S("kept_as", aside));
}

static int take(const struct takeover_conf *c, const char *path, const struct checkpoint *cp,
		struct err *e)
{
	struct ledger_file *known = NULL, *f = NULL;
	char *aside = NULL;
	int r = ledger_file_read(c->ledger, &known, e);

	if (!r)
		r = compare_all(path, cp, known, e);
	if (!r)
		r = ledger_file_open(c->ledger, c->boot_id, known, &f, e);
	if (r == -EBUSY)
		err_wrap(e, r, "%s is to be taken over", path);
	if (!r)
		r = write_records(cp, f, e);
	if (!r)
		r = remove_started(c, cp, f, e);
	if (!r)
		r = takeover_set_aside(path, ".taken-over", &aside, e);
	if (!r)
		tell(cp, aside);
	mem_free(aside);
	ledger_file_free(&f);
	ledger_file_free(&known);
	return r;
}

int takeover_look(const struct takeover_conf *conf, struct takeover_found *out, struct err *e)
{
	char *path = mem_printf("%s/checkpoint.json", conf->folder);
	struct ledger_file *known = NULL;
	struct checkpoint *cp = NULL;
	int r = read_checkpoint(conf, path, &cp, e);

	*out = (struct takeover_found){ 0 };
	if (cp)
		r = ledger_file_read(conf->ledger, &known, e);
	if (cp && !r)
		r = compare_all(path, cp, known, e);
	if (cp && !r)
		*out = (struct takeover_found){ cp->claims_n, cp->started_n, cp->stale_n };
	ledger_file_free(&known);
	checkpoint_free(&cp);
	mem_free(path);
	return r == -ENOENT ? 0 : r;
}

int takeover_run(const struct takeover_conf *conf, struct err *e)
{
	char *path = mem_printf("%s/checkpoint.json", conf->folder);
	struct checkpoint *cp = NULL;
	/* Asked before it is read: what that driver writes afterwards would be lost. */
	bool runs = takeover_listens(conf->folder, "dra.sock");
	int r = read_checkpoint(conf, path, &cp, e);

	if (r == -ENOENT)
		r = 0;
	else if (cp && runs)
		r = err_set(e, -EBUSY,
			    "the driver that wrote %s still runs: it listens at %s/dra.sock; "
			    "remove it from this node first",
			    path, conf->folder);
	/* An empty one is left where it is: it says the same to that driver as to us. */
	else if (cp && (cp->claims_n || cp->started_n || cp->stale))
		r = take(conf, path, cp, e);
	checkpoint_free(&cp);
	mem_free(path);
	return r;
}
