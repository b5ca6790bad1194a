#include "test/lib/node/lab.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/lib/controllers.h"
#include "test/lib/inproc.h"
#include "test/lib/node/lab_objects.h"
#include "test/lib/node/lab_plan.h"
#include "test/lib/validate.h"

enum { WALL_MS_KILO = 1795000000, LOG_MAX = 16 << 20 };

/* ---- time ---- */

/* Time stands at `end` at the latest: a timer there keeps a loop with nothing else to do going. */
static void nothing(void *arg)
{
	(void)arg;
}

static bool turn(struct lab *l, int64_t max_ms)
{
	bool more = loop_turn(l->loop, max_ms);

	if (l->on_turn)
		l->on_turn(l->on_turn_arg);
	return more;
}

bool lab_until(struct lab *l, bool (*holds)(void *arg), void *arg, uint64_t ms)
{
	uint64_t end = loop_now_ms(l->loop) + ms;
	struct loop_timer t;
	bool held = false;

	loop_timer_init(&t, l->loop, nothing, NULL);
	loop_timer_set(&t, ms);
	while (!(held = holds(arg)) && loop_now_ms(l->loop) < end)
		if (!turn(l, (int64_t)(end - loop_now_ms(l->loop))))
			break;
	loop_timer_stop(&t);
	return held || holds(arg);
}

static bool is_true(void *arg)
{
	return *(const bool *)arg;
}

bool lab_until_true(struct lab *l, const bool *flag, uint64_t ms)
{
	return lab_until(l, is_true, (void *)(uintptr_t)flag, ms);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void lab_pass(struct lab *l, uint64_t ms)
{
	(void)lab_until(l, never, NULL, ms);
}

void lab_turns(struct lab *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)turn(l, 0);
}

/* ---- workers ---- */

static int host_start(void *ctx, struct loop *loop, const char *role, void (*on_exit)(void *arg),
		      void *arg, int *fd, void **handle)
{
	struct lab *l = ctx;

	must(!strcmp(role, "nvml"));
	return inproc_start(l->gpu_process, loop, role, on_exit, arg, fd, handle);
}

static int64_t host_pid(void *ctx, void *handle)
{
	(void)ctx;
	return ((struct inproc *)handle)->starts;
}

/* Takes one of the next requests' fates. */
static enum inproc_fate take_fate(enum inproc_fate fate, unsigned *skip, unsigned *fates)
{
	if (!*fates)
		return INPROC_SERVE;
	if (*skip) {
		(*skip)--;
		return INPROC_SERVE;
	}
	(*fates)--;
	return fate;
}

static enum inproc_fate gpu_fate(void *arg, uint16_t method)
{
	struct gpu_script *g = arg;

	(void)method;
	g->requests++;
	return take_fate(g->fate, &g->skip, &g->fates);
}

static void *gpu_process_new(void *arg)
{
	return arg;
}

static void gpu_process_free(void *ctx)
{
	(void)ctx;
}

static void make_gpu_process(struct lab *l)
{
	l->gpu_process = MEM_NEW(struct inproc);
	*l->gpu_process = (struct inproc){ .loop = l->loop,
					   .methods = gpu_script_methods,
					   .methods_n = gpu_script_methods_n,
					   .ctx_new = gpu_process_new,
					   .ctx_free = gpu_process_free,
					   .fate = gpu_fate,
					   .arg = &l->gpus };
}

/* ---- the disk, with its failures ---- */

struct disk_process {
	struct lab_disk *disk;
	struct journal_disk *journal;
};

static void *disk_process_new(void *arg)
{
	struct disk_process *p = MEM_NEW(struct disk_process);

	p->disk = arg;
	p->journal = journal_disk_new();
	return p;
}

static void disk_process_free(void *ctx)
{
	struct disk_process *p = ctx;

	journal_disk_free(&p->journal);
	mem_free(p);
}

