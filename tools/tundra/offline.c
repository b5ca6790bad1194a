#include "tools/tundra/offline.h"

#include <errno.h>
#include <stdio.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/takeover.h"
#include "tools/tundra/command.h"

char *offline_folder(const char *plugins)
{
	return mem_printf("%s/" DRIVER_NAME, plugins);
}

int offline_boot_id(char *out, size_t size, struct err *e)
{
	int r = fsx_line("/proc/sys/kernel/random/boot_id", out, size);

	return r < 0 ? err_sys(e, r, "cannot read the boot id") : 0;
}

struct search {
	const char *folder, *prefix, *suffix;
	char *found;
};

static int on_name(void *arg, const char *name)
{
	struct search *s = arg;

	if (!sv_starts(sv_str(name), sv_str(s->prefix)) ||
	    !sv_ends(sv_str(name), sv_str(s->suffix)) || !takeover_listens(s->folder, name))
		return 0;
	s->found = mem_printf("%s/%s", s->folder, name);
	return 1;
}

int offline_check_stopped(const char *folder, const char *registry, struct err *e)
{
	struct search where[] = {
		{ .folder = folder, .prefix = "dra", .suffix = ".sock" },
		{ .folder = registry, .prefix = DRIVER_NAME, .suffix = "-reg.sock" }
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(where); i++) {
		r = fsx_list(where[i].folder, on_name, &where[i]);
		if (where[i].found)
			r = err_set(e, -EBUSY,
				    "a driver runs on this node: it listens at %s; remove it from "
				    "the node first (helm uninstall, or a node selector)",
				    where[i].found);
		else if (r == -ENOENT)
			r = 0;
		else if (r < 0)
			r = err_sys(e, r, "cannot read the folder %s", where[i].folder);
		mem_free(where[i].found);
	}
	return r;
}

char *offline_spec(const char *cdi, const char *uid)
{
	return mem_printf("%s/k8s." DRIVER_NAME "-claim_%s.yaml", cdi, uid);
}

int offline_check_cdi(const struct ledger_file *f, const char *cdi, const char *boot_id,
		      struct err *e)
{
	const char *without = NULL;

	for (size_t i = 0; i < f->claims_n; i++) {
		const struct ledger_claim *c = f->claims[i];
		char *spec;
		bool has;

		if (!c->devices_n || strcmp(c->boot_id, boot_id) != 0)
			continue;
		spec = offline_spec(cdi, c->uid);
		has = fsx_exists(spec);
		mem_free(spec);
		if (has)
			return 0;
		without = c->uid;
	}
	if (!without)
		return 0;
	return err_set(e, -ENOENT,
		       "no CDI spec of any claim is in %s (claim %.64s and all others): is "
		       "--cdi-root right? In a container with the host's root at /host it is "
		       "/host/run/cdi, since /var/run is a link. If those files were removed, end "
		       "the claims' pods and give tundra unprepare --all --force",
		       cdi, without);
}

const char *offline_name(const struct ledger_claim *c, char *out, size_t size)
{
	if (!*c->name)
		return "-"; /* taken over from a driver that keeps none */
	snprintf(out, size, "%s/%s", c->namespace, c->name);
	return out;
}

void offline_devices(const struct ledger_claim *c, struct buf *out)
{
	for (size_t i = 0; i < c->devices_n; i++)
		buf_printf(out, "%s%s%s", i ? "," : "", c->devices[i].device,
			   c->devices[i].admin ? " (admin)" : "");
}
