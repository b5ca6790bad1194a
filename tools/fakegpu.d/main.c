#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/fakegpu.d/fakegpu.h"

static const char help[] =
    "usage: fakegpu COMMAND --root DIR [options]\n"
    "  make    --profile h100|a100|h200|b200|gb200|l40s|t4 [--count 8] [--seed 1]\n"
    "          [--dev-dir DIR] [--mknod] [--driver 580.65.06] [--nvlink none|switch|pairs]\n"
    "  remove                          everything make made\n"
    "  status                          GPUs, faults, calls per function\n"
    "  plug [--gpu G] | unplug --gpu G hot-plug; plug without --gpu adds a new GPU\n"
    "  load | unload | reload [--driver V]   the kernel driver\n"
    "  fault lost|fail|slow|hang|crash|wrong [--fn nvmlX] [--gpu G] [--ms N] [--rc NAME]\n"
    "          [--byte N] [--times N]  prints an id\n"
    "  clear [ID]                      one fault, or all\n"
    "  event --gpu G --xid N [--type dbe|...] [--gi N --ci N]\n"
    "  set [--gpu G] NAME=NUMBER ...   mig, ecc, compute-mode, links-down, cc-feature, ...\n"
    "  reset --gpu G                   GPU reset: pending modes become current\n"
    "  proc --gpu G --pid P [--mib N]  a process uses the GPU; --pid 0: none does\n"
    "  mig --gpu G PROFILE_ID:START... MIG mode on, and these instances (through the library)\n"
    "GPU: slot number, minor:N, UUID or PCI address.\n";

static void state_file(const struct options *o, char *buf, unsigned int len)
{
	if (o->root == NULL)
		die("--root DIR is missing");
	join(buf, len, "%s/" STATE_FILE, o->root);
}

static void open_root(struct state_map *m, const struct options *o)
{
	char path[STATE_PATH];
	int r;

	state_file(o, path, sizeof(path));
	r = state_open(m, path);
	if (r == -EPROTO)
		die("%s was made by another version of fakegpu; make it again", path);
	if (r < 0 || !m->writable)
		die("%s: %s", path, r < 0 ? strerror(-r) : "read-only");
}

