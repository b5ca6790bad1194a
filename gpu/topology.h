#pragma once
/*
 * Where a device sits: its path through PCIe bridges and which GPUs are joined by NVLink (or a
 * vendor's like). Paths come from the worker (sysfs may be slow); all else is arithmetic.
 */
#include "gpu/pci.h"

enum {
	TOPOLOGY_PATH_MAX = 255, /* a dozen bridges deep; real ones have up to seven */
	TOPOLOGY_ISLAND_MAX = 31,
	TOPOLOGY_PEERS_MAX = 18, /* distinct neighbours of one GPU; more links go to switches */
};

/*
 * Resolves <sys>/bus/pci/devices/<bdf> by readlink(2) to what stands behind "devices/":
 * "pci0000:00/0000:00:01.0/0000:65:00.0". -ENOENT; -EINVAL when it is not below a PCI root.
 */
int topology_path(const char *sys, const char *bdf, char out[TOPOLOGY_PATH_MAX + 1]) NODISCARD;
/* "pci0000:00" of such a path. -EINVAL. */
int topology_root(struct sv path, char *out, size_t size) NODISCARD;
/*
 * Address of the upstream port of the innermost PCIe switch above the device: two devices with the
 * same value reach each other without the root complex. -ENOENT without a switch.
 */
int topology_switch(struct sv path, char out[PCI_TEXT_MAX + 1]) NODISCARD;

struct topology_gpu {
	char pci[PCI_TEXT_MAX + 1];
	char peers[TOPOLOGY_PEERS_MAX][PCI_TEXT_MAX + 1]; /* GPUs at the other end of a link */
	size_t peers_n;
	bool switched;			      /* has links to a link switch */
	char island[TOPOLOGY_ISLAND_MAX + 1]; /* answer; "" = not linked */
};
/*
 * Fills `island`: equal for GPUs that reach each other over links. All GPUs of a node with link
 * switches are on one fabric, "nvswitch"; without, it is the lowest PCI address among them and all
 * that they are linked to. So it depends neither on the order of discovery nor on which of them are
 * there: a GPU that is lost still has its name in its neighbours' links.
 */
void topology_islands(struct topology_gpu *gpus, size_t n);
