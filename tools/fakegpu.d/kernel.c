/* What the kernel shows of the GPUs: /proc/driver/nvidia, /proc/devices, sysfs, /dev. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/fakenvml/mig.h"
#include "tools/fakegpu.d/fakegpu.h"

static const char *in_proc(const struct state_map *m, char *buf, unsigned int len, const char *leaf)
{
	state_path(m, m->st->proc, leaf, buf, len);
	return buf;
}

static const char *in_dev(const struct state_map *m, char *buf, unsigned int len, const char *leaf)
{
	state_path(m, m->st->dev, leaf, buf, len);
	return buf;
}

static bool has_switches(const struct state *st)
{
	return st->gpu_count > 0 && st->gpu[0].link_count != 0 &&
	       st->gpu[0].link_peer == STATE_GPUS && strcmp(st->profile, "gb200") != 0;
}

static bool has_imex(const struct state *st)
{
	return strcmp(st->profile, "gb200") == 0;
}

/* One PCI function: its folder below the bridges, and the flat link that everyone starts from. */
static void put_pci(const char *root, const char *upstream, const char *bdf, uint32_t id,
		    uint32_t sub_id, uint32_t class, int numa)
{
	char dir[512];
	char path[1024];

	join(dir, sizeof(dir), "%s/sys/devices/%s/%s", root, upstream, bdf);
	put(join(path, sizeof(path), "%s/vendor", dir), "0x%04x\n", id & 0xffff);
	put(join(path, sizeof(path), "%s/device", dir), "0x%04x\n", id >> 16);
	put(join(path, sizeof(path), "%s/subsystem_vendor", dir), "0x%04x\n", sub_id & 0xffff);
	put(join(path, sizeof(path), "%s/subsystem_device", dir), "0x%04x\n", sub_id >> 16);
	put(join(path, sizeof(path), "%s/class", dir), "0x%06x\n", class);
	put(join(path, sizeof(path), "%s/revision", dir), "0xa1\n");
	put(join(path, sizeof(path), "%s/numa_node", dir), "%d\n", numa);
	put(join(path, sizeof(path), "%s/enable", dir), "1\n");
	put(join(path, sizeof(path), "%s/driver_override", dir), "(null)\n");
	put(join(path, sizeof(path), "%s/modalias", dir),
	    "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", id & 0xffff, id >> 16, sub_id & 0xffff,
	    sub_id >> 16, class >> 16, class >> 8 & 0xff, class & 0xff);
	put(join(path, sizeof(path), "%s/uevent", dir),
	    "PCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SLOT_NAME=%s\n", class, id & 0xffff, id >> 16,
	    bdf);
	put_link(join(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root, bdf),
		 join(dir, sizeof(dir), "../../../devices/%s/%s", upstream, bdf));
}

/* "../" as often as the device folder is deep below sys/. */
static const char *up_from(const char *upstream, char *buf, unsigned int len)
{
	const char *p;
	size_t depth = 3;
	size_t i;

	for (p = upstream; (p = strchr(p, '/')) != NULL; p++)
		depth++;
	buf[0] = '\0';
	for (i = 0; i < depth && 3 * i + 4 < len; i++)
		memcpy(buf + 3 * i, "../", 4);
	return buf;
}

/* Bridges between the root and a device, so that the path below /sys/devices is all PCI. */
static void put_bridges(const char *root, const struct state_gpu *g)
{
	char dir[256];
	char bdf[64];
	char *slash;

	join(dir, sizeof(dir), "%s", g->upstream);
	while ((slash = strrchr(dir, '/')) != NULL) {
		join(bdf, sizeof(bdf), "%s", slash + 1);
		*slash = '\0';
		put_pci(root, dir, bdf, 0xc0301000, 0xa0641000, 0x060400, g->numa);
	}
}

