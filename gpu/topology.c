#include "gpu/topology.h"

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"

/*
 * Links in sysfs are relative ("../../../devices/pci0000:00/...") on real kernels; a test tree may
 * hold absolute ones. In both, the last "/devices/" that is followed by "pci" begins the path.
 */
static struct sv topology_tail(struct sv link)
{
	static const char mark[] = "/devices/pci";
	struct sv tail = SV_NONE;
	size_t i;

	for (i = 0; i + sizeof(mark) - 1 <= link.n; i++)
		if (memcmp(link.p + i, mark, sizeof(mark) - 1) == 0)
			tail = sv_drop(link, i + strlen("/devices/"));
	return tail;
}

int topology_path(const char *sys, const char *bdf, char out[TOPOLOGY_PATH_MAX + 1])
{
	char name[512], link[512];
	struct sv tail, last;
	ptrdiff_t slash;
	int r;

	out[0] = '\0';
	r = snprintf(name, sizeof(name), "%s/bus/pci/devices/%s", sys, bdf);
	if (r < 0 || (size_t)r >= sizeof(name))
		return -ENAMETOOLONG;
	r = fsx_readlink(name, link, sizeof(link));
	if (r < 0)
		return r;
	tail = topology_tail(sv_str(link));
	for (last = tail; (slash = sv_find(last, '/')) >= 0;)
		last = sv_drop(last, (size_t)slash + 1);
	if (tail.n == 0 || last.p == tail.p || !sv_eqs(last, bdf))
		return -EINVAL;
	return sv_copy(out, TOPOLOGY_PATH_MAX + 1, tail) ? 0 : -ENAMETOOLONG;
}

int topology_root(struct sv path, char *out, size_t size)
{
	struct sv rest = path, root = sv_cut(&rest, '/');
	struct sv domain, bus;

	if (!sv_starts(root, SV("pci")) || rest.n == 0)
		return -EINVAL;
	bus = sv_drop(root, 3);
	domain = sv_cut(&bus, ':');
	if (domain.n < 4 || bus.n != 2 || !sv_copy(out, size, root))
		return -EINVAL;
	return 0;
}

/* Root port, then per switch an upstream and a downstream port, then the device. */
int topology_switch(struct sv path, char out[PCI_TEXT_MAX + 1])
{
	struct sv rest = path, part[3] = { SV_NONE, SV_NONE, SV_NONE };
	size_t n = 0;

	out[0] = '\0';
	(void)sv_cut(&rest, '/');
	for (; rest.n; n++) {
		part[0] = part[1];
		part[1] = part[2];
		part[2] = sv_cut(&rest, '/');
	}
	if (n < 4)
		return -ENOENT;
	return pci_normalise(part[0], out) < 0 ? -ENOENT : 0;
}

static size_t topology_find(const struct topology_gpu *gpus, size_t n, const char *pci)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(gpus[i].pci, pci) == 0)
			return i;
	return n;
}

/* Gives both groups the island of the lower address. */
static void topology_join(struct topology_gpu *gpus, size_t n, size_t a, size_t b)
{
	char from[sizeof(gpus->island)], to[sizeof(gpus->island)];
	bool a_first = pci_cmp_text(gpus[a].island, gpus[b].island) <= 0;
	size_t i;

	memcpy(from, gpus[a_first ? b : a].island, sizeof(from));
	memcpy(to, gpus[a_first ? a : b].island, sizeof(to));
	for (i = 0; i < n; i++)
		if (strcmp(gpus[i].island, from) == 0)
			memcpy(gpus[i].island, to, sizeof(to));
}

void topology_islands(struct topology_gpu *gpus, size_t n)
{
	size_t i, j, peer;
	bool linked;

	for (i = 0; i < n; i++)
		sv_copy(gpus[i].island, sizeof(gpus[i].island), sv_str(gpus[i].pci));
	for (i = 0; i < n; i++)
		for (j = 0; j < gpus[i].peers_n; j++) {
			peer = topology_find(gpus, n, gpus[i].peers[j]);
			if (peer < n)
				topology_join(gpus, n, i, peer);
		}
	for (i = 0; i < n; i++) {
		if (gpus[i].switched) {
			sv_copy(gpus[i].island, sizeof(gpus[i].island), SV("nvswitch"));
			continue;
		}
		linked = gpus[i].peers_n > 0;
		for (j = 0; j < n && !linked; j++)
			linked = j != i && strcmp(gpus[i].island, gpus[j].island) == 0;
		if (!linked)
			gpus[i].island[0] = '\0';
	}
}
