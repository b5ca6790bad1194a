/*
 * Loaded into every program of a run under an emulator (LD_PRELOAD): a program for the other
 * machine that gets started is started through the emulator. binfmt_misc does the same, but is the
 * machine's, not ours to set. Compiled twice, as shells and tools that tests call are programs of
 * this machine.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_MAX = 1024, MORE = 6 };

/* Where it can only fail, exec gives its reason. */
static bool is_foreign(const char *path)
{
	Elf64_Ehdr e;
	int fd = open(path, O_RDONLY | O_CLOEXEC), keep = errno;
	bool yes;

	if (fd < 0)
		return errno = keep, false;
	yes = read(fd, &e, sizeof(e)) == (ssize_t)sizeof(e) &&
	      !memcmp(e.e_ident, ELFMAG, SELFMAG) && e.e_machine == EM_AARCH64 &&
	      access(path, X_OK) == 0;
	close(fd);
	errno = keep;
	return yes;
}

/*
 * What to start instead; path and argv stay where no emulator is needed. self: room for what
 * /proc/self/exe means, which for the kernel is the emulator.
 */
static const char *rewrite(const char *path, char *const **argv, char *out[ARGS_MAX + MORE + 1],
			   char self[PATH_MAX])
{
	const char *more[MORE] = { EMULATOR, "-E", "LD_PRELOAD=" PRELOAD, "-0", (*argv)[0] };
	size_t n, i;
	ssize_t len;

	if (strcmp(path, "/proc/self/exe") == 0 && (len = readlink(path, self, PATH_MAX - 1)) > 0) {
		self[len] = '\0';
		path = self;
	}
	if (!is_foreign(path) || !(*argv)[0])
		return path;
	more[MORE - 1] = path;
	for (n = 0; n < MORE; n++)
		out[n] = (char *)(unsigned long)more[n];
	for (i = 1; (*argv)[i] && i < ARGS_MAX; i++)
		out[n++] = (*argv)[i];
	out[n] = NULL;
	*argv = out;
	return EMULATOR;
}

/* As a shell looks for it; in out, or name itself. */
static const char *search(const char *name, char out[PATH_MAX])
{
	const char *path = getenv("PATH") ?: "/usr/bin:/bin", *end;
	size_t dir, len = strlen(name);

	if (strchr(name, '/'))
		return name;
	for (;; path = end + 1) {
		end = strchrnul(path, ':');
		dir = (size_t)(end - path);
		if (dir && dir + len + 2 < PATH_MAX) {
			memcpy(out, path, dir);
			out[dir] = '/';
			memcpy(out + dir + 1, name, len + 1);
			if (access(out, X_OK) == 0)
				return out;
		}
		if (!*end)
			return name;
	}
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*real)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execve");
	char *args[ARGS_MAX + MORE + 1], self[PATH_MAX];

	path = rewrite(path, &argv, args, self);
	return real(path, argv, envp);
}

int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

int execvpe(const char *name, char *const argv[], char *const envp[])
{
	char at[PATH_MAX];

	return execve(search(name, at), argv, envp);
}

int execvp(const char *name, char *const argv[])
{
	return execvpe(name, argv, environ);
}

/* The arguments of execl() and its like, the first included; leaves ap behind their NULL. */
static void collect(const char *first, va_list *ap, char *out[ARGS_MAX + 1])
{
	size_t n = 0;
	char *arg = (char *)(unsigned long)first;

	for (; arg && n < ARGS_MAX; arg = va_arg(*ap, char *))
		out[n++] = arg;
	out[n] = NULL;
}

int execl(const char *path, const char *first, ...)
{
	char *args[ARGS_MAX + 1];
	va_list ap;

	va_start(ap, first);
	collect(first, &ap, args);
	va_end(ap);
	return execve(path, args, environ);
}

int execlp(const char *name, const char *first, ...)
{
	char *args[ARGS_MAX + 1];
	va_list ap;

	va_start(ap, first);
	collect(first, &ap, args);
	va_end(ap);
	return execvpe(name, args, environ);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *,
		    const posix_spawnattr_t *, char *const[], char *const[]) =
	    dlsym(RTLD_NEXT, "posix_spawn");
	char *args[ARGS_MAX + MORE + 1], self[PATH_MAX];

	path = rewrite(path, &argv, args, self);
	return real(pid, path, actions, attr, argv, envp);
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	char at[PATH_MAX];

	return posix_spawn(pid, search(name, at), actions, attr, argv, envp);
}