static void put_gpu_sysfs(const struct state_map *m, const struct state_gpu *g)
{
	static const char *const speed[] = { "2.5", "2.5", "5.0", "8.0", "16.0", "32.0" };
	const struct model *model = model_get(g->model);
	unsigned long long bar1 = (unsigned long long)model->bar1_mib << 20;
	char up[128];
	char bdf[32];
	char dir[512];
	char path[1024];
	char link[512];

	state_bdf(g, false, bdf, sizeof(bdf));
	up_from(g->upstream, up, sizeof(up));
	put_bridges(m->dir, g);
	put_pci(m->dir, g->upstream, bdf, model->pci_id, model->pci_sub_id, 0x030200, g->numa);
	join(dir, sizeof(dir), "%s/sys/devices/%s/%s", m->dir, g->upstream, bdf);
	put(join(path, sizeof(path), "%s/current_link_speed", dir), "%s GT/s PCIe\n",
	    speed[model->pcie_gen]);
	put(join(path, sizeof(path), "%s/max_link_speed", dir), "%s GT/s PCIe\n",
	    speed[model->pcie_gen]);
	put(join(path, sizeof(path), "%s/current_link_width", dir), "%u\n", model->pcie_width);
	put(join(path, sizeof(path), "%s/max_link_width", dir), "%u\n", model->pcie_width);
	/* start, end, flags of BAR 0, of the 64-bit memory BAR, and of what is not there */
	put(join(path, sizeof(path), "%s/resource", dir),
	    "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"
	    "0x%016llx 0x%016llx 0x000000000014220c\n"
	    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
	    0x20000000000ull + ((unsigned long long)g->card << 40),
	    0x20000000000ull + ((unsigned long long)g->card << 40) + bar1 - 1);
	put_link(join(path, sizeof(path), "%s/driver", dir),
		 join(link, sizeof(link), "%sbus/pci/drivers/nvidia", up));
	put_link(join(path, sizeof(path), "%s/iommu_group", dir),
		 join(link, sizeof(link), "%skernel/iommu_groups/%u", up, 40 + g->card));
	put_link(join(path, sizeof(path), "%s/sys/kernel/iommu_groups/%u/devices/%s", m->dir,
		      40 + g->card, bdf),
		 join(link, sizeof(link), "../../../../devices/%s/%s", g->upstream, bdf));
	put_link(join(path, sizeof(path), "%s/sys/bus/pci/drivers/nvidia/%s", m->dir, bdf),
		 join(link, sizeof(link), "../../../../devices/%s/%s", g->upstream, bdf));
	put(join(path, sizeof(path), "%s/drm/card%u/dev", dir, g->card), "%u:%u\n", DRM_MAJOR,
	    g->card);
	put(join(path, sizeof(path), "%s/drm/renderD%u/dev", dir, 128 + g->card), "%u:%u\n",
	    DRM_MAJOR, 128 + g->card);
	put_link(
	    join(path, sizeof(path), "%s/sys/class/drm/card%u", m->dir, g->card),
	    join(link, sizeof(link), "../../devices/%s/%s/drm/card%u", g->upstream, bdf, g->card));
	put_link(join(path, sizeof(path), "%s/sys/class/drm/renderD%u", m->dir, 128 + g->card),
		 join(link, sizeof(link), "../../devices/%s/%s/drm/renderD%u", g->upstream, bdf,
		      128 + g->card));
}

static void put_gpu_proc(const struct state_map *m, const struct state_gpu *g)
{
	char leaf[128];
	char path[1024];
	char bdf[32];

	state_bdf(g, false, bdf, sizeof(bdf));
	join(leaf, sizeof(leaf), "driver/nvidia/gpus/%s/information", bdf);
	put(in_proc(m, path, sizeof(path), leaf),
	    "Model: \t\t %s\nIRQ:   \t\t %u\nGPU UUID: \t %s\nVideo BIOS: \t 96.00.74.00.01\n"
	    "Bus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\n"
	    "Bus Location: \t %s\nDevice Minor: \t %u\nGPU Firmware: \t %s\nGPU Excluded:\t No\n",
	    model_get(g->model)->name, 200 + g->card, g->uuid, bdf, g->minor,
	    m->st->driver_version);
	if (model_get(g->model)->gi != NULL) {
		join(leaf, sizeof(leaf), "driver/nvidia/capabilities/gpu%u/mig/", g->minor);
		put_dirs(in_proc(m, path, sizeof(path), leaf));
	}
}

