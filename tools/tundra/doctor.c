#include "tools/tundra/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/mem.h"
#include "core/version.h"
#include "gpu/inventory.h"
#include "k8s/api/config.h"
#include "tools/tundra/bounded.h"
#include "tools/tundra/command.h"

#define DRIVER_MS INVENTORY_OPEN_MS /* opening a driver wakes every GPU */

const char *const doctor_verdict_names[] = { "ok", "warn", "FAIL", "unknown" };

/* In this order; a name stands once, and `needs` names an earlier one. */
const struct doctor_check doctor_checks[] = {
	{ "kernel", "version and machine", check_kernel, NULL, 0 },
	{ "privileges", "root, and the capabilities that tundra and its workers use",
	  check_privileges, NULL, 0 },
	{ "programs", "tundra-worker of this build, tundra-cdi-hook", check_programs, NULL, 0 },
	{ "gpus", "NVIDIA GPUs on the PCI bus and who drives them", check_gpus, NULL, 0 },
	{ "kernel module", "NVIDIA's module is loaded", check_module, NULL, 0 },
	{ "device nodes", "/dev/nvidia* with the majors of the loaded module", check_device_nodes,
	  "kernel module", 0 },
	{ "driver", "the driver's files: every place that is tried", check_driver, "programs",
	  DRIVER_MS },
	{ "nvml", "NVML answers for each GPU", check_nvml, "driver", DRIVER_MS },
	{ "api server", "reachable, and its version", check_api_server, NULL, 0 },
	{ "dra api", "versions of resource.k8s.io that it serves", check_dra_api, "api server", 0 },
	{ "rbac", "each verb that tundra uses, asked by SelfSubjectAccessReview", check_rbac,
	  "api server", 0 },
	{ "node object", "the Node of this name, its kubelet and runtime", check_node_object,
	  "api server", 0 },
	{ "clock", "the API server's clock against ours", check_clock, "api server", 0 },
	{ "kubelet", "feature gates in its configuration", check_kubelet_config, NULL, 0 },
	{ "kubelet folders", "plugin folders and sockets", check_kubelet_folders, NULL, 0 },
	{ "runtime", "CDI is on in containerd or CRI-O, and reads our folder", check_runtime, NULL,
	  0 },
	{ "cdi folder", "can be written", check_cdi_folder, NULL, 0 },
	{ "disk", "space and sync time of the plugin folder", check_disk, NULL, 0 },
	{ "ledger", "readable, no damaged record", check_ledger, NULL, 0 },
	{ "device plugin", "nobody serves the same GPUs as an extended resource",
	  check_device_plugin, NULL, 0 },
	{ "other driver", "NVIDIA's DRA driver does not serve the same GPUs", check_other_driver,
	  NULL, 0 },
	{ "node agent", "what the running tundra node says", check_node_agent, NULL, 0 },
};
const size_t doctor_checks_n = ARRAY_LEN(doctor_checks);

/* ---- saying ---- */

void doctor_say(struct doctor_finding *f, enum doctor_verdict v, const char *fmt, ...)
{
	va_list ap;

	f->verdict = v;
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof(f->found), fmt, ap);
	va_end(ap);
}

void doctor_more(struct doctor_finding *f, const char *fmt, ...)
{
	size_t n = strlen(f->found);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->found + n, sizeof(f->found) - n, fmt, ap);
	va_end(ap);
}

void doctor_fix(struct doctor_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->fix, sizeof(f->fix), fmt, ap);
	va_end(ap);
}

bool doctor_version(const char *text, const char *prefix, int *major, int *minor)
{
	struct sv rest = sv_str(text);
	char *end;
	long a, b;

	if (!sv_starts(rest, sv_str(prefix)))
		return false;
	text += strlen(prefix);
	a = strtol(text, &end, 10);
	if (end == text || *end != '.' || a < 0 || a > 9999)
		return false;
	text = end + 1;
	b = strtol(text, &end, 10);
	if (end == text || b < 0 || b > 9999)
		return false;
	*major = (int)a;
	*minor = (int)b;
	return true;
}

/* A line is a line, whatever a library or a server said. */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

/* ---- the world ---- */

static void find_api(struct doctor *d)
{
	if (node_options_api(d->o, &d->api, &d->api_why) < 0)
		d->api = NULL;
}

void doctor_init(struct doctor *d, const struct node_options *o, const char *self)
{
	*d = (struct doctor){ .o = o };
	node_options_roots(o, &d->roots);
	d->folder = mem_printf("%s/" DRIVER_NAME, o->plugins);
	d->device_plugins = node_options_device_plugins(o);
	d->host = mem_strdup(o->host_root && strcmp(o->host_root, "/") != 0 ? o->host_root : "");
	d->worker = command_program(self, o->worker_path, "tundra-worker");
	d->hook = command_program(self, o->hook_source, "tundra-cdi-hook");
	d->limit_ms = 10000;
	d->findings = mem_calloc(doctor_checks_n, sizeof(*d->findings));
	d->done = mem_calloc(doctor_checks_n, sizeof(*d->done));
	find_api(d);
}

