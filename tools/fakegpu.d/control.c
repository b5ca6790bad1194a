/* Commands that change a running fake: faults, events, attributes. Each is one locked change of
 * the state and one wake-up for whoever sleeps in the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/fakegpu.d/fakegpu.h"

static void begin(struct state_map *m)
{
	state_lock(m, STATE_EXCLUSIVE);
}

static int done(struct state_map *m)
{
	state_wake(m->st);
	state_unlock(m);
	return 0;
}

static bool same_bdf(const struct state_gpu *g, const char *text)
{
	char bdf[32];

	state_bdf(g, false, bdf, sizeof(bdf));
	return strcasecmp(bdf, text) == 0;
}

/* --gpu: slot number, minor:N, UUID or PCI address. STATE_GPUS: not given. */
uint32_t gpu_arg(const struct state_map *m, const struct options *o)
{
	const struct state_gpu *g;
	char *end;
	unsigned long n;
	uint32_t i;

	if (o->gpu == NULL)
		return STATE_GPUS;
	n = strtoul(o->gpu, &end, 10);
	if (*end == '\0' && n < m->st->gpu_count)
		return (uint32_t)n;
	for (i = 0; i < m->st->gpu_count; i++) {
		g = &m->st->gpu[i];
		if (strcmp(g->uuid, o->gpu) == 0 || same_bdf(g, o->gpu) ||
		    (strncmp(o->gpu, "minor:", 6) == 0 &&
		     strtoul(o->gpu + 6, NULL, 10) == g->minor))
			return i;
	}
	die("no GPU %s (slot 0..%u, minor:N, UUID or PCI address)", o->gpu, m->st->gpu_count - 1);
}

static uint32_t need_gpu(const struct state_map *m, const struct options *o)
{
	if (o->gpu == NULL)
		die("this command needs --gpu");
	return gpu_arg(m, o);
}

static const struct rc_name {
	const char *name;
	uint32_t rc;
} rc_names[] = {
	{ "UNINITIALIZED", NVML_ERROR_UNINITIALIZED },
	{ "INVALID_ARGUMENT", NVML_ERROR_INVALID_ARGUMENT },
	{ "NOT_SUPPORTED", NVML_ERROR_NOT_SUPPORTED },
	{ "NO_PERMISSION", NVML_ERROR_NO_PERMISSION },
	{ "NOT_FOUND", NVML_ERROR_NOT_FOUND },
	{ "INSUFFICIENT_SIZE", NVML_ERROR_INSUFFICIENT_SIZE },
	{ "DRIVER_NOT_LOADED", NVML_ERROR_DRIVER_NOT_LOADED },
	{ "TIMEOUT", NVML_ERROR_TIMEOUT },
	{ "FUNCTION_NOT_FOUND", NVML_ERROR_FUNCTION_NOT_FOUND },
	{ "GPU_IS_LOST", NVML_ERROR_GPU_IS_LOST },
	{ "RESET_REQUIRED", NVML_ERROR_RESET_REQUIRED },
	{ "LIB_RM_VERSION_MISMATCH", NVML_ERROR_LIB_RM_VERSION_MISMATCH },
	{ "IN_USE", NVML_ERROR_IN_USE },
	{ "MEMORY", NVML_ERROR_MEMORY },
	{ "INSUFFICIENT_RESOURCES", NVML_ERROR_INSUFFICIENT_RESOURCES },
	{ "UNKNOWN", NVML_ERROR_UNKNOWN },
};

static uint32_t rc_arg(const char *text)
{
	char *end;
	unsigned long n;
	uint32_t i;

	if (text == NULL)
		return NVML_ERROR_UNKNOWN;
	n = strtoul(text, &end, 10);
	if (end != text && *end == '\0')
		return (uint32_t)n;
	if (strncmp(text, "NVML_ERROR_", 11) == 0)
		text += 11;
	for (i = 0; i < sizeof(rc_names) / sizeof(rc_names[0]); i++)
		if (strcmp(rc_names[i].name, text) == 0)
			return rc_names[i].rc;
	die("unknown --rc %s (a number or a name such as NOT_SUPPORTED)", text);
}