/* The library that goes into the driver root: the 525 one for drivers that old. */
static void find_library(const struct options *o, char *buf, unsigned int len)
{
	unsigned long branch = strtoul(o->driver, NULL, 10);
	const char *name = branch < 530 ? "libnvidia-ml-525.so.1" : "libnvidia-ml.so.1";
	char self[PATH_MAX];
	ssize_t n;

	if (o->lib != NULL) {
		join(buf, len, "%s", o->lib);
		return;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		die("/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	join(buf, len, "%s/../lib/%s", self, name);
}

/* Major of CUDA per driver branch; the minor of the newest a branch shipped with. */
static int32_t cuda_of(const char *driver)
{
	static const struct {
		unsigned long branch;
		int32_t cuda;
	} table[] = { { 595, 13020 }, { 590, 13010 }, { 580, 13000 }, { 575, 12090 },
		      { 570, 12080 }, { 560, 12060 }, { 550, 12040 }, { 545, 12030 },
		      { 535, 12020 }, { 530, 12010 }, { 525, 12000 }, { 0, 11080 } };
	unsigned long branch = strtoul(driver, NULL, 10);
	uint32_t i = 0;

	while (branch < table[i].branch)
		i++;
	return table[i].cuda;
}

static void dies(struct state *st)
{
	st->driver_loaded = 0;
	st->driver_gen++;
	state_wake(st);
}

static void set_driver(struct state *st, const char *version)
{
	snprintf(st->driver_version, sizeof(st->driver_version), "%s", version);
	st->cuda_version = cuda_of(version);
}

static int cmd_remove(const struct options *o)
{
	static const char *const parts[] = { "proc", "sys", "dev", STATE_FILE };
	struct state_map m;
	char path[1024];
	uint32_t i;

	open_root(&m, o);
	state_lock(&m, STATE_EXCLUSIVE);
	dies(m.st);
	kernel_driver_files_remove(&m);
	driver_tree_remove(o->root);
	state_unlock(&m);
	state_close(&m);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		remove_tree(join(path, sizeof(path), "%s/%s", o->root, parts[i]));
	return 0;
}

static int cmd_make(const struct options *o)
{
	struct state_map m;
	char path[STATE_PATH];
	char node[STATE_PATH];
	char lib[PATH_MAX];
	int r;

	state_file(o, path, sizeof(path));
	if (o->count == 0 || o->count > STATE_GPUS)
		die("--count 1..%u", STATE_GPUS);
	find_library(o, lib, sizeof(lib));
	if (access(path, F_OK) == 0)
		cmd_remove(o);
	if (o->dev != NULL && access(join(node, sizeof(node), "%s/nvidiactl", o->dev), F_OK) == 0)
		die("%s belongs to a driver or to another root; remove that first", node);
	put_dirs(path);
	r = state_create(&m, path);
	if (r < 0)
		die("%s: %s", path, strerror(-r));
	state_lock(&m, STATE_EXCLUSIVE); /* who finds the file already waits for the rest */
	snprintf(m.st->dev, sizeof(m.st->dev), "%s", o->dev != NULL ? o->dev : "dev");
	snprintf(m.st->proc, sizeof(m.st->proc), "proc");
	m.st->make_nodes = o->mknod;
	m.st->caps_major = CAPS_MAJOR;
	m.st->seed = o->seed;
	m.st->driver_gen = 1;
	set_driver(m.st, o->driver);
	m.st->driver_loaded = 1;
	layout_gpus(m.st, o);
	driver_tree(o->root, m.st, lib);
	kernel_tree(&m);
	state_unlock(&m);
	printf("made %u x %s in %s (driver %s)\n", o->count, model_get(m.st->gpu[0].model)->name,
	       o->root, o->driver);
	state_close(&m);
	return 0;
}

static int cmd_plug(struct state_map *m, const struct options *o)
{
	struct state *st = m->st;
	uint32_t slot = gpu_arg(m, o);

	state_lock(m, STATE_EXCLUSIVE);
	if (slot == STATE_GPUS) {
		if (st->gpu_count == STATE_GPUS)
			die("no more than %u GPUs", STATE_GPUS);
		slot = st->gpu_count;
		layout_gpu(st, slot, slot, NULL);
		st->gpu_count++;
	}
	st->gpu[slot].present = 1;
	st->gpu[slot].lost = 0;
	kernel_gpu_files(m, slot);
	state_wake(st);
	state_unlock(m);
	printf("%u\n", slot);
	return 0;
}

static int cmd_unplug(struct state_map *m, const struct options *o)
{
	uint32_t slot = gpu_arg(m, o);

	if (slot == STATE_GPUS)
		die("unplug needs --gpu");
	state_lock(m, STATE_EXCLUSIVE);
	m->st->gpu[slot].present = 0;
	kernel_instances_remove(m, slot);
	kernel_gpu_files_remove(m, slot);
	state_wake(m->st);
	state_unlock(m);
	return 0;
}

static void unload(struct state_map *m)
{
	uint32_t i;

	state_lock(m, STATE_EXCLUSIVE);
	dies(m->st);
	for (i = 0; i < m->st->gpu_count; i++) {
		kernel_instances_remove(m, i);
		m->st->gpu[i].compute_mode = NVML_COMPUTEMODE_DEFAULT;
		m->st->gpu[i].lost = 0;
	}
	kernel_driver_files_remove(m);
	state_unlock(m);
}

/* A driver of another version brings its files; the old ones go. */
static void load(struct state_map *m, const struct options *o, bool version_given)
{
	char lib[PATH_MAX];
	uint32_t i;

	state_lock(m, STATE_EXCLUSIVE);
	if (version_given && strcmp(o->driver, m->st->driver_version) != 0) {
		find_library(o, lib, sizeof(lib));
		driver_tree_remove(o->root);
		set_driver(m->st, o->driver);
		driver_tree(o->root, m->st, lib);
	}
	m->st->driver_loaded = 1;
	m->st->driver_gen++;
	kernel_driver_files(m);
	for (i = 0; i < m->st->gpu_count; i++)
		if (m->st->gpu[i].present)
			kernel_gpu_files(m, i);
	state_wake(m->st);
	state_unlock(m);
}

/* The fake's own library creates the instances, so its rules hold and its files appear. */
struct nvml {
	NVML_SYMBOLS(NVML_MEMBER)
};

static void open_library(struct nvml *fn, const struct options *o)
{
	char path[1024];
	uint32_t i;
	void *lib;

	join(path, sizeof(path), "%s/usr/lib/%s-linux-gnu/libnvidia-ml.so.1", o->root,
	     kernel_machine());
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (lib == NULL)
		die("%s", dlerror());
	/* The struct is the symbol list, one pointer each. */
	for (i = 0; i < FN_NR; i++)
		((void **)fn)[i] = dlsym(lib, state_fn_name(i));
}

static void check(const struct nvml *fn, nvmlReturn_t rc, const char *what)
{
	if (rc != NVML_SUCCESS)
		die("%s: %s", what, fn->nvmlErrorString(rc));
}

static void make_instance(const struct nvml *fn, nvmlDevice_t device, const char *arg)
{
	nvmlGpuInstancePlacement_t at[MODEL_MEM_SLICES];
	nvmlComputeInstance_t ci;
	nvmlGpuInstance_t gi;
	unsigned int count = 0;
	unsigned int id;
	unsigned int start = 0;
	unsigned int i;
	char *end;

	id = (unsigned int)strtoul(arg, &end, 10);
	if (*end == ':')
		start = (unsigned int)strtoul(end + 1, &end, 10);
	if (end == arg || *end != '\0' || strchr(arg, ':') == NULL)
		die("mig --gpu G PROFILE_ID:START ..., for example 19:0 14:2");
	check(fn, fn->nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, id, at, &count), arg);
	for (i = 0; i < count && at[i].start != start; i++)
		;
	if (i == count)
		die("%s: profile %u does not start there", arg, id);
	check(fn, fn->nvmlDeviceCreateGpuInstanceWithPlacement(device, id, &at[i], &gi), arg);
	/* The widest compute instance that fits is the whole one. */
	for (i = NVML_COMPUTE_INSTANCE_PROFILE_COUNT; i-- > 0;)
		if (fn->nvmlGpuInstanceCreateComputeInstance(gi, i, &ci) == NVML_SUCCESS)
			return;
	die("%s: no compute instance", arg);
}

static int cmd_mig(struct state_map *m, const struct options *o)
{
	uint32_t slot = gpu_arg(m, o);
	nvmlReturn_t activation = NVML_SUCCESS;
	nvmlDevice_t device;
	struct nvml fn;
	uint32_t i;

	if (slot == STATE_GPUS)
		die("mig needs --gpu");
	open_library(&fn, o);
	check(&fn, fn.nvmlInit_v2(), "nvmlInit");
	check(&fn, fn.nvmlDeviceGetHandleByUUID(m->st->gpu[slot].uuid, &device), "GPU");
	check(&fn, fn.nvmlDeviceSetMigMode(device, 1, &activation), "MIG mode");
	if (activation == NVML_ERROR_RESET_REQUIRED) {
		cmd_reset(m, o);
		activation = NVML_SUCCESS;
	}
	check(&fn, m->st->gpu[slot].mig_current ? NVML_SUCCESS : activation, "MIG mode");
	for (i = 0; i < o->arg_count; i++)
		make_instance(&fn, device, o->args[i]);
	fn.nvmlShutdown();
	return 0;
}

enum { OPT_FIRST = 256, OPT_MKNOD };

static const struct option longs[] = {
	{ "profile", required_argument, NULL, 'p' },
	{ "root", required_argument, NULL, 'R' },
	{ "count", required_argument, NULL, 'n' },
	{ "seed", required_argument, NULL, 's' },
	{ "dev-dir", required_argument, NULL, 'd' },
	{ "driver", required_argument, NULL, 'v' },
	{ "nvlink", required_argument, NULL, 'k' },
	{ "lib", required_argument, NULL, 'l' },
	{ "gpu", required_argument, NULL, 'g' },
	{ "fn", required_argument, NULL, 'f' },
	{ "rc", required_argument, NULL, 'r' },
	{ "type", required_argument, NULL, 't' },
	{ "ms", required_argument, NULL, 'm' },
	{ "byte", required_argument, NULL, 'b' },
	{ "xid", required_argument, NULL, 'x' },
	{ "pid", required_argument, NULL, 'P' },
	{ "mib", required_argument, NULL, 'M' },
	{ "gi", required_argument, NULL, 'G' },
	{ "ci", required_argument, NULL, 'C' },
	{ "times", required_argument, NULL, 'T' },
	{ "mknod", no_argument, NULL, OPT_MKNOD },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	if (*text == '\0' || *end != '\0' || n > UINT32_MAX)
		die("%s is no number", text);
	return (uint32_t)n;
}

static void parse_one(struct options *o, int c)
{
	const struct {
		int c;
		const char **text;
		uint32_t *number;
	} table[] = {
		{ 'p', &o->profile, NULL }, { 'R', &o->root, NULL },   { 'd', &o->dev, NULL },
		{ 'v', &o->driver, NULL },  { 'k', &o->nvlink, NULL }, { 'l', &o->lib, NULL },
		{ 'g', &o->gpu, NULL },	    { 'f', &o->fn, NULL },     { 'r', &o->rc, NULL },
		{ 't', &o->type, NULL },    { 'n', NULL, &o->count },  { 's', NULL, &o->seed },
		{ 'm', NULL, &o->ms },	    { 'b', NULL, &o->byte },   { 'x', NULL, &o->xid },
		{ 'P', NULL, &o->pid },	    { 'M', NULL, &o->mib },    { 'G', NULL, &o->gi },
		{ 'C', NULL, &o->ci },
	};
	uint32_t i;

	if (c == OPT_MKNOD)
		o->mknod = true;
	else if (c == 'T')
		o->times = (int32_t)number(optarg);
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].c != c)
			continue;
		if (table[i].text != NULL)
			*table[i].text = optarg;
		else
			*table[i].number = number(optarg);
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		}
		if (c == '?')
			exit(2);
		parse_one(o, c);
	}
	o->args = (const char **)(void *)(argv + optind);
	o->arg_count = (uint32_t)(argc - optind);
	/* gb200 is four to a tray, the others fill a board of eight. */
	if (o->count == UINT32_MAX)
		o->count = strcmp(o->profile, "gb200") == 0 ? 4 : 8;
}

