/* /proc/driver/nvidia/capabilities and /dev/nvidia-caps, kept in step with the instances. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "test/fakenvml/mig.h"

static void caps_dirs(char *path)
{
	char *p;

	for (p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
}

static void caps_access_path(const struct state_map *m, const struct state_gpu *g, uint32_t gi,
			     uint32_t ci, char *out, unsigned int len)
{
	char leaf[128];

	if (ci == NVML_NO_INSTANCE)
		snprintf(leaf, sizeof(leaf), "driver/nvidia/capabilities/gpu%u/mig/gi%u/access",
			 g->minor, gi);
	else
		snprintf(leaf, sizeof(leaf),
			 "driver/nvidia/capabilities/gpu%u/mig/gi%u/ci%u/access", g->minor, gi, ci);
	state_path(m, m->st->proc, leaf, out, len);
}

static void caps_node_path(const struct state_map *m, const struct state_gpu *g, uint32_t gi,
			   uint32_t ci, char *out, unsigned int len)
{
	char leaf[64];

	snprintf(leaf, sizeof(leaf), "nvidia-caps/nvidia-cap%u", state_cap_minor(g->minor, gi, ci));
	state_path(m, m->st->dev, leaf, out, len);
}

void caps_add(const struct state_map *m, const struct state_gpu *g, const struct state_gi *gi,
	      const struct state_ci *ci)
{
	uint32_t id = ci != NULL ? ci->id : NVML_NO_INSTANCE;
	uint32_t minor = state_cap_minor(g->minor, gi->id, id);
	char path[2 * STATE_PATH];
	FILE *f;
	int fd;

	if (m->st->proc[0] == '\0')
		return;
	caps_access_path(m, g, gi->id, id, path, sizeof(path));
	caps_dirs(path);
	f = fopen(path, "we");
	if (f != NULL) {
		fprintf(f, "DeviceFileMinor: %u\nDeviceFileMode: 292\nDeviceFileModify: 1\n",
			minor);
		fclose(f);
	}
	caps_node_path(m, g, gi->id, id, path, sizeof(path));
	caps_dirs(path);
	if (m->st->make_nodes) {
		mknod(path, S_IFCHR | 0444, makedev(m->st->caps_major, minor));
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	if (fd >= 0)
		close(fd);
}

void caps_remove(const struct state_map *m, const struct state_gpu *g, const struct state_gi *gi,
		 const struct state_ci *ci)
{
	uint32_t id = ci != NULL ? ci->id : NVML_NO_INSTANCE;
	char path[2 * STATE_PATH];

	if (m->st->proc[0] == '\0')
		return;
	caps_node_path(m, g, gi->id, id, path, sizeof(path));
	unlink(path);
	caps_access_path(m, g, gi->id, id, path, sizeof(path));
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}
