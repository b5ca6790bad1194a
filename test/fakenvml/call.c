#include "test/fakenvml/call.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HANDLE_MAGIC 0x7ull

/* NVML is documented thread-safe, so the fake has the one mutex of this repository. The mapping
 * outlives a shutdown: another thread may still be inside a slow or hanging call. */
static struct session {
	pthread_mutex_t mutex;
	struct state_map map;
	uint32_t refs;
	uint32_t serial; /* of this init: handles of another one are dead */
	uint32_t driver_gen;
	uint32_t inside; /* threads sleeping in a call */
	uint32_t visible;
	uint32_t slot[STATE_GPUS];
	nvmlReturn_t access[STATE_GPUS]; /* by slot */
	int fd[STATE_GPUS + 1];
	uint32_t fds;
} s = { .mutex = PTHREAD_MUTEX_INITIALIZER, .map = { .fd = -1 } };

uint64_t handle_make(enum handle_kind kind, uint32_t gpu, uint32_t gi, uint32_t ci,
		     uint32_t incarnation)
{
	return HANDLE_MAGIC << 44 | (uint64_t)(s.serial & 0xfff) << 32 | (uint64_t)kind << 28 |
	       (uint64_t)(gpu & 0xf) << 24 | (uint64_t)(gi & 0xf) << 20 |
	       (uint64_t)(ci & 0xf) << 16 | (incarnation & 0xffff);
}

void *handle_ptr(uint64_t h)
{
	return (void *)(uintptr_t)h;
}

static bool handle_alive(uint64_t h, enum handle_kind kind)
{
	return h >> 44 == HANDLE_MAGIC && (h >> 32 & 0xfff) == (s.serial & 0xfff) &&
	       (h >> 28 & 0xf) == kind && (h >> 24 & 0xf) < s.map.st->gpu_count;
}

/* The nearest fakenvml.state in the library's folder or above it: a driver root is bind-mounted
 * into containers that get no environment from us. */