static int disk_call(void *ctx, size_t i, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	const struct worker_method *m = &journal_disk_methods[i];
	struct disk_process *p = ctx;
	struct lab_disk *d = p->disk;

	d->calls += m->method == JOURNAL_M_APPEND;
	if (d->fails && (!d->fail_method || d->fail_method == m->method)) {
		d->fails--;
		d->failed++;
		return d->fail;
	}
	return m->fn(p->journal, body, deadline_ms, out);
}

#define DISK_METHOD(i)                                                                             \
	static int disk_method_##i(void *ctx, struct sv body, uint32_t deadline_ms,                \
				   struct buf *out)                                                \
	{                                                                                          \
		return disk_call(ctx, i, body, deadline_ms, out);                                  \
	}
DISK_METHOD(0)
DISK_METHOD(1)
DISK_METHOD(2)
DISK_METHOD(3)
DISK_METHOD(4)
DISK_METHOD(5)
DISK_METHOD(6)
DISK_METHOD(7)

static struct worker_method disk_methods[8] = { { .fn = disk_method_0 }, { .fn = disk_method_1 },
						{ .fn = disk_method_2 }, { .fn = disk_method_3 },
						{ .fn = disk_method_4 }, { .fn = disk_method_5 },
						{ .fn = disk_method_6 }, { .fn = disk_method_7 } };

static enum inproc_fate disk_fate(void *arg, uint16_t method)
{
	struct lab_disk *d = arg;

	(void)method;
	d->requests++;
	return take_fate(d->fate, &d->skip, &d->fates);
}

struct lab_disk *lab_disk_new(struct lab *l)
{
	struct lab_disk *d = &l->disks[l->disks_n];

	must(l->disks_n < LAB_DISKS_MAX && journal_disk_methods_n <= ARRAY_LEN(disk_methods));
	for (size_t i = 0; i < journal_disk_methods_n; i++) {
		disk_methods[i].method = journal_disk_methods[i].method;
		disk_methods[i].name = journal_disk_methods[i].name;
	}
	*d = (struct lab_disk){ .lab = l, .process = MEM_NEW(struct inproc) };
	*d->process = (struct inproc){ .loop = l->loop,
				       .methods = disk_methods,
				       .methods_n = journal_disk_methods_n,
				       .ctx_new = disk_process_new,
				       .ctx_free = disk_process_free,
				       .fate = disk_fate,
				       .arg = d };
	l->disks_n++;
	d->host = inproc_host(d->process);
	d->worker = worker_new(l->loop, &d->host, "disk");
	return d;
}

void lab_disk_pause(struct lab_disk *d, bool paused)
{
	if (d->process->running)
		loop_io_want(&d->process->io, paused ? 0 : LOOP_READ);
}

void lab_disk_restart(struct lab_disk *d)
{
	worker_free(&d->worker);
	(void)loop_turn(d->lab->loop, 0);
	d->worker = worker_new(d->lab->loop, &d->host, "disk");
}

void lab_disk_kill(struct lab_disk *d)
{
	inproc_end(d->process);
}

/* ---- GPUs ---- */

static bool scan_over(void *arg)
{
	struct lab *l = arg;

	return inventory_state(l->inventory) != INVENTORY_STARTING;
}

static void start_inventory(struct lab *l)
{
	struct inventory_conf conf = { .roots = &l->roots,
				       .host = &l->host,
				       .vendors = lab_plan_vendors };

	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, l->uevents) == 0);
	conf.uevent_fd = l->uevents[1];
	l->inventory = inventory_new(l->loop, &conf);
	inventory_start(l->inventory);
	must(lab_until(l, scan_over, l, 10000));
}

void lab_rescan(struct lab *l)
{
	inventory_rescan(l->inventory, "the test says so");
	lab_pass(l, 2000);
}

void lab_uevent(struct lab *l, const char *pci)
{
	char event[160];
	int n = snprintf(event, sizeof(event),
			 "unbind@/devices/pci\nACTION=unbind\nDEVPATH=/devices/pci\n"
			 "SUBSYSTEM=pci\nPCI_SLOT_NAME=%s\n",
			 pci);

	for (int i = 0; i < n; i++)
		event[i] = event[i] == '\n' ? '\0' : event[i];
	must(send(l->uevents[0], event, (size_t)n, 0) == n);
}

