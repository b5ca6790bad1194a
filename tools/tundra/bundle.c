/* tundra support-bundle: one archive with what a helper needs to see, without secrets. */
#include "tools/tundra/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "k8s/api/config.h"
#include "tools/tundra/bounded.h"
#include "tools/tundra/command.h"
#include "tools/tundra/ustar.h"

enum { PART_FULL = 3 }; /* exit code of a part's process that left something out */

const struct bundle_part bundle_parts[] = {
	{ "doctor", "doctor.txt, doctor.json: the checks of tundra doctor", part_doctor },
	{ "status", "status.json: what tundra status shows, when the node agent runs here",
	  part_status },
	{ "metrics", "metrics.txt: of the running node agent", part_metrics },
	{ "ledger", "ledger.json: which claims are prepared, and damaged records", part_ledger },
	{ "objects", "resourceslices.json, node.json, version.json: from the API server",
	  part_objects },
	{ "versions", "versions.txt: tundra, worker, system", part_versions },
	{ "kernel", "kernel.txt: command line, modules, limits; kmsg.txt: lines about NVIDIA",
	  part_kernel },
	{ "driver", "driver.txt: what the driver and the PCI bus tell; device nodes", part_driver },
	{ "folders", "folders.txt: plugin, registry and CDI folders; cdi/: specs of claims",
	  part_folders },
	{ "runtime", "runtime/: configuration of containerd or CRI-O, and of the kubelet",
	  part_runtime },
	{ "environment", "environment.txt: flags that come from the environment",
	  part_environment },
	{ "logs", "logs/: ends of tundra's container logs", part_logs },
};
const size_t bundle_parts_n = ARRAY_LEN(bundle_parts);

/* ---- into the archive ---- */

void bundle_put(struct bundle *b, const char *name, struct sv content)
{
	struct buf clean;

	if (content.n > b->out.cap - buf_len(&b->out)) {
		b->left_out = true; /* no time is lost on it */
		return;
	}
	buf_init(&clean, (size_t)2 * BUNDLE_FILE_MAX);
	redact_text(&b->redact, content, &clean);
	if (!ustar_put(&b->out, name, buf_sv(&clean), b->now_s))
		b->left_out = true;
	buf_done(&clean);
}

/* The last bytes; *cut: there are more before them. */
static int read_end(const char *path, struct buf *out, bool *cut)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	off_t size;

	if (fd < 0)
		return -errno;
	size = lseek(fd, 0, SEEK_END);
	*cut = size > BUNDLE_FILE_MAX;
	if (size >= 0)
		(void)lseek(fd, size > BUNDLE_FILE_MAX ? size - BUNDLE_FILE_MAX : 0, SEEK_SET);
	/* A file that grows meanwhile is cut where it was. */
	r = fsx_read_fd(fd, BUNDLE_FILE_MAX + (1 << 20), out);
	close(fd);
	return r;
}

void bundle_put_file(struct bundle *b, const char *name, const char *path)
{
	struct buf text;
	struct sv rest;
	bool cut = false;
	int r;

	buf_init(&text, (size_t)2 * BUNDLE_FILE_MAX);
	r = read_end(path, &text, &cut);
	if (r < 0) {
		buf_clear(&text);
		buf_printf(&text, "(not here: %s: %s)\n", path, strerror(-r));
	}
	rest = buf_sv(&text);
	if (r == 0 && cut)
		(void)sv_cut(&rest, '\n');
	bundle_put(b, name, rest);
	buf_done(&text);
}

/* ---- secrets that are known by value ---- */

static void know_str(struct bundle *b, const char *text)
{
	if (text)
		redact_know(&b->redact, sv_str(text));
}

static void know_file(struct bundle *b, const char *path)
{
	struct buf text;

	if (!path)
		return;
	buf_init(&text, API_CONFIG_TOKEN_MAX);
	if (fsx_read(path, API_CONFIG_TOKEN_MAX, &text) == 0)
		redact_know(&b->redact, buf_sv(&text));
	buf_done(&text);
}

void bundle_know(struct bundle *b, const char *const *environment)
{
	const struct api_config *api = b->d->api;

	if (api) {
		know_str(b, api->token);
		know_str(b, api->key_pem);
		know_file(b, api->token_file);
		know_file(b, api->key_file);
	}
	for (size_t i = 0; environment && environment[i]; i++) {
		struct sv value = sv_str(environment[i]), name = sv_cut(&value, '=');

		/* A path tells nothing; its file is another matter. */
		if (redact_is_secret_name(name) && value.n && value.p[0] != '/')
			redact_know(&b->redact, value);
	}
}

/* ---- making it ---- */

struct part_run {
	struct bundle *b;
	const struct bundle_part *part;
};

static void in_child(void *arg, int fd)
{
	struct part_run *r = arg;

	r->part->write(r->b);
	(void)!fsx_write_all(fd, buf_sv(&r->b->out));
	if (r->b->left_out)
		_exit(PART_FULL);
}