static void put_gpu_nodes(const struct state_map *m, const struct state_gpu *g)
{
	bool real = m->st->make_nodes;
	char leaf[64];
	char path[1024];
	char link[64];
	char bdf[32];

	state_bdf(g, false, bdf, sizeof(bdf));
	join(leaf, sizeof(leaf), "dri/card%u", g->card);
	put_node(in_dev(m, path, sizeof(path), leaf), real, 0660, DRM_MAJOR, g->card);
	join(leaf, sizeof(leaf), "dri/renderD%u", 128 + g->card);
	put_node(in_dev(m, path, sizeof(path), leaf), real, 0666, DRM_MAJOR, 128 + g->card);
	join(leaf, sizeof(leaf), "dri/by-path/pci-%s-card", bdf);
	put_link(in_dev(m, path, sizeof(path), leaf),
		 join(link, sizeof(link), "../card%u", g->card));
	join(leaf, sizeof(leaf), "dri/by-path/pci-%s-render", bdf);
	put_link(in_dev(m, path, sizeof(path), leaf),
		 join(link, sizeof(link), "../renderD%u", 128 + g->card));
	/* Last: a watcher of /dev that sees this node finds everything else there. */
	join(leaf, sizeof(leaf), "nvidia%u", g->minor);
	put_node(in_dev(m, path, sizeof(path), leaf), real, 0666, NVIDIA_MAJOR, g->minor);
}

void kernel_gpu_files(const struct state_map *m, uint32_t slot)
{
	const struct state_gpu *g = &m->st->gpu[slot];

	put_gpu_sysfs(m, g);
	if (!m->st->driver_loaded)
		return;
	put_gpu_proc(m, g);
	put_gpu_nodes(m, g);
}

static void remove_gpu_driver_files(const struct state_map *m, const struct state_gpu *g)
{
	static const char *const nodes[] = { "nvidia", "dri/card", "dri/renderD" };
	uint32_t number[] = { g->minor, g->card, 128 + g->card };
	static const char *const links[] = { "card", "render" };
	char leaf[128];
	char path[1024];
	char bdf[32];
	uint32_t i;

	state_bdf(g, false, bdf, sizeof(bdf));
	for (i = 0; i < 3; i++) {
		join(leaf, sizeof(leaf), "%s%u", nodes[i], number[i]);
		unlink(in_dev(m, path, sizeof(path), leaf));
	}
	for (i = 0; i < 2; i++) {
		join(leaf, sizeof(leaf), "dri/by-path/pci-%s-%s", bdf, links[i]);
		unlink(in_dev(m, path, sizeof(path), leaf));
	}
	join(leaf, sizeof(leaf), "driver/nvidia/gpus/%s", bdf);
	remove_tree(in_proc(m, path, sizeof(path), leaf));
	join(leaf, sizeof(leaf), "driver/nvidia/capabilities/gpu%u", g->minor);
	remove_tree(in_proc(m, path, sizeof(path), leaf));
}

void kernel_instances_remove(const struct state_map *m, uint32_t slot)
{
	struct state_gpu *g = &m->st->gpu[slot];
	uint32_t i;
	uint32_t k;

	for (i = 0; i < STATE_GIS; i++) {
		if (!g->gi[i].used)
			continue;
		for (k = 0; k < STATE_CIS; k++)
			if (g->gi[i].ci[k].used)
				caps_remove(m, g, &g->gi[i], &g->gi[i].ci[k]);
		caps_remove(m, g, &g->gi[i], NULL);
	}
	memset(g->gi, 0, sizeof(g->gi));
	memset(g->proc, 0, sizeof(g->proc));
}

void kernel_gpu_files_remove(const struct state_map *m, uint32_t slot)
{
	const struct state_gpu *g = &m->st->gpu[slot];
	char path[1024];
	char bdf[32];

	state_bdf(g, false, bdf, sizeof(bdf));
	remove_gpu_driver_files(m, g);
	unlink(join(path, sizeof(path), "%s/sys/bus/pci/devices/%s", m->dir, bdf));
	unlink(join(path, sizeof(path), "%s/sys/bus/pci/drivers/nvidia/%s", m->dir, bdf));
	unlink(join(path, sizeof(path), "%s/sys/class/drm/card%u", m->dir, g->card));
	unlink(join(path, sizeof(path), "%s/sys/class/drm/renderD%u", m->dir, 128 + g->card));
	remove_tree(
	    join(path, sizeof(path), "%s/sys/kernel/iommu_groups/%u", m->dir, 40 + g->card));
	remove_tree(join(path, sizeof(path), "%s/sys/devices/%s/%s", m->dir, g->upstream, bdf));
}

