#include "tools/tundra/uninstall.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/mem.h"
#include "tools/tundra/node_options.h"

#define LEFT_MAX 4096

/* Names that are ours: what comes before and behind anything in between; both alone is the name. */
struct pattern {
	const char *prefix, *suffix;
};
/* Sockets also under the hidden name that transport/sock binds first. */
static const struct pattern in_folder[] = {
	{ ".ra", ".sock" },	   { "dra", ".sock" },
	{ "tundra-cdi-hook", "" }, { "checkpoint.json.taken-over", "" },
	{ "ledger.handover", "" }, { "ledger.compact", "" },
	{ "ledger.damaged", "" },  { "ledger.exported", "" },
	{ ".doctor", "" },
};
static const struct pattern in_registry[] = { { DRIVER_NAME, "-reg.sock" },
					      { ".pu.nvidia.com", "-reg.sock" } };
static const struct pattern in_cdi[] = { { "k8s." DRIVER_NAME "-claim_", ".yaml" } };
static const struct pattern in_run[] = { { "status.sock", "" },
					 { ".tatus.sock", "" },
					 { "state.json", "" } };

struct sweep {
	const char *folder;
	const struct pattern *patterns;
	size_t n;
	struct err *e;
	int status; /* of the first failure */
};

static void remove_one(struct sweep *s, const char *name)
{
	char *path = mem_printf("%s/%s", s->folder, name);
	bool there = fsx_exists(path) || fsx_is_temp(name);
	int r = fsx_remove(path);

	if (r < 0 && !s->status)
		s->status = err_sys(s->e, r, "cannot remove %s", path);
	if (!r && there)
		printf("removed %s\n", path);
	mem_free(path);
}

/* Temporary files are of a program that was killed; no other of ours writes here now. */
static int on_name(void *arg, const char *name)
{
	struct sweep *s = arg;

	if (fsx_is_temp(name))
		remove_one(s, name);
	for (size_t i = 0; i < s->n; i++)
		if (sv_starts(sv_str(name), sv_str(s->patterns[i].prefix)) &&
		    sv_ends(sv_str(name), sv_str(s->patterns[i].suffix))) {
			remove_one(s, name);
			break;
		}
	return 0;
}

static int sweep(const char *folder, const struct pattern *patterns, size_t n, struct err *e)
{
	struct sweep s = { .folder = folder, .patterns = patterns, .n = n, .e = e };
	int r = fsx_list(folder, on_name, &s);

	if (r < 0 && r != -ENOENT)
		return err_sys(e, r, "cannot read the folder %s", folder);
	return s.status;
}

static int add_name(void *arg, const char *name)
{
	struct buf *left = arg;

	buf_printf(left, "%s%s", buf_len(left) ? ", " : "", name);
	return 0;
}

static void remove_folder(const char *folder)
{
	struct buf left;

	buf_init(&left, LEFT_MAX);
	if (rmdir(folder) == 0)
		printf("removed %s\n", folder);
	else if (errno != ENOENT && fsx_list(folder, add_name, &left) == 0 && buf_len(&left))
		printf("left %s, it has files that are not ours: %s\n", folder, buf_cstr(&left));
	buf_done(&left);
}

static int remove_specs(const struct uninstall_conf *conf, struct err *e)
{
	char *checkpoint = mem_printf("%s/checkpoint.json", conf->folder);
	int r = 0;

	if (fsx_exists(checkpoint))
		printf("left the CDI specs in %s as they are: they may belong to the driver that "
		       "wrote %s\n",
		       conf->cdi, checkpoint);
	else
		r = sweep(conf->cdi, in_cdi, ARRAY_LEN(in_cdi), e);
	mem_free(checkpoint);
	return r;
}

/* Both go together, and last: who finds neither begins anew. */
static int remove_ledger(const char *folder, struct err *e)
{
	struct sweep s = { .folder = folder, .e = e };

	remove_one(&s, "ledger");
	remove_one(&s, "ledger.lock");
	return s.status;
}

int uninstall_run(const struct uninstall_conf *conf, struct err *e)
{
	int first = 0, r;

	r = remove_specs(conf, e);
	first = first ? first : r;
	r = sweep(conf->registry, in_registry, ARRAY_LEN(in_registry), e);
	first = first ? first : r;
	r = sweep(conf->run, in_run, ARRAY_LEN(in_run), e);
	first = first ? first : r;
	r = sweep(conf->folder, in_folder, ARRAY_LEN(in_folder), e);
	first = first ? first : r;
	if (fsx_exists(conf->folder)) {
		r = remove_ledger(conf->folder, e);
		first = first ? first : r;
	}
	remove_folder(conf->folder);
	(void)rmdir(conf->run);
	return first;
}
