#pragma once
/* A fake driver root of its own per test, and the library in it, loaded as a worker would. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "third_party/nvml/nvml.h"

#if defined(__aarch64__)
#define LIB_PATH "usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1"
#else
#define LIB_PATH "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
#endif

struct nvml {
	NVML_SYMBOLS(NVML_MEMBER)
};

struct world {
	char root[64];
	void *lib;
	struct nvml fn;
};

/* Runs `fakegpu <args> --root <world>` and asserts that it succeeds. */
__attribute__((format(printf, 2, 3))) static inline void world_do(struct world *w, const char *fmt,
								  ...)
{
	char command[512];
	char args[256];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command), "'" TEST_BINARY_DIR "/bin/fakegpu' %s --root %s >%s.out",
		 args, w->root, w->root);
	r = system(command);
	assert_int_equal(r, 0);
}

static inline void world_load(struct world *w)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/" LIB_PATH, w->root);
	w->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (w->lib == NULL)
		fail_msg("%s", dlerror());
#define FIXTURE_RESOLVE(need, since, ret, name, params)                                            \
	*(void **)&w->fn.name = dlsym(w->lib, #name);
	NVML_SYMBOLS(FIXTURE_RESOLVE)
#undef FIXTURE_RESOLVE
}

static inline struct world *world_new(const char *make_args)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	snprintf(w->root, sizeof(w->root), "/tmp/fakenvml.XXXXXX");
	assert_non_null(mkdtemp(w->root));
	assert_int_equal(chmod(w->root, 0755), 0);
	world_do(w, "make %s", make_args);
	world_load(w);
	return w;
}

static inline void world_free(struct world *w)
{
	char out[80];

	if (w->lib != NULL)
		dlclose(w->lib);
	world_do(w, "remove");
	snprintf(out, sizeof(out), "%s/usr/lib", w->root);
	rmdir(out);
	snprintf(out, sizeof(out), "%s.out", w->root);
	unlink(out);
	snprintf(out, sizeof(out), "rm -r %s", w->root);
	assert_int_equal(system(out), 0);
	free(w);
}

static inline nvmlDevice_t world_gpu(struct world *w, unsigned int index)
{
	nvmlDevice_t d;

	assert_int_equal(w->fn.nvmlDeviceGetHandleByIndex_v2(index, &d), NVML_SUCCESS);
	return d;
}

static inline uint64_t world_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The child's exit status; a signal is 1000 + its number. */
static inline int world_reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline bool world_has(const struct world *w, const char *leaf)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->root, leaf);
	return access(path, F_OK) == 0;
}