/* Nodes of the driver that belong to no GPU. */
static const struct common_node {
	const char *name;
	uint32_t mode;
	uint32_t major;
	uint32_t minor;
} common_nodes[] = {
	{ "nvidiactl", 0666, NVIDIA_MAJOR, 255 },
	{ "nvidia-modeset", 0666, NVIDIA_MAJOR, 254 },
	{ "nvidia-uvm", 0666, UVM_MAJOR, 0 },
	{ "nvidia-uvm-tools", 0666, UVM_MAJOR, 1 },
	{ "nvidia-caps/nvidia-cap1", 0400, CAPS_MAJOR, 1 },
	{ "nvidia-caps/nvidia-cap2", 0444, CAPS_MAJOR, 2 },
};

static void put_common_nodes(const struct state_map *m)
{
	bool real = m->st->make_nodes;
	char leaf[64];
	char path[1024];
	uint32_t i;

	for (i = 0; i < sizeof(common_nodes) / sizeof(common_nodes[0]); i++)
		put_node(in_dev(m, path, sizeof(path), common_nodes[i].name), real,
			 common_nodes[i].mode, common_nodes[i].major, common_nodes[i].minor);
	for (i = 0; has_imex(m->st) && i < IMEX_CHANNELS; i++) {
		join(leaf, sizeof(leaf), "nvidia-caps-imex-channels/channel%u", i);
		put_node(in_dev(m, path, sizeof(path), leaf), real, 0666, IMEX_MAJOR, i);
	}
	for (i = 0; has_switches(m->st) && i < NVSWITCHES; i++) {
		join(leaf, sizeof(leaf), "nvidia-nvswitch%u", i);
		put_node(in_dev(m, path, sizeof(path), leaf), real, 0666, SWITCH_MAJOR, i);
	}
	if (has_switches(m->st))
		put_node(in_dev(m, path, sizeof(path), "nvidia-nvswitchctl"), real, 0666,
			 SWITCH_MAJOR, 255);
}

static void put_proc_devices(const struct state_map *m, bool driver)
{
	char nvidia[512] = "";
	char path[1024];

	if (driver)
		join(nvidia, sizeof(nvidia),
		     "195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n226 drm\n%3d nvidia-caps-imex-"
		     "channels\n%3d nvidia-caps\n%3d nvidia-uvm\n%3d nvidia-nvswitch\n",
		     IMEX_MAJOR, CAPS_MAJOR, UVM_MAJOR, SWITCH_MAJOR);
	put(in_proc(m, path, sizeof(path), "devices"),
	    "Character devices:\n  1 mem\n  5 /dev/tty\n 10 misc\n136 pts\n%s"
	    "\nBlock devices:\n  7 loop\n259 blkext\n",
	    nvidia);
}

static void put_capability(const struct state_map *m, const char *leaf, uint32_t minor,
			   uint32_t mode)
{
	char path[1024];

	put(in_proc(m, path, sizeof(path), leaf),
	    "DeviceFileMinor: %u\nDeviceFileMode: %u\nDeviceFileModify: 1\n", minor, mode);
}

/* /proc/driver/nvidia-caps/mig-minors: every capability there could be. */
static void put_mig_minors(const struct state_map *m)
{
	char path[1024];
	uint32_t gpu;
	uint32_t gi;
	uint32_t ci;
	FILE *f;

	put(in_proc(m, path, sizeof(path), "driver/nvidia-caps/sys-minors"),
	    "fabric-imex-mgmt 4323\n");
	put(in_proc(m, path, sizeof(path), "driver/nvidia-caps/mig-minors"),
	    "config 1\nmonitor 2\n");
	f = fopen(path, "ae");
	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	for (gpu = 0; gpu < 32; gpu++)
		for (gi = 0; gi < 15; gi++) {
			fprintf(f, "gpu%u/gi%u/access %u\n", gpu, gi,
				state_cap_minor(gpu, gi, NVML_NO_INSTANCE));
			for (ci = 0; ci < 8; ci++)
				fprintf(f, "gpu%u/gi%u/ci%u/access %u\n", gpu, gi, ci,
					state_cap_minor(gpu, gi, ci));
		}
	fclose(f);
}