static const char *const kinds[] = {
	[FAULT_NONE] = "none", [FAULT_FAIL] = "fail",	[FAULT_SLOW] = "slow",
	[FAULT_HANG] = "hang", [FAULT_CRASH] = "crash", [FAULT_WRONG] = "wrong"
};

static uint32_t fn_arg(const struct options *o)
{
	uint32_t fn;

	if (o->fn == NULL || strcmp(o->fn, "*") == 0)
		return FN_ANY;
	fn = state_fn_find(o->fn);
	if (fn == FN_ANY)
		die("unknown --fn %s (a symbol of third_party/nvml/nvml_symbols.h)", o->fn);
	return fn;
}

/* fault lost|fail|slow|hang|crash|wrong; prints the fault's id, which `clear` takes. */
int cmd_fault(struct state_map *m, const struct options *o)
{
	struct state_fault *f = NULL;
	uint32_t kind = FAULT_FAIL;
	uint32_t i;

	if (o->arg_count != 1)
		die("fault lost|fail|slow|hang|crash|wrong [--fn F] [--gpu G] [--ms N] [--rc R] "
		    "[--byte B] [--times N]");
	begin(m);
	if (strcmp(o->args[0], "lost") == 0) {
		m->st->gpu[need_gpu(m, o)].lost = 1;
		return done(m);
	}
	while (kind <= FAULT_WRONG && strcmp(kinds[kind], o->args[0]) != 0)
		kind++;
	if (kind > FAULT_WRONG)
		die("unknown fault %s", o->args[0]);
	for (i = 0; i < STATE_FAULTS && f == NULL; i++)
		if (m->st->fault[i].kind == FAULT_NONE)
			f = &m->st->fault[i];
	if (f == NULL)
		die("all %u fault slots are taken; clear some", STATE_FAULTS);
	*f = (struct state_fault){ .kind = kind,
				   .id = m->st->next_fault++,
				   .fn = fn_arg(o),
				   .gpu = gpu_arg(m, o),
				   .times = o->times,
				   .ms = o->ms,
				   .rc = rc_arg(o->rc),
				   .byte = o->byte };
	printf("%u\n", f->id);
	return done(m);
}

/* clear [ID]: one fault, or all of them and every lost GPU. */
int cmd_clear(struct state_map *m, const struct options *o)
{
	uint32_t id = o->arg_count > 0 ? (uint32_t)strtoul(o->args[0], NULL, 10) : 0;
	bool found = id == 0;
	uint32_t i;

	begin(m);
	for (i = 0; i < STATE_FAULTS; i++)
		if (id == 0 || m->st->fault[i].id == id) {
			found = true;
			m->st->fault[i].kind = FAULT_NONE;
			__atomic_store_n(&m->st->fault[i].id, 0, __ATOMIC_RELEASE);
		}
	for (i = 0; id == 0 && i < m->st->gpu_count; i++)
		m->st->gpu[i].lost = 0;
	if (!found)
		die("no fault %u", id);
	return done(m);
}

static const struct event_name {
	const char *name;
	uint64_t type;
} event_names[] = {
	{ "xid", nvmlEventTypeXidCriticalError },
	{ "sbe", nvmlEventTypeSingleBitEccError },
	{ "dbe", nvmlEventTypeDoubleBitEccError },
	{ "pstate", nvmlEventTypePState },
	{ "clock", nvmlEventTypeClock },
	{ "mig", nvmlEventMigConfigChange },
	{ "sbe-storm", nvmlEventTypeSingleBitEccErrorStorm },
	{ "retirement", nvmlEventTypeDramRetirementEvent },
	{ "retirement-failure", nvmlEventTypeDramRetirementFailure },
	{ "poison", nvmlEventTypeNonFatalPoisonError },
	{ "fatal-poison", nvmlEventTypeFatalPoisonError },
};