/* Why a part is not whole; "" = it is. */
static const char *trouble(int r, int status)
{
	if (r == BOUNDED_DIED && WIFEXITED(status) && WEXITSTATUS(status) == PART_FULL)
		return "not all of it fits";
	return r == 0		   ? ""
	       : r == BOUNDED_LATE ? "took too long"
	       : r == BOUNDED_DIED ? "its process died"
				   : strerror(-r);
}

static void run_part(struct bundle *b, const struct bundle_part *part, struct buf *out,
		     struct buf *readme)
{
	struct part_run run = { b, part };
	struct buf files;
	int r, status = 0;
	const char *why;
	size_t whole;

	buf_init(&b->out, BUNDLE_PART_MAX);
	buf_init(&files, BUNDLE_PART_MAX);
	r = bounded_run(in_child, &run, b->d->limit_ms, b->d->o->verbosity <= 5, &files, &status);
	whole = ustar_whole(buf_sv(&files));
	why = trouble(r, status);
	buf_printf(readme, "  %s%s%s\n", part->about, *why ? "  -- NOT WHOLE: " : "", why);
	if (buf_len(out) + whole + BUNDLE_END_MAX > out->cap ||
	    !buf_put(out, buf_sv(&files).p, whole))
		buf_printf(readme, "  -- no room for %s: the archive is full\n", part->name);
	buf_done(&files);
	buf_done(&b->out);
}

void bundle_make(struct bundle *b, struct buf *out)
{
	struct buf readme;

	buf_init(&readme, 64 << 10);
	buf_printf(&readme,
		   "Support bundle of tundra %s (build %s), node %s.\n\n"
		   "Tokens, keys and passwords were replaced by [removed], by their look, their "
		   "name and their value.\nHost names, addresses, names of claims and pods are "
		   "in it: look through it before you publish it.\n\n",
		   version_string(), version_build(), b->d->o->node_name);
	for (size_t i = 0; i < bundle_parts_n; i++)
		run_part(b, &bundle_parts[i], out, &readme);
	buf_init(&b->out, BUNDLE_END_MAX - 2 * USTAR_BLOCK);
	bundle_put(b, "README.txt", buf_sv(&readme));
	buf_put_sv(out, buf_sv(&b->out));
	ustar_end(out);
	buf_done(&b->out);
	buf_done(&readme);
}

/* ---- the command ---- */

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	char *output;
	int64_t timeout_ms;
};
static const struct conf_option own[] = {
	{ .name = "output",
	  .alias = "o",
	  .arg = "FILE",
	  .kind = CONF_STR,
	  .offset = offsetof(struct options, output),
	  .help = "where the archive goes; - is stdout; without it "
		  "tundra-support-NODE-TIME.tar in this folder" },
	{ .name = "timeout",
	  .arg = "TIME",
	  .otherwise = "10s",
	  .min = 100,
	  .max = 600000,
	  .kind = CONF_DURATION_MS,
	  .offset = offsetof(struct options, timeout_ms),
	  .help = "limit of one check and of one part" },
};

static char *default_name(const struct options *o, time_t now)
{
	char when[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	return mem_printf("tundra-support-%s-%s.tar", o->node.node_name, when);
}

static int deliver(const char *path, struct sv archive)
{
	int r = !strcmp(path, "-") ? fsx_write_all(STDOUT_FILENO, archive)
				   : fsx_replace(path, archive, 0600, 0);

	if (r < 0)
		fprintf(stderr, "tundra support-bundle: %s: %s\n", path, strerror(-r));
	else
		fprintf(stderr, "%s: %zu KiB; look through it before you pass it on\n",
			!strcmp(path, "-") ? "written" : path, archive.n >> 10);
	return r < 0 ? 1 : 0;
}

static int gather(const void *options, struct err *e)
{
	const struct options *o = options;
	time_t now = time(NULL);
	char *name = o->output && *o->output ? mem_strdup(o->output) : default_name(o, now);
	struct bundle b = { .now_s = (uint64_t)now };
	struct doctor d;
	struct buf archive;
	int code;

	(void)e; /* deliver() has said it */
	doctor_init(&d, &o->node, NULL);
	d.limit_ms = (uint32_t)o->timeout_ms;
	b.d = &d;
	redact_init(&b.redact);
	bundle_know(&b, (const char *const *)(uintptr_t)environ);
	fprintf(stderr, "looking at the node ...\n");
	doctor_run_all(&d, NULL, NULL);
	fprintf(stderr, "gathering ...\n");
	buf_init(&archive, BUNDLE_TOTAL_MAX);
	bundle_make(&b, &archive);
	code = deliver(name, buf_sv(&archive));
	buf_done(&archive);
	redact_done(&b.redact);
	doctor_done(&d);
	mem_free(name);
	return code;
}

static const struct command_spec command = {
	.name = "support-bundle",
	.usage = "[FLAGS]",
	.about =
	    "Gathers one tar archive for whoever helps you: the checks of tundra doctor, status, "
	    "metrics,\nclaims, slices, versions, kernel and driver facts, logs. Secrets are "
	    "removed. From a pod:\n  kubectl exec -n tundra PODNAME -- tundra support-bundle -o "
	    "- > bundle.tar",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.run = gather,
};

int cmd_support_bundle(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