void kernel_driver_files(const struct state_map *m)
{
	const char *version = m->st->driver_version;
	char path[1024];
	char leaf[128];
	uint32_t i;

	put_proc_devices(m, true);
	put(in_proc(m, path, sizeof(path), "driver/nvidia/version"),
	    "NVRM version: NVIDIA UNIX Open Kernel Module for %s  %s  Release Build  (fakegpu)\n"
	    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
	    kernel_machine(), version);
	put(in_proc(m, path, sizeof(path), "driver/nvidia/params"),
	    "ResmanDebugLevel: 4294967295\nRmLogonRC: 1\nModifyDeviceFiles: 1\n"
	    "DeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\n"
	    "InitializeSystemMemoryAllocations: 1\nUsePageAttributeTable: 4294967295\n"
	    "EnableMSI: 1\nEnableGpuFirmware: 18\nEnableDbgBreakpoint: 0\n"
	    "TemporaryFilePath: \"\"\nExcludedGpus: \"\"\n");
	put_capability(m, "driver/nvidia/capabilities/mig/config", 1, 256);
	put_capability(m, "driver/nvidia/capabilities/mig/monitor", 2, 292);
	put_capability(m, "driver/nvidia/capabilities/fabric-imex-mgmt", 4323, 256);
	put_mig_minors(m);
	for (i = 0; has_switches(m->st) && i < NVSWITCHES; i++) {
		join(leaf, sizeof(leaf), "driver/nvidia-nvswitch/devices/0000:%02x:00.0", 5 + i);
		put(in_proc(m, path, sizeof(path), leaf), "BIOS Version: 96.10.6d.00.01\n");
	}
	put(join(path, sizeof(path), "%s/sys/module/nvidia/version", m->dir), "%s\n", version);
	put(join(path, sizeof(path), "%s/sys/module/nvidia/initstate", m->dir), "live\n");
	put(join(path, sizeof(path), "%s/sys/module/nvidia/refcnt", m->dir), "0\n");
	put(join(path, sizeof(path), "%s/sys/module/nvidia_uvm/initstate", m->dir), "live\n");
	put(join(path, sizeof(path), "%s/sys/bus/pci/drivers/nvidia/bind", m->dir), "%s", "");
	put(join(path, sizeof(path), "%s/sys/bus/pci/drivers/nvidia/unbind", m->dir), "%s", "");
	put_common_nodes(m);
}

void kernel_driver_files_remove(const struct state_map *m)
{
	char leaf[64];
	char path[1024];
	uint32_t i;

	for (i = 0; i < m->st->gpu_count; i++)
		remove_gpu_driver_files(m, &m->st->gpu[i]);
	for (i = 0; i < sizeof(common_nodes) / sizeof(common_nodes[0]); i++)
		unlink(in_dev(m, path, sizeof(path), common_nodes[i].name));
	for (i = 0; i < NVSWITCHES; i++) {
		join(leaf, sizeof(leaf), "nvidia-nvswitch%u", i);
		unlink(in_dev(m, path, sizeof(path), leaf));
	}
	unlink(in_dev(m, path, sizeof(path), "nvidia-nvswitchctl"));
	remove_tree(in_dev(m, path, sizeof(path), "nvidia-caps"));
	remove_tree(in_dev(m, path, sizeof(path), "nvidia-caps-imex-channels"));
	remove_tree(in_proc(m, path, sizeof(path), "driver"));
	remove_tree(join(path, sizeof(path), "%s/sys/module/nvidia", m->dir));
	remove_tree(join(path, sizeof(path), "%s/sys/module/nvidia_uvm", m->dir));
	put_proc_devices(m, false);
}

void kernel_tree(const struct state_map *m)
{
	char path[1024];
	char bdf[32];
	uint32_t i;

	put(join(path, sizeof(path), "%s/sys/module/firmware_class/parameters/path", m->dir), "\n");
	/* Not GPUs: a network card, and the NVSwitches. */
	put_pci(m->dir, "pci0000:01", "0000:01:00.0", 0x102115b3, 0x003515b3, 0x020000, 0);
	for (i = 0; has_switches(m->st) && i < NVSWITCHES; i++)
		put_pci(m->dir, "pci0000:02", join(bdf, sizeof(bdf), "0000:%02x:00.0", 5 + i),
			0x22a310de, 0x179610de, 0x068000, 0);
	if (m->st->driver_loaded)
		kernel_driver_files(m);
	else
		put_proc_devices(m, false);
	for (i = 0; i < m->st->gpu_count; i++)
		if (m->st->gpu[i].present)
			kernel_gpu_files(m, i);
}
