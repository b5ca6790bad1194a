#include "gpu/worker/host_role.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "gpu/proto/host.h"

enum { CMDLINE_MAX = 64 << 10 }; /* longer ones are not a worker's */

struct host_role {
	const struct roots *roots;
};

/*
 * Daemons that keep GPUs open whoever has them; they are no sign that a claim is in use. A process
 * of a container may take such a name: it loses only the protection of garbage collection.
 */
static const char *const daemons[] = {
	"nvidia-persiste",
	"nv-hostengine",
	"dcgm-exporter",
	"nv-fabricmanage",
};

struct host_scan {
	const struct host_role *role;
	struct host_device devices[HOST_DEVICES_MAX];
	size_t devices_n;
	struct host_holders *out;
	pid_t self, parent; /* as that /proc counts; the parent's children are tundra's workers */
	bool blind;	    /* a process could not be looked into */
};

struct host_role *host_role_new(const struct roots *roots)
{
	struct host_role *h = MEM_NEW(struct host_role);

	h->roots = roots;
	return h;
}

void host_role_free(struct host_role **h)
{
	mem_free(*h);
	*h = NULL;
}

static void host_name(const struct host_scan *s, const char *pid, char *out, size_t size)
{
	char path[512];

	snprintf(path, sizeof(path), "%.300s/%.20s/comm", s->role->roots->proc, pid);
	if (fsx_line(path, out, size) < 0)
		out[0] = '\0';
}

/* The fourth field of stat, behind the name, which may hold anything: "42 (a) b) S 1 ...". */
static pid_t host_parent(const struct host_scan *s, const char *pid)
{
	char path[512], line[512];
	struct sv rest;
	uint64_t parent;
	char *end;

	snprintf(path, sizeof(path), "%.300s/%.20s/stat", s->role->roots->proc, pid);
	if (fsx_line(path, line, sizeof(line)) < 0)
		return 0;
	end = strrchr(line, ')');
	if (!end || strlen(end) < 4)
		return 0;
	rest = sv_str(end + 4); /* ") S " */
	return sv_u64(sv_cut(&rest, ' '), &parent) == 0 && parent <= INT32_MAX ? (pid_t)parent : 0;
}

/* "<folder>/tundra-worker", "--role", ROLE, ...: from tools/worker, where a role shows itself. */
static bool host_is_worker(const struct host_scan *s, const char *pid, const char *role)
{
	char path[512];
	struct sv rest, program;
	struct buf text;
	bool is;

	snprintf(path, sizeof(path), "%.300s/%.20s/cmdline", s->role->roots->proc, pid);
	buf_init(&text, CMDLINE_MAX + 1);
	is = fsx_read(path, CMDLINE_MAX, &text) == 0;
	rest = buf_sv(&text);
	program = sv_cut(&rest, '\0');
	is = is && sv_ends(program, SV("/tundra-worker")) &&
	     sv_eqs(sv_cut(&rest, '\0'), "--role") && (!role || sv_eqs(sv_cut(&rest, '\0'), role));
	buf_done(&text);
	return is;
}

/*
 * Of the instance that hands over to ours, or takes over: its nvml worker has all GPUs open. A
 * process of a container that looks like it loses only the protection of garbage collection.
 */
static bool host_is_other_worker(const struct host_scan *s, const char *pid)
{
	char parent[16];

	if (!host_is_worker(s, pid, NULL))
		return false;
	snprintf(parent, sizeof(parent), "%d", (int)host_parent(s, pid));
	return host_is_worker(s, parent, "spawner");
}

static bool host_is_ours(const struct host_scan *s, const char *pid)
{
	uint64_t number;

	if (sv_u64(sv_str(pid), &number) < 0)
		return true;
	return (pid_t)number == s->parent || (pid_t)number == s->self ||
	       host_parent(s, pid) == s->parent;
}

/*
 * The host's /proc numbers processes otherwise than the namespace of our container, and it knows
 * which one asks (proc(5), /proc/self). A /proc that does not is no real one.
 */