void doctor_done(struct doctor *d)
{
	api_config_free(&d->api);
	mem_free(d->folder);
	mem_free(d->device_plugins);
	mem_free(d->host);
	mem_free(d->worker);
	mem_free(d->hook);
	mem_free(d->findings);
	mem_free(d->done);
	*d = (struct doctor){ 0 };
}

const struct doctor_finding *doctor_found(const struct doctor *d, const char *name)
{
	for (size_t i = 0; i < doctor_checks_n; i++)
		if (d->done[i] && !strcmp(doctor_checks[i].name, name))
			return &d->findings[i];
	return NULL;
}

/* ---- one check in its own process ---- */

struct run {
	const struct doctor *d;
	const struct doctor_check *c;
};

static void in_child(void *arg, int fd)
{
	const struct run *r = arg;
	struct doctor_finding *f = MEM_NEW(struct doctor_finding);

	doctor_say(f, DOCTOR_UNKNOWN, "the check found nothing to say");
	r->c->run(r->d, f);
	(void)!fsx_write_all(fd, sv_make(f, sizeof(*f)));
	mem_free(f);
}

static void no_answer(struct doctor_finding *f, int r, int status, uint32_t limit_ms)
{
	if (r < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "no process could be made for it: %s", strerror(-r));
	} else if (r == BOUNDED_LATE) {
		doctor_say(f, DOCTOR_FAIL, "no answer within %.1f s", limit_ms / 1000.0);
		doctor_fix(f, "what it looks at hangs; the kernel's log (dmesg) usually says why. "
			      "--timeout gives it longer");
	} else {
		doctor_say(f, DOCTOR_UNKNOWN, "the check itself ended with %s %d",
			   WIFSIGNALED(status) ? "signal" : "code",
			   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		doctor_fix(f, "report this with the output of tundra support-bundle");
	}
}

static bool may_run(const struct doctor *d, const struct doctor_check *c, struct doctor_finding *f)
{
	const struct doctor_finding *first = c->needs ? doctor_found(d, c->needs) : NULL;

	if (!c->needs || (first && first->verdict <= DOCTOR_WARN))
		return true;
	doctor_say(f, DOCTOR_UNKNOWN, "not asked: \"%s\" is not ok", c->needs);
	return false;
}

void doctor_run(const struct doctor *d, const struct doctor_check *c, struct doctor_finding *f)
{
	uint32_t limit_ms = MAX(d->limit_ms, c->least_ms);
	/* Workers and clients log what the finding will say. */
	bool quiet = d->o->verbosity <= 5;
	struct run run = { d, c };
	struct timespec a, b;
	struct buf answer;
	int r, status = 0;

	*f = (struct doctor_finding){ 0 };
	if (!may_run(d, c, f))
		return;
	buf_init(&answer, sizeof(*f));
	clock_gettime(CLOCK_MONOTONIC, &a);
	r = bounded_run(in_child, &run, limit_ms, quiet, &answer, &status);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (r == 0 && buf_len(&answer) == sizeof(*f))
		memcpy(f, buf_sv(&answer).p, sizeof(*f));
	else
		no_answer(f, r, status, limit_ms);
	buf_done(&answer);
	f->ms = (uint32_t)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
	one_line(f->found);
	one_line(f->fix);
}

void doctor_run_all(struct doctor *d,
		    void (*told)(void *arg, const struct doctor_check *c,
				 const struct doctor_finding *f),
		    void *arg)
{
	for (size_t i = 0; i < doctor_checks_n; i++) {
		doctor_run(d, &doctor_checks[i], &d->findings[i]);
		d->done[i] = true;
		if (told)
			told(arg, &doctor_checks[i], &d->findings[i]);
	}
}

/* ---- the answer ---- */

void doctor_json(const struct doctor *d, struct buf *out)
{
	int64_t count[DOCTOR_VERDICTS] = { 0 };
	struct jsonw w;

	jsonw_init(&w, out);
	w.indent = 2;
	jsonw_obj(&w);
	jsonw_kstr(&w, "version", version_string());
	jsonw_kstr(&w, "build", version_build());
	jsonw_kstr(&w, "node", d->o->node_name);
	jsonw_karr(&w, "checks");
	for (size_t i = 0; i < doctor_checks_n && d->done[i]; i++) {
		const struct doctor_finding *f = &d->findings[i];

		jsonw_obj(&w);
		jsonw_kstr(&w, "name", doctor_checks[i].name);
		jsonw_kstr(&w, "verdict", doctor_verdict_names[f->verdict]);
		jsonw_kstr(&w, "found", f->found);
		if (*f->fix)
			jsonw_kstr(&w, "fix", f->fix);
		jsonw_ki64(&w, "ms", f->ms);
		jsonw_end(&w);
		count[f->verdict]++;
	}
	jsonw_end(&w);
	for (size_t i = 0; i < DOCTOR_VERDICTS; i++)
		jsonw_ki64(&w, doctor_verdict_names[i], count[i]);
	jsonw_end(&w);
}