/* ---- the API server ---- */

void lab_api_again(struct lab *l)
{
	const struct api_conf conf = { .config = &l->config, .user_agent = "tundra/lab" };
	struct err e = { "" };

	api_free(&l->api);
	events_free(&l->events);
	must(api_new(l->loop, &conf, &l->api, &e) == 0);
	l->events = events_new(l->loop, l->api, "tundra", LAB_NODE);
}

static void start_server(struct lab *l, unsigned versions, const char *const *dropped)
{
	const struct apiserver_conf conf = { .store = l->store,
					     .versions = versions,
					     .dropped = dropped };
	struct err e = { "" };

	apiserver_free(&l->server);
	l->server = apiserver_new(l->loop, &conf);
	must(apiserver_listen_unix(l->server, l->config.unix_path, &e) == 0);
}

void lab_api_versions(struct lab *l, unsigned versions)
{
	start_server(l, versions, NULL);
}

void lab_api_drops(struct lab *l, const char *const *members)
{
	start_server(l, 0, members);
}

void lab_controllers(struct lab *l)
{
	const struct controllers_conf conf = { .store = l->store };

	l->controllers = controllers_new(l->loop, &conf);
}

static void start_api(struct lab *l)
{
	const struct store_conf store = { .validate = validate_object };

	l->config = (struct api_config){ .unix_path = lab_path(l, "api.sock") };
	l->store = store_new(l->loop, &store);
	start_server(l, 0, NULL);
	store_put_text(l->store, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":"
				 "\"" LAB_NODE "\"}}");
	lab_api_again(l);
}

/* ---- life ---- */

static void on_log(void *arg, enum log_level level, struct sv line)
{
	struct lab *l = arg;
	size_t had = l->log_n;

	l->log_errors += level == LOG_ERROR;
	if (getenv("LAB_LOG"))
		(void)fprintf(stderr, SV_FMT "%s", SV_ARG(line),
			      sv_ends(line, SV("\n")) ? "" : "\n");
	if (had + line.n + 2 > LOG_MAX)
		return;
	l->log = mem_realloc(l->log, had + line.n + 2, 1);
	memcpy(l->log + had, line.p, line.n);
	had += line.n;
	if (!line.n || line.p[line.n - 1] != '\n')
		l->log[had++] = '\n';
	l->log[had] = '\0';
	l->log_n = had;
}

void lab_forget(struct lab *l)
{
	l->log_n = 0;
	l->log[0] = '\0';
	lab_forget_events(l->store);
}

static void make_folders(struct lab *l)
{
	char **const folders[] = { &l->plugins, &l->registry, &l->cdi, &l->run, &l->dev };
	static const char *const names[] = { "plugins", "plugins_registry", "cdi", "run", "dev" };

	const char *top = getenv("TMPDIR");
	int n = snprintf(l->folder, sizeof(l->folder), "%s/tundra-lab-XXXXXX", top ? top : "/tmp");

	must(n > 0 && (size_t)n < sizeof(l->folder));
	must(mkdtemp(l->folder));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		*folders[i] = lab_path(l, "%s", names[i]);
		must(fsx_mkdirs(*folders[i], 0755) >= 0);
	}
	l->boot = lab_path(l, "boot_id");
	l->ledger = lab_path(l, "plugins/" LAB_DRIVER "/ledger");
	snprintf(l->boot_id, sizeof(l->boot_id), "boot-1");
	must(fsx_replace(l->boot, SV("boot-1\n"), 0644, 0) == 0);
	l->roots = (struct roots){ .dev = l->dev,
				   .proc = l->run,
				   .sys = l->run,
				   .driver = "",
				   .driver_host = "",
				   .plugins = l->plugins,
				   .registry = l->registry,
				   .cdi = l->cdi,
				   .run = l->run,
				   .boot_id = l->boot };
}

