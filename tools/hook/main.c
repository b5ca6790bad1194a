/*
 * tundra-cdi-hook: what a container runtime runs on the host while it makes a container that was
 * given a GPU. CDI specs name it with NVIDIA's arguments: "nvidia-cdi-hook <command> <flags>".
 *
 * A command that this version does not know is a warning and success, as with NVIDIA's program:
 * a spec written by a newer driver must not keep a container from starting after a downgrade.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/hook/hook.h"

#ifndef TUNDRA_VERSION
#define TUNDRA_VERSION "0.1.0"
#endif

static const struct command {
	const char *name, *help;
	int (*run)(struct hook *hook, int argc, char **argv);
} commands[] = {
	{ "create-symlinks", "make symbolic links in the container", hook_create_symlinks },
	{ "update-ldcache", "make the container's loader find libraries", hook_update_ldcache },
	{ "enable-cuda-compat", "prefer newer CUDA compatibility libraries of the image",
	  hook_enable_cuda_compat },
	{ "disable-device-node-modification", "tell the driver's libraries to make no device nodes",
	  hook_disable_device_node_modification },
	{ "chmod", "set the mode of folders in the container", hook_chmod },
};

static void help(FILE *out)
{
	fprintf(out,
		"usage: tundra-cdi-hook [--debug] [--quiet] COMMAND [flags] < container state\n"
		"A createContainer hook for OCI runtimes; takes nvidia-cdi-hook's commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-34s%s\n", commands[i].name, commands[i].help);
	fprintf(out, "COMMAND --help lists its flags. --version prints the version.\n");
}

/* As Go's ParseBool, for the environment and for --debug=false. */
static bool truth(const char *s)
{
	return s && (strcmp(s, "1") == 0 || strcmp(s, "t") == 0 || strcmp(s, "T") == 0 ||
		     strcmp(s, "true") == 0 || strcmp(s, "True") == 0 || strcmp(s, "TRUE") == 0);
}

/* "--name", "--name=true"; false when `arg` is another flag. */
static bool switch_flag(const char *arg, const char *name, bool *to)
{
	size_t len = strlen(name);

	arg += strspn(arg, "-");
	if (strncmp(arg, name, len) != 0 || (arg[len] != '\0' && arg[len] != '='))
		return false;
	*to = arg[len] == '\0' || truth(arg + len + 1);
	return true;
}

/* Without them the first file opened would take error messages or be taken for the state. */
static void fill_standard_fds(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= 2)
		fd = open("/dev/null", O_RDWR);
	if (fd > 2)
		close(fd);
}

static int run(struct hook *hook, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(hook, argc, argv);
	why_warn(&hook->why, "unknown command \"%s\": nothing is done", argv[0]);
	return HOOK_OK;
}

int main(int argc, char **argv)
{
	struct hook hook = {
		.version = TUNDRA_VERSION,
		.state_fd = STDIN_FILENO,
		.host_params = "/proc/driver/nvidia/params",
	};
	int i, r;

	fill_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	hook.why.debug = truth(getenv("NVIDIA_CTK_DEBUG"));
	hook.why.quiet = truth(getenv("NVIDIA_CTK_QUIET"));
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
			printf("tundra-cdi-hook %s\n", TUNDRA_VERSION);
			return HOOK_OK;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			help(stdout);
			return HOOK_OK;
		}
		if (!switch_flag(argv[i], "debug", &hook.why.debug) &&
		    !switch_flag(argv[i], "d", &hook.why.debug) &&
		    !switch_flag(argv[i], "quiet", &hook.why.quiet)) {
			why_set(&hook.why, -EINVAL, "unknown flag \"%s\"; see --help", argv[i]);
			why_print(&hook.why);
			return HOOK_USAGE;
		}
	}
	if (i == argc) {
		help(stderr);
		return HOOK_USAGE;
	}
	r = run(&hook, argc - i, argv + i);
	if (r != HOOK_OK)
		why_print(&hook.why);
	return r;
}