static int session_find(char *out, size_t len)
{
	const char *env = getenv("FAKENVML_STATE");
	char real[STATE_PATH];
	char *slash;
	Dl_info info;

	if (env != NULL && env[0] != '\0') {
		snprintf(out, len, "%s", env);
		return 0;
	}
	if (dladdr((void *)(uintptr_t)call_init, &info) == 0 || info.dli_fname == NULL)
		return -ENOENT;
	snprintf(real, sizeof(real), "%s", info.dli_fname);
	while ((slash = strrchr(real, '/')) != NULL) {
		*slash = '\0';
		snprintf(out, len, "%s/%s", real, STATE_FILE);
		if (access(out, F_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* The driver root may have been made anew since: then the file is another one. */
static int session_map(void)
{
	char path[STATE_PATH + 32];
	struct state_map fresh;
	struct stat sb;
	int r;

	r = session_find(path, sizeof(path));
	if (r < 0)
		return r;
	if (s.map.st != NULL && stat(path, &sb) == 0 && sb.st_dev == s.map.dev &&
	    sb.st_ino == s.map.ino)
		return 0;
	r = state_open(&fresh, path);
	if (r == -EPROTO)
		fprintf(stderr, "fakenvml: %s was made by another version of tools/fakegpu\n",
			path);
	if (r < 0)
		return r;
	if (s.inside == 0)
		state_close(&s.map);
	s.map = fresh;
	return 0;
}

static int session_open_node(const char *leaf)
{
	const char *env = getenv("FAKENVML_DEV");
	char path[2 * STATE_PATH];
	int fd;

	state_path(&s.map, env != NULL && env[0] != '\0' ? env : s.map.st->dev, leaf, path,
		   sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (s.fds < sizeof(s.fd) / sizeof(s.fd[0]))
		s.fd[s.fds++] = fd;
	else
		close(fd);
	return 0;
}

static nvmlReturn_t session_node_rc(int r)
{
	switch (r) {
	case 0:
	case -ENXIO: /* a node without a driver behind it: as good as it gets on fake hardware */
	case -ENODEV:
		return NVML_SUCCESS;
	case -EPERM:
	case -EACCES:
		return NVML_ERROR_NO_PERMISSION;
	case -ENOENT:
		return NVML_ERROR_NOT_FOUND;
	default:
		return NVML_ERROR_UNKNOWN;
	}
}

static void session_close_nodes(void)
{
	while (s.fds > 0)
		close(s.fd[--s.fds]);
}

static void session_end(void)
{
	session_close_nodes();
	s.refs = 0;
	s.visible = 0;
}

/* Real NVML looks at the bus once, here; a GPU that comes later is seen by the next init. A GPU
 * without a node does not exist for this process; one whose node is denied is counted. */
static void session_enumerate(void)
{
	const struct state *st = s.map.st;
	char leaf[32];
	uint32_t i;

	s.visible = 0;
	for (i = 0; i < st->gpu_count; i++) {
		s.access[i] = NVML_ERROR_NOT_FOUND;
		if (!st->gpu[i].present)
			continue;
		snprintf(leaf, sizeof(leaf), "nvidia%u", st->gpu[i].minor);
		s.access[i] = session_node_rc(session_open_node(leaf));
		if (s.access[i] != NVML_ERROR_NOT_FOUND)
			s.slot[s.visible++] = i;
	}
}

/* The library's own version is in its file name, where it has one. Read while loading: later the
 * link it was opened by may lead to another driver's. */
static char own_version[32];

__attribute__((constructor)) static void session_loaded(void)
{
	static const char prefix[] = "libnvidia-ml.so.";
	char real[PATH_MAX];
	const char *version;
	Dl_info info;

	if (dladdr((void *)(uintptr_t)call_init, &info) == 0 ||
	    realpath(info.dli_fname, real) == NULL)
		return;
	version = strstr(real, prefix);
	if (version != NULL && strchr(version + strlen(prefix), '.') != NULL)
		snprintf(own_version, sizeof(own_version), "%s", version + strlen(prefix));
}

/* A kernel module of another version refuses the library. */
static bool session_version_mismatch(void)
{
	return own_version[0] != '\0' && strcmp(own_version, s.map.st->driver_version) != 0;
}

static nvmlReturn_t session_begin(unsigned int flags)
{
	nvmlReturn_t rc;

	if (!s.map.st->driver_loaded)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	if (session_version_mismatch())
		return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
	rc = session_node_rc(session_open_node("nvidiactl"));
	if (rc == NVML_ERROR_NOT_FOUND)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	if (rc != NVML_SUCCESS)
		return rc;
	session_enumerate();
	if (s.visible == 0 && (flags & NVML_INIT_FLAG_NO_GPUS) == 0) {
		session_end();
		return NVML_ERROR_NOT_FOUND;
	}
	s.refs = 1;
	s.serial++;
	s.driver_gen = s.map.st->driver_gen;
	return NVML_SUCCESS;
}

static bool session_alive(void)
{
	return s.refs > 0 && s.map.st->driver_loaded && s.map.st->driver_gen == s.driver_gen;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Sleeps with nothing locked until the fault is gone or, if it has a time, that long. */
static void fault_sleep(const struct state *st, const struct state_fault *slot, uint32_t id,
			uint64_t ms)
{
	uint64_t end = ms == UINT64_MAX ? UINT64_MAX : now_ms() + ms;
	uint64_t now;
	uint32_t seen;

	for (;;) {
		seen = state_seen(st);
		if (__atomic_load_n(&slot->id, __ATOMIC_ACQUIRE) != id)
			return;
		now = now_ms();
		if (now >= end)
			return;
		state_sleep(st, seen, end == UINT64_MAX ? UINT64_MAX : end - now);
	}
}

static struct state_fault *fault_find(struct call *c)
{
	struct state_fault *f;
	uint32_t i;

	for (i = 0; i < STATE_FAULTS; i++) {
		f = &c->st->fault[i];
		if (f->kind == FAULT_NONE || f->times == 0)
			continue;
		if (f->fn != FN_ANY && f->fn != (uint32_t)c->fn)
			continue;
		if (f->gpu < STATE_GPUS && (c->gpu == NULL || f->gpu != c->slot))
			continue;
		return f;
	}
	return NULL;
}

/* Runs with the lock held and comes back with it held. */
static nvmlReturn_t fault_strike(struct call *c)
{
	struct state_fault *f = fault_find(c);
	uint32_t kind;
	uint32_t id;
	uint64_t ms;

	if (f == NULL)
		return NVML_SUCCESS;
	kind = f->kind;
	id = f->id;
	ms = kind == FAULT_HANG && f->ms == 0 ? UINT64_MAX : f->ms;
	if (s.map.writable) {
		__atomic_add_fetch(&f->hits, 1, __ATOMIC_RELAXED);
		if (f->times > 0)
			__atomic_sub_fetch(&f->times, 1, __ATOMIC_RELAXED);
	}
	switch ((enum state_fault_kind)kind) {
	case FAULT_FAIL:
		return (nvmlReturn_t)f->rc;
	case FAULT_CRASH:
		abort();
	case FAULT_WRONG:
		c->wrong = true;
		c->byte = (unsigned char)f->byte;
		return NVML_SUCCESS;
	case FAULT_SLOW:
	case FAULT_HANG:
		call_unlock(c);
		fault_sleep(c->st, f, id, ms);
		call_relock(c);
		return NVML_SUCCESS;
	case FAULT_NONE:
		break;
	}
	return NVML_SUCCESS;
}

static void session_lock(enum state_lock_kind kind)
{
	pthread_mutex_lock(&s.mutex);
	if (s.map.st != NULL)
		state_lock(&s.map, kind);
}

static void session_unlock(void)
{
	if (s.map.st != NULL)
		state_unlock(&s.map);
	pthread_mutex_unlock(&s.mutex);
}

void call_unlock(struct call *c)
{
	(void)c;
	s.inside++;
	session_unlock();
}

void call_relock(struct call *c)
{
	(void)c;
	session_lock(STATE_EXCLUSIVE);
	s.inside--;
}

nvmlReturn_t call_init(enum state_fn fn, unsigned int flags)
{
	struct call c = { .fn = fn };
	nvmlReturn_t rc = NVML_SUCCESS;

	pthread_mutex_lock(&s.mutex);
	if (s.map.st == NULL || !session_alive()) {
		if (session_map() < 0) {
			pthread_mutex_unlock(&s.mutex);
			return NVML_ERROR_DRIVER_NOT_LOADED;
		}
	}
	state_lock(&s.map, STATE_EXCLUSIVE);
	c.st = s.map.st;
	if (s.map.writable)
		__atomic_add_fetch(&c.st->calls[fn], 1, __ATOMIC_RELAXED);
	rc = fault_strike(&c);
	if (rc == NVML_SUCCESS && session_alive()) {
		s.refs++;
	} else if (rc == NVML_SUCCESS) {
		session_end();
		rc = session_begin(flags);
		if (rc != NVML_SUCCESS)
			session_end();
	}
	session_unlock();
	return rc;
}

nvmlReturn_t call_shutdown(void)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlShutdown, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (--s.refs == 0)
		session_end();
	return call_end(&c, NVML_SUCCESS, NULL, 0);
}

static bool privileged(void)
{
	const char *env = getenv("FAKENVML_PRIVILEGED");

	return env != NULL && env[0] != '\0' ? env[0] == '1' : geteuid() == 0;
}

nvmlReturn_t call_enter(struct call *c, enum state_fn fn, unsigned int flags)
{
	*c = (struct call){ .fn = fn };
	session_lock(flags & CALL_WRITE ? STATE_EXCLUSIVE : STATE_SHARED);
	if (s.map.st == NULL || !session_alive()) {
		session_unlock();
		return NVML_ERROR_UNINITIALIZED;
	}
	c->st = s.map.st;
	if (s.map.writable)
		__atomic_add_fetch(&c->st->calls[fn], 1, __ATOMIC_RELAXED);
	return NVML_SUCCESS;
}

/* Fills c from a handle; false: dead, foreign or of another kind. */
static bool call_decode(struct call *c, uint64_t h, enum handle_kind kind)
{
	uint32_t inc = (uint32_t)(h & 0xffff);
	struct state_gi *gi;
	struct state_ci *ci;

	if (!handle_alive(h, kind))
		return false;
	c->handle = h;
	c->kind = kind;
	c->slot = (uint32_t)(h >> 24 & 0xf);
	c->gpu = &c->st->gpu[c->slot];
	c->model = model_get(c->gpu->model);
	if (kind == HANDLE_GPU)
		return true;
	gi = &c->gpu->gi[(h >> 20 & 0xf) % STATE_GIS];
	ci = &gi->ci[(h >> 16 & 0xf) % STATE_CIS];
	if (!gi->used || (kind == HANDLE_GI && (gi->serial & 0xffff) != inc))
		return false;
	c->gi = gi;
	if (kind == HANDLE_GI)
		return true;
	c->ci = ci;
	return ci->used && (ci->serial & 0xffff) == inc;
}

nvmlReturn_t call_admit(struct call *c, unsigned int flags)
{
	nvmlReturn_t rc = fault_strike(c);

	if (rc == NVML_SUCCESS && !session_alive())
		rc = NVML_ERROR_UNINITIALIZED;
	/* What the handle names may have gone while a fault slept. */
	if (rc == NVML_SUCCESS && c->kind != 0 && !call_decode(c, c->handle, c->kind))
		rc = NVML_ERROR_INVALID_ARGUMENT;
	if (rc == NVML_SUCCESS && c->gpu != NULL && !(flags & CALL_LOST_OK) &&
	    (c->gpu->lost || !c->gpu->present))
		rc = NVML_ERROR_GPU_IS_LOST;
	if (rc == NVML_SUCCESS && (flags & CALL_ROOT) && !privileged())
		rc = NVML_ERROR_NO_PERMISSION;
	if (rc == NVML_SUCCESS && (flags & CALL_WRITE) && !s.map.writable)
		rc = NVML_ERROR_NO_PERMISSION;
	if (rc != NVML_SUCCESS)
		session_unlock();
	return rc;
}

nvmlReturn_t call_begin(struct call *c, enum state_fn fn, unsigned int flags)
{
	nvmlReturn_t rc = call_enter(c, fn, flags);

	return rc == NVML_SUCCESS ? call_admit(c, flags) : rc;
}

nvmlReturn_t call_gpu(struct call *c, enum state_fn fn, nvmlDevice_t device, unsigned int flags)
{
	nvmlReturn_t rc = call_enter(c, fn, flags);
	uint64_t h = (uint64_t)(uintptr_t)device;

	if (rc != NVML_SUCCESS)
		return rc;
	if (call_decode(c, h, HANDLE_GPU))
		return call_admit(c, flags);
	if (call_decode(c, h, HANDLE_MIG)) {
		if (flags & CALL_MIG_OK)
			return call_admit(c, flags);
		rc = NVML_ERROR_NOT_SUPPORTED;
	} else {
		rc = NVML_ERROR_INVALID_ARGUMENT;
	}
	session_unlock();
	return rc;
}

static nvmlReturn_t call_instance(struct call *c, enum state_fn fn, uint64_t h,
				  enum handle_kind kind, unsigned int flags)
{
	nvmlReturn_t rc = call_enter(c, fn, flags);

	if (rc != NVML_SUCCESS)
		return rc;
	if (call_decode(c, h, kind))
		return call_admit(c, flags);
	session_unlock();
	return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t call_gi(struct call *c, enum state_fn fn, nvmlGpuInstance_t gi, unsigned int flags)
{
	return call_instance(c, fn, (uint64_t)(uintptr_t)gi, HANDLE_GI, flags);
}

nvmlReturn_t call_ci(struct call *c, enum state_fn fn, nvmlComputeInstance_t ci, unsigned int flags)
{
	return call_instance(c, fn, (uint64_t)(uintptr_t)ci, HANDLE_CI, flags);
}

nvmlReturn_t call_end(struct call *c, nvmlReturn_t rc, void *out, size_t n)
{
	if (rc == NVML_SUCCESS && c->wrong && out != NULL)
		memset(out, c->byte, n);
	session_unlock();
	return rc;
}

nvmlReturn_t call_end_str(struct call *c, const char *str, char *out, unsigned int length)
{
	size_t n = strlen(str);

	if (out == NULL)
		return call_end(c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (n + 1 > length)
		return call_end(c, NVML_ERROR_INSUFFICIENT_SIZE, NULL, 0);
	memcpy(out, str, n + 1);
	return call_end(c, NVML_SUCCESS, out, n); /* wrong, but terminated */
}

uint32_t call_visible(void)
{
	return s.visible;
}

nvmlReturn_t call_slot_by_index(uint32_t index, uint32_t *slot)
{
	if (index >= s.visible)
		return NVML_ERROR_INVALID_ARGUMENT;
	*slot = s.slot[index];
	return NVML_SUCCESS;
}

bool call_index_of_slot(uint32_t slot, uint32_t *index)
{
	uint32_t i;

	for (i = 0; i < s.visible; i++)
		if (s.slot[i] == slot) {
			*index = i;
			return true;
		}
	return false;
}

nvmlReturn_t call_gpu_access(uint32_t slot)
{
	return s.access[slot];
}

nvmlDevice_t call_gpu_handle(uint32_t slot)
{
	return handle_ptr(handle_make(HANDLE_GPU, slot, 0, 0, 0));
}

const struct state_map *call_map(void)
{
	return &s.map;
}

bool call_session_alive(uint32_t session)
{
	return session_alive() && s.serial == session;
}

uint32_t call_session(void)
{
	return s.serial;
}

/* dlclose with an open session must not leak its descriptors. */
__attribute__((destructor)) static void session_unload(void)
{
	session_close_nodes();
	if (s.inside == 0)
		state_close(&s.map);
}
