#include "gpu/topology.h"

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"

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

/* An address that a GPU has or is linked to. */
struct topology_end {
	const char *pci;
	size_t gpu;
};

static int topology_by_address(const void *a, const void *b)
{
	return pci_cmp_text(((const struct topology_end *)a)->pci,
			    ((const struct topology_end *)b)->pci);
}

static size_t topology_ends(const struct topology_gpu *gpus, size_t n, struct topology_end *ends)
{
	size_t i, j, ends_n = 0;

	for (i = 0; i < n; i++) {
		if (!*gpus[i].pci)
			continue;
		ends[ends_n++] = (struct topology_end){ gpus[i].pci, i };
		for (j = 0; j < gpus[i].peers_n; j++)
			ends[ends_n++] = (struct topology_end){ gpus[i].peers[j], i };
	}
	qsort(ends, ends_n, sizeof(*ends), topology_by_address);
	return ends_n;
}

static void topology_join(size_t *group, size_t n, size_t a, size_t b)
{
	size_t from = group[a], to = group[b], i;

	for (i = 0; i < n && from != to; i++)
		if (group[i] == from)
			group[i] = to;
}

static bool topology_linked(const struct topology_gpu *gpus, const size_t *group, size_t n,
			    size_t i)
{
	size_t j;

	for (j = 0; j < n; j++)
		if (j != i && group[j] == group[i])
			return true;
	return gpus[i].peers_n > 0;
}

/* Who shares an address with another is linked to it, or both are to a third: present or not. */
void topology_islands(struct topology_gpu *gpus, size_t n)
{
	struct topology_end *ends _mem_free_ =
	    mem_calloc(n * (TOPOLOGY_PEERS_MAX + 1) + 1, sizeof(*ends));
	const char **names _mem_free_ = mem_calloc(n + 1, sizeof(*names));
	size_t *group _mem_free_ = mem_calloc(n + 1, sizeof(*group));
	size_t ends_n = topology_ends(gpus, n, ends), i;

	for (i = 0; i < n; i++)
		group[i] = i;
	for (i = 1; i < ends_n; i++)
		if (pci_cmp_text(ends[i - 1].pci, ends[i].pci) == 0)
			topology_join(group, n, ends[i - 1].gpu, ends[i].gpu);
	for (i = ends_n; i-- > 0;)
		names[group[ends[i].gpu]] = ends[i].pci;
	for (i = 0; i < n; i++) {
		const char *name = names[group[i]];

		if (gpus[i].switched)
			name = "nvswitch";
		else if (!name || !topology_linked(gpus, group, n, i))
			name = "";
		sv_copy(gpus[i].island, sizeof(gpus[i].island), sv_str(name));
	}
}
