#pragma once
/* A fake node with its options, for running single checks of tundra doctor on it. */
#include "test/unit/worker/node.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "core/fsx.h"
#include "k8s/api/config.h"
#include "tools/tundra/doctor.h"

struct world {
	struct fake_node *node;
	struct node_options o;
	struct doctor d;
	struct doctor_finding f; /* of the last check */
	pid_t peer;		 /* a server in a process of its own; 0 = none */
};

static inline void world_init(struct world *w, struct fake_node *node)
{
	char *argv[16], self[300];
	struct err e = { "" };
	int argc = 0;

	*w = (struct world){ .node = node };
	argv[argc++] = mem_strdup("doctor");
	argv[argc++] = mem_strdup("--node-name=node-1");
	argv[argc++] = mem_printf("--host-root=%s/host", node->root);
	argv[argc++] = mem_printf("--container-driver-root=%s", node->root);
	argv[argc++] = mem_printf("--nvidia-driver-root=%s", node->root);
	argv[argc++] = mem_printf("--dev-root=%s", node->dev);
	argv[argc++] = mem_printf("--proc-root=%s", node->proc);
	argv[argc++] = mem_printf("--sys-root=%s", node->sys);
	argv[argc++] = mem_printf("--cdi-root=%s/cdi", node->root);
	argv[argc++] = mem_printf("--run-directory=%s/tundra", node->root);
	argv[argc++] =
	    mem_printf("--kubelet-plugins-directory-path=%s/kubelet/plugins", node->root);
	argv[argc++] =
	    mem_printf("--kubelet-registrar-directory-path=%s/kubelet/registry", node->root);
	if (node_options_parse(argc, argv, conf_no_env, &w->o, &e) < 0)
		fail_msg("%s", e.text);
	while (argc)
		mem_free(argv[--argc]);
	snprintf(self, sizeof(self), "%s/bin/tundra", TEST_BINARY_DIR);
	doctor_init(&w->d, &w->o, self);
	mem_free(w->d.device_plugins); /* of the kubelet in the tree, not on the host in it */
	w->d.device_plugins = mem_printf("%s/kubelet/device-plugins", node->root);
	w->d.limit_ms = 8000;
}

static inline void world_done(struct world *w)
{
	if (w->peer) {
		kill(w->peer, SIGKILL);
		waitpid(w->peer, NULL, 0);
	}
	doctor_done(&w->d);
	node_options_done(&w->o);
	node_free(w->node);
}

static inline size_t row_of(const char *name)
{
	for (size_t i = 0; i < doctor_checks_n; i++)
		if (!strcmp(doctor_checks[i].name, name))
			return i;
	fail_msg("no check \"%s\"", name);
	return 0;
}

/* Runs one check; its finding is there for later ones. */
static inline struct doctor_finding *check(struct world *w, const char *name)
{
	size_t i = row_of(name);

	doctor_run(&w->d, &doctor_checks[i], &w->d.findings[i]);
	w->d.done[i] = true;
	return &w->d.findings[i];
}

/* As if an earlier check had found this. */
static inline struct doctor_finding *pretend(struct world *w, const char *name,
					     enum doctor_verdict v)
{
	size_t i = row_of(name);

	w->d.findings[i] = (struct doctor_finding){ .verdict = v };
	w->d.done[i] = true;
	return &w->d.findings[i];
}

#define EXPECT(w, name, wanted, text) expect(w, name, wanted, text, __LINE__)
static inline struct doctor_finding *expect(struct world *w, const char *name,
					    enum doctor_verdict wanted, const char *text, int line)
{
	struct doctor_finding *f = check(w, name);

	if (f->verdict != wanted || !strstr(f->found, text))
		fail_msg("line %d: %s: \"%s\" is not %s with \"%s\"", line,
			 doctor_verdict_names[f->verdict], f->found, doctor_verdict_names[wanted],
			 text);
	if (f->verdict == DOCTOR_FAIL && !*f->fix)
		fail_msg("line %d: FAIL without a fix: \"%s\"", line, f->found);
	return f;
}

__attribute__((format(printf, 3, 4))) static inline void world_file(struct world *w,
								    const char *path,
								    const char *fmt, ...)
{
	char *at = mem_printf("%s/%s", w->node->root, path), *folder = mem_strdup(at);
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*strrchr(folder, '/') = '\0';
	assert_int_equal(fsx_mkdirs(folder, 0755), 0);
	assert_int_equal(fsx_replace(at, sv_str(text), 0644, 0), 0);
	mem_free(at);
	mem_free(folder);
}

static inline void world_dir(struct world *w, const char *path)
{
	assert_int_equal(fsx_mkdirs(node_path(w->node, "%s", path), 0755), 0);
}