/* event --gpu G --xid N | --type T [--gi N --ci N] */
int cmd_event(struct state_map *m, const struct options *o)
{
	const char *type = o->type != NULL ? o->type : "xid";
	struct state *st = m->st;
	uint64_t seq;
	uint32_t i = 0;

	while (i < sizeof(event_names) / sizeof(event_names[0]) &&
	       strcmp(event_names[i].name, type) != 0)
		i++;
	if (i == sizeof(event_names) / sizeof(event_names[0]))
		die("unknown --type %s", type);
	begin(m);
	seq = st->next_event;
	st->event[seq % STATE_EVENTS] = (struct state_event){ .seq = seq,
							      .type = event_names[i].type,
							      .data = o->xid,
							      .gpu = need_gpu(m, o),
							      .gi = o->gi,
							      .ci = o->ci };
	st->next_event = seq + 1;
	return done(m);
}

enum { OF_NODE = 1 };

static const struct setting {
	const char *name;
	uint32_t offset; /* of a uint32_t */
	uint32_t flags;
} settings[] = {
	{ "mig", offsetof(struct state_gpu, mig_current), 0 },
	{ "mig-pending", offsetof(struct state_gpu, mig_pending), 0 },
	{ "ecc", offsetof(struct state_gpu, ecc_current), 0 },
	{ "ecc-pending", offsetof(struct state_gpu, ecc_pending), 0 },
	{ "persistence", offsetof(struct state_gpu, persistence), 0 },
	{ "compute-mode", offsetof(struct state_gpu, compute_mode), 0 },
	{ "virt-mode", offsetof(struct state_gpu, virt_mode), 0 },
	{ "addressing", offsetof(struct state_gpu, addressing), 0 },
	{ "links-down", offsetof(struct state_gpu, links_down), 0 },
	{ "links", offsetof(struct state_gpu, link_count), 0 },
	{ "fabric-state", offsetof(struct state_gpu, fabric_state), 0 },
	{ "fabric-status", offsetof(struct state_gpu, fabric_status), 0 },
	{ "fabric-health", offsetof(struct state_gpu, fabric_health), 0 },
	{ "clique", offsetof(struct state_gpu, clique), 0 },
	{ "remap-pending", offsetof(struct state_gpu, remap_pending), 0 },
	{ "remap-failed", offsetof(struct state_gpu, remap_failed), 0 },
	{ "cc-environment", offsetof(struct state, cc_environment), OF_NODE },
	{ "cc-feature", offsetof(struct state, cc_feature), OF_NODE },
	{ "cc-devtools", offsetof(struct state, cc_devtools), OF_NODE },
	{ "cc-multigpu", offsetof(struct state, cc_multigpu), OF_NODE },
	{ "cuda-version", offsetof(struct state, cuda_version), OF_NODE },
};

static void set_one(struct state_map *m, const struct options *o, const char *assign)
{
	const char *eq = strchr(assign, '=');
	uint32_t value;
	char *at;
	uint32_t i;

	if (eq == NULL)
		die("set NAME=NUMBER ...");
	value = (uint32_t)strtoul(eq + 1, NULL, 0);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strncmp(assign, settings[i].name, (size_t)(eq - assign)) != 0 ||
		    settings[i].name[eq - assign] != '\0')
			continue;
		if (settings[i].flags & OF_NODE)
			at = (char *)m->st;
		else
			at = (char *)&m->st->gpu[need_gpu(m, o)];
		memcpy(at + settings[i].offset, &value, sizeof(value));
		return;
	}
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		fprintf(stderr, "  %s%s\n", settings[i].name,
			settings[i].flags & OF_NODE ? "" : " (--gpu)");
	die("unknown setting in %s", assign);
}

int cmd_set(struct state_map *m, const struct options *o)
{
	uint32_t i;

	begin(m);
	for (i = 0; i < o->arg_count; i++)
		set_one(m, o, o->args[i]);
	return done(m);
}

