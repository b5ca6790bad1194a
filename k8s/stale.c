#include "k8s/stale.h"

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/sv.h"
#include "transport/sock.h"

struct sweep {
	const char *folder, *name, *suffix;
	size_t removed;
};

static bool is_ours(const struct sweep *s, struct sv file)
{
	struct sv rest;

	if (!sv_starts(file, sv_str(s->name)))
		return false;
	rest = sv_drop(file, strlen(s->name));
	return sv_ends(rest, sv_str(s->suffix)) && (rest.n == strlen(s->suffix) || *rest.p == '-');
}

static int on_file(void *arg, const char *name)
{
	struct sweep *s = arg;
	char *path;

	if (!is_ours(s, sv_str(name)))
		return 0;
	path = mem_printf("%s/%s", s->folder, name);
	if (sock_unix_is_dead(path)) {
		if (fsx_remove(path) < 0) {
			log_warn("socket of a dead instance cannot be removed",
				 LOG_S("socket", path));
		} else {
			log_info("socket of a dead instance removed", LOG_S("socket", path));
			s->removed++;
		}
	}
	mem_free(path);
	return 0;
}

size_t stale_sockets_remove(const char *folder, const char *name, const char *suffix)
{
	struct sweep s = { folder, name, suffix, 0 };
	int r = fsx_list(folder, on_file, &s);

	if (r < 0)
		log_warn("cannot look for sockets of dead instances", LOG_S("folder", folder),
			 LOG_S("error", strerror(-r)));
	return s.removed;
}