struct lab *lab_new(size_t gpus, uint64_t seed)
{
	struct lab *l = MEM_NEW(struct lab);

	map_seed(seed, seed);
	l->loop = loop_new_virtual((uint64_t)WALL_MS_KILO * 1000, seed);
	l->log = mem_strdup("");
	log_capture(on_log, l);
	make_folders(l);
	lab_plan_reset();
	gpu_script_init(&l->gpus, gpus);
	make_gpu_process(l);
	l->host = (struct worker_host){ host_start, inproc_kill, inproc_release, host_pid, l };
	start_api(l);
	start_inventory(l);
	l->metrics = metrics_new();
	l->stats = stats_new(l->metrics);
	return l;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void free_texts(struct lab *l)
{
	char *const texts[] = { l->plugins, l->registry,	 l->cdi, l->run, l->dev, l->boot,
				l->ledger,  l->config.unix_path, l->log };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		mem_free(texts[i]);
}

void lab_free(struct lab **lp)
{
	struct lab *l = *lp;

	inventory_free(&l->inventory);
	for (size_t i = 0; i < l->disks_n; i++)
		worker_free(&l->disks[i].worker);
	api_free(&l->api);
	events_free(&l->events);
	apiserver_free(&l->server);
	controllers_free(&l->controllers);
	store_free(&l->store);
	stats_free(&l->stats);
	metrics_free(&l->metrics);
	(void)loop_turn(l->loop, 0);
	loop_free(&l->loop);
	for (size_t i = 0; i < l->disks_n; i++)
		mem_free(l->disks[i].process);
	mem_free(l->gpu_process);
	close(l->uevents[0]);
	close(l->uevents[1]);
	log_capture(NULL, NULL);
	must(nftw(l->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free_texts(l);
	mem_free(l);
	*lp = NULL;
}

/* ---- files ---- */

char *lab_path(const struct lab *l, const char *fmt, ...)
{
	va_list ap;
	char *name, *path;

	va_start(ap, fmt);
	name = mem_vprintf(fmt, ap);
	va_end(ap);
	path = mem_printf("%s/%s", l->folder, name);
	mem_free(name);
	return path;
}

static char *cdi_path(struct lab *l, const char *uid)
{
	return lab_path(l, "cdi/k8s." LAB_DRIVER "-claim_%s.yaml", uid);
}

bool lab_cdi_exists(struct lab *l, const char *uid)
{
	char *path _mem_free_ = cdi_path(l, uid);

	return fsx_exists(path);
}

char *lab_cdi_text(struct lab *l, const char *uid)
{
	char *path _mem_free_ = cdi_path(l, uid);
	struct buf b;
	char *text = NULL;

	buf_init(&b, 1 << 20);
	if (!fsx_read(path, 1 << 20, &b))
		text = buf_steal(&b);
	buf_done(&b);
	return text;
}

static int count_entry(void *arg, const char *name)
{
	(void)name;
	(*(size_t *)arg)++;
	return 0;
}

size_t lab_cdi_count(struct lab *l)
{
	size_t n = 0;
	int r = fsx_list(l->cdi, count_entry, &n);

	must(r == 0 || r == -ENOENT); /* a reboot empties /run */
	return n;
}

static void ignore_key(void *arg, struct sv key)
{
	(void)arg;
	(void)key;
}

static void ignore_pair(void *arg, struct sv key, struct sv body)
{
	(void)arg;
	(void)key;
	(void)body;
}

size_t lab_ledger_records(struct lab *l)
{
	struct journal_scan_result result = { 0 };
	struct journal_scan_events ev = { .on_put = ignore_pair,
					  .on_del = ignore_key,
					  .on_corrupt = ignore_key,
					  .on_meta = ignore_pair };
	struct err e = { "" };
	struct buf file;

	buf_init(&file, 64 << 20);
	if (fsx_read(l->ledger, 64 << 20, &file) < 0 ||
	    journal_scan(buf_sv(&file), &ev, &result, &e) < 0)
		result.live = 0;
	buf_done(&file);
	return result.live;
}