static int run(const char *command, struct options *o, bool driver_given)
{
	static const struct {
		const char *name;
		int (*fn)(struct state_map *m, const struct options *o);
	} commands[] = {
		{ "fault", cmd_fault },	  { "clear", cmd_clear },   { "event", cmd_event },
		{ "set", cmd_set },	  { "reset", cmd_reset },   { "proc", cmd_proc },
		{ "plug", cmd_plug },	  { "unplug", cmd_unplug }, { "mig", cmd_mig },
		{ "status", cmd_status },
	};
	struct state_map m;
	uint32_t i;

	if (strcmp(command, "make") == 0)
		return cmd_make(o);
	if (strcmp(command, "remove") == 0)
		return cmd_remove(o);
	open_root(&m, o);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(command, commands[i].name) == 0)
			return commands[i].fn(&m, o);
	if (strcmp(command, "unload") == 0 || strcmp(command, "reload") == 0)
		unload(&m);
	else if (strcmp(command, "load") != 0)
		die("unknown command %s; see --help", command);
	if (strcmp(command, "unload") != 0)
		load(&m, o, driver_given);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .profile = "h100",
			     .count = UINT32_MAX,
			     .seed = 1,
			     .times = -1,
			     .byte = 0xa5,
			     .mib = 1024,
			     .gi = NVML_NO_INSTANCE,
			     .ci = NVML_NO_INSTANCE };
	bool driver_given;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		fputs(help, argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	umask(022);
	parse(&o, argc - 1, argv + 1);
	driver_given = o.driver != NULL;
	if (!driver_given)
		o.driver = "580.65.06";
	return run(argv[1], &o, driver_given);
}