static void host_know_itself(struct host_scan *s)
{
	char path[512], link[32];
	uint64_t number;

	s->self = getpid();
	s->parent = getppid();
	snprintf(path, sizeof(path), "%.300s/self", s->role->roots->proc);
	if (fsx_readlink(path, link, sizeof(link)) < 0 || sv_u64(sv_str(link), &number) < 0 ||
	    number > INT32_MAX)
		return;
	s->self = (pid_t)number;
	s->parent = host_parent(s, link);
}

static bool host_is_daemon(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(daemons); i++)
		if (strcmp(name, daemons[i]) == 0)
			return true;
	return false;
}

/*
 * Whether descriptor `fd` of a process is one of the devices. Follows /proc's magic link, and asks
 * no server: the file may be on a network file system that does not answer.
 */
static bool host_fd_matches(struct host_scan *s, int folder, const char *fd)
{
	struct statx st;
	size_t i;

	if (statx(folder, fd, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0) {
		s->blind |= errno == EACCES || errno == EPERM;
		return false;
	}
	if (!S_ISCHR(st.stx_mode))
		return false;
	for (i = 0; i < s->devices_n; i++)
		if (st.stx_rdev_major == s->devices[i].major &&
		    st.stx_rdev_minor == s->devices[i].minor)
			return true;
	return false;
}

static bool host_holds(struct host_scan *s, const char *pid)
{
	bool found = false;
	char path[512];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%.300s/%.20s/fd", s->role->roots->proc, pid);
	d = opendir(path);
	if (!d) {
		s->blind |= errno == EACCES || errno == EPERM;
		return false;
	}
	while (!found && (e = readdir(d)))
		found = e->d_name[0] != '.' && host_fd_matches(s, dirfd(d), e->d_name);
	closedir(d);
	return found;
}

static int host_on_process(void *arg, const char *pid)
{
	struct host_scan *s = arg;
	struct host_holder *holder;
	uint64_t number;

	if (sv_u64(sv_str(pid), &number) < 0 || number > INT32_MAX)
		return 0; /* not a process */
	if (host_is_ours(s, pid) || !host_holds(s, pid) || host_is_other_worker(s, pid))
		return 0;
	if (s->out->n == HOST_HOLDERS_MAX)
		return 1;
	holder = &s->out->list[s->out->n];
	holder->pid = (int64_t)number;
	host_name(s, pid, holder->name, sizeof(holder->name));
	if (!host_is_daemon(holder->name))
		s->out->n++;
	return 0;
}

/*
 * Whether all processes of the node are to be seen: kernel threads show in the node's own namespace
 * only; where the node is itself a container, process 1 is at least not of our own container.
 */
static bool host_sees_all(const struct host_scan *s)
{
	char path[512], theirs[64], ours[64], name[HOST_COMM_MAX + 1];

	host_name(s, "2", name, sizeof(name));
	if (strcmp(name, "kthreadd") == 0)
		return true;
	host_name(s, "1", name, sizeof(name));
	snprintf(path, sizeof(path), "%.300s/1/ns/mnt", s->role->roots->proc);
	if (strcmp(name, "pause") == 0 || fsx_readlink(path, theirs, sizeof(theirs)) < 0 ||
	    fsx_readlink("/proc/self/ns/mnt", ours, sizeof(ours)) < 0)
		return false;
	return strcmp(theirs, ours) != 0;
}

static int host_find_holders(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct host_scan *s = MEM_NEW(struct host_scan);
	struct host_holders *holders = MEM_NEW(struct host_holders);
	int r;

	(void)deadline_ms;
	s->role = ctx;
	s->out = holders;
	host_know_itself(s);
	r = host_get_devices(body, s->devices, &s->devices_n);
	if (r == 0)
		r = fsx_list(s->role->roots->proc, host_on_process, s);
	if (r < 0)
		buf_printf(out, "cannot look at the processes in %s: %s", s->role->roots->proc,
			   strerror(-r));
	holders->complete = r == 0 && s->devices_n && !s->blind && host_sees_all(s);
	if (r >= 0)
		host_put_holders(out, holders);
	mem_free(holders);
	mem_free(s);
	return r < 0 ? r : 0;
}

const struct worker_method host_role_methods[] = {
	{ HOST_M_HOLDERS, "holders", host_find_holders },
};
const size_t host_role_methods_n = ARRAY_LEN(host_role_methods);
