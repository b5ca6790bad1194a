/*
 * tundra-worker: the process that may block. Started with one socket (CHILD_FD), serves one role
 * until the socket closes. It is the only program that loads a vendor's library. As the spawner it
 * makes processes of the other roles out of itself, for a tundra that has no privileges any more.
 *
 *   tundra-worker --role nvml|host|disk|spawner --build ID [--dev DIR --proc DIR --sys DIR
 *                 --driver-root DIR --driver-root-host DIR] [--version]
 *
 * Exit: 0 the parent closed; 1 the protocol was broken; 2 wrong arguments; 3 of another build.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/child.h"
#include "core/journal_disk.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/spawner.h"
#include "core/version.h"
#include "gpu/nvidia/worker/nvml_role.h"
#include "gpu/worker/host_role.h"
#include "gpu/worker_args.h"
#include "gpu/worker_roles.h"

enum { EXIT_PROTOCOL = 1, EXIT_USAGE = 2, EXIT_BUILD = 3 };

struct options {
	char *role; /* of argv: what ps shows */
	const char *build;
	struct roots roots;
};

static int serve_nvml(const struct roots *roots)
{
	struct nvml_role *role = nvml_role_new(roots);
	int r = worker_serve(CHILD_FD, nvml_role_methods, nvml_role_methods_n, role);

	nvml_role_free(&role);
	return r;
}

static int serve_host(const struct roots *roots)
{
	struct host_role *role = host_role_new(roots);
	int r = worker_serve(CHILD_FD, host_role_methods, host_role_methods_n, role);

	host_role_free(&role);
	return r;
}

static int serve_disk(const struct roots *roots)
{
	struct journal_disk *disk = journal_disk_new();
	int r = worker_serve(CHILD_FD, journal_disk_methods, journal_disk_methods_n, disk);

	(void)roots;
	journal_disk_free(&disk);
	return r;
}

static const struct {
	const char *name;
	int (*serve)(const struct roots *roots);
} roles[] = {
	{ "nvml", serve_nvml },
	{ "host", serve_host },
	{ "disk", serve_disk },
};

static int usage(const char *what, const char *name)
{
	fprintf(stderr, "tundra-worker: %s%s%s\n", what, name ? " " : "", name ? name : "");
	return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct options *o)
{
	int i;

	for (i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage("no value for", argv[i]);
		if (strcmp(argv[i], "--role") == 0)
			o->role = argv[i + 1];
		else if (strcmp(argv[i], "--build") == 0)
			o->build = argv[i + 1];
		else if (!worker_args_read(argv[i], argv[i + 1], &o->roots))
			return usage("unknown argument", argv[i]);
	}
	if (!o->role || !o->build)
		return usage("started by tundra; --role and --build are needed", NULL);
	return 0;
}

/* The parent may have died between fork() and this; then nobody would ever end us. */
static bool follow_parent(void)
{
	struct stat st;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		log_warn("cannot follow the parent", LOG_S("error", strerror(errno)));
	return fstat(CHILD_FD, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* In ps and in kernel messages; a copy of the spawner has the spawner's arguments. */
static void show(struct options *o, const char *role)
{
	size_t room = strlen(o->role);

	prctl(PR_SET_NAME, role, 0, 0, 0);
	if (strcmp(o->role, role) != 0) {
		memset(o->role, 0, room);
		memcpy(o->role, role, MIN(room, strlen(role)));
	}
}

static int run(void *arg, const char *name)
{
	const struct worker_role *role = worker_role_find(name);
	struct options *o = arg;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(roles) && strcmp(roles[i].name, name) != 0; i++)
		;
	if (i == ARRAY_LEN(roles) || !role)
		return usage("unknown role", name);
	show(o, role->name);
	worker_role_confine(role);
	r = roles[i].serve(&o->roots);
	if (r < 0)
		log_error("worker stopped", LOG_S("role", role->name),
			  LOG_S("error", strerror(-r)));
	return r < 0 ? EXIT_PROTOCOL : 0;
}

static int spawn(struct options *o)
{
	int r;

	show(o, WORKER_SPAWNER);
	worker_spawner_confine();
	r = spawner_serve(CHILD_FD, run, o);
	if (r < 0)
		log_error("the spawner stopped", LOG_S("error", strerror(-r)));
	return r < 0 ? EXIT_PROTOCOL : 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.roots = { .dev = "/dev",
			   .proc = "/proc",
			   .sys = "/sys",
			   .driver = "",
			   .driver_host = "" },
	};
	int r;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("tundra-worker %s (%s)\n", version_string(), version_build());
		return 0;
	}
	r = parse(argc, argv, &o);
	if (r)
		return r;
	log_init(LOG_INFO, false, "tundra-worker");
	if (strcmp(o.build, version_build()) != 0) {
		log_error("this worker is of another build than tundra",
			  LOG_S("mine", version_build()), LOG_S("tundra", o.build));
		return EXIT_BUILD;
	}
	signal(SIGPIPE, SIG_IGN);
	if (!follow_parent())
		return usage("started by tundra only: no socket to serve", NULL);
	return strcmp(o.role, WORKER_SPAWNER) == 0 ? spawn(&o) : run(&o, o.role);
}