/* reset --gpu G: what waited for a reset becomes true; a lost GPU is back. */
int cmd_reset(struct state_map *m, const struct options *o)
{
	struct state_gpu *g;
	uint32_t slot;

	begin(m);
	slot = need_gpu(m, o);
	g = &m->st->gpu[slot];
	g->lost = 0;
	g->mig_current = g->mig_pending;
	g->ecc_current = g->ecc_pending;
	g->remap_pending = 0;
	kernel_instances_remove(m, slot);
	return done(m);
}

/* proc --gpu G --pid P [--mib N] [--gi N --ci N]: a process on the GPU; --pid 0: none any more. */
int cmd_proc(struct state_map *m, const struct options *o)
{
	struct state_gpu *g;
	uint32_t i;

	begin(m);
	g = &m->st->gpu[need_gpu(m, o)];
	if (o->pid == 0) {
		memset(g->proc, 0, sizeof(g->proc));
		return done(m);
	}
	for (i = 0; i < STATE_PROCS && g->proc[i].pid != 0; i++)
		;
	if (i == STATE_PROCS)
		die("no more than %u processes on a GPU", STATE_PROCS);
	g->proc[i] = (struct state_proc){ .pid = o->pid, .gi = o->gi, .ci = o->ci, .mib = o->mib };
	return done(m);
}

static void status_gpu(const struct state *st, uint32_t slot)
{
	const struct state_gpu *g = &st->gpu[slot];
	char bdf[32];
	uint32_t i;
	uint32_t k;

	state_bdf(g, false, bdf, sizeof(bdf));
	printf("%-4u %-5u %-12s %-40s %-4d %-3u %s%s%s\n", slot, g->minor, bdf, g->uuid, g->numa,
	       g->mig_current, g->present ? "present" : "absent", g->lost ? ",lost" : "",
	       g->proc[0].pid != 0 ? ",busy" : "");
	for (i = 0; i < STATE_GIS; i++)
		for (k = 0; g->gi[i].used && k < STATE_CIS; k++)
			if (g->gi[i].ci[k].used || k == 0)
				printf("     gi %u %u:%u%s %u\n", g->gi[i].id, g->gi[i].start,
				       g->gi[i].size, g->gi[i].ci[k].used ? " ci" : " no ci",
				       g->gi[i].ci[k].id);
}

int cmd_status(struct state_map *m, const struct options *o)
{
	const struct state *st = m->st;
	uint32_t i;

	(void)o;
	state_lock(m, STATE_SHARED);
	printf("profile %s, %u GPUs, driver %s (%s), CUDA %d.%d, seed %u\n", st->profile,
	       st->gpu_count, st->driver_version, st->driver_loaded ? "loaded" : "not loaded",
	       st->cuda_version / 1000, st->cuda_version % 1000 / 10, st->seed);
	printf("%-4s %-5s %-12s %-40s %-4s %-3s %s\n", "GPU", "MINOR", "PCI", "UUID", "NUMA", "MIG",
	       "STATE");
	for (i = 0; i < st->gpu_count; i++)
		status_gpu(st, i);
	for (i = 0; i < STATE_FAULTS; i++)
		if (st->fault[i].kind != FAULT_NONE)
			printf("fault %u: %s %s gpu %d ms %u rc %u times %d hits %u\n",
			       st->fault[i].id, kinds[st->fault[i].kind],
			       state_fn_name(st->fault[i].fn),
			       st->fault[i].gpu < STATE_GPUS ? (int)st->fault[i].gpu : -1,
			       st->fault[i].ms, st->fault[i].rc, st->fault[i].times,
			       st->fault[i].hits);
	for (i = 0; i < FN_NR; i++)
		if (st->calls[i] != 0)
			printf("calls %-52s %llu\n", state_fn_name(i),
			       (unsigned long long)st->calls[i]);
	state_unlock(m);
	return 0;
}
