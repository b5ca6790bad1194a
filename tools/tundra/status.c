/*
 * tundra status: asks the running node over its socket and shows the answer as a table or as it is.
 * Plain blocking I/O: a command has nothing else to do.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/json.h"
#include "core/mem.h"
#include "tools/tundra/command.h"
#include "tools/tundra/status.h"

#define ANSWER_MAX STATUS_ANSWER_MAX
#define WAIT_S	   10

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	char *output;
};
static const struct conf_option own[] = { COMMAND_OUTPUT(struct options) };
static const char *const node_flags[] = { "run-directory", "help", NULL };

static int dial(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = WAIT_S };
	int fd;

	if (!sv_copy(addr.sun_path, sizeof(addr.sun_path), sv_str(path)))
		return err_set(e, -ENAMETOOLONG, "%s is too long for a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		close(fd);
		return err_sys(e, r, "no tundra node answers at %s", path);
	}
	return fd;
}

/* HTTP/1.0, so that the answer ends with the connection. */
static int ask(const char *path, struct buf *out, struct err *e)
{
	static const char request[] = "GET /status HTTP/1.0\r\nHost: tundra\r\n\r\n";
	int fd = dial(path, e), r;

	if (fd < 0)
		return fd;
	r = fsx_write_all(fd, sv_str(request));
	if (!r)
		r = fsx_read_fd(fd, ANSWER_MAX, out);
	close(fd);
	return r < 0 ? err_sys(e, r, "asking the node at %s", path) : 0;
}

static struct sv body_of(struct sv answer)
{
	const char *end = answer.n ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;

	return end ? sv_drop(answer, (size_t)(end - answer.p) + 4) : SV_NONE;
}

static const char *str(const struct json *n, const char *key)
{
	return json_str(json_get(n, key), "");
}

static void print_age(int64_t now_ms, int64_t then_ms)
{
	int64_t s = (now_ms - then_ms) / 1000;

	if (!then_ms)
		printf("not since it started\n");
	else
		printf("%lld s ago\n", (long long)(s > 0 ? s : 0));
}

/* "namespace/name" of a claim by its UID; the UID itself when it is not listed or its name is not
 * known (damaged, or taken over from another driver). */
static const char *claim_name(const struct json *claims, const char *uid, char *out, size_t size)
{
	for (size_t i = 0; i < json_len(claims); i++) {
		const struct json *c = json_at(claims, i);

		if (!sv_eqs(json_sv(json_get(c, "uid")), uid) || !*str(c, "name"))
			continue;
		snprintf(out, size, "%s/%s", str(c, "namespace"), str(c, "name"));
		return out;
	}
	return uid;
}

static void print_devices(const struct json *devices, const struct json *claims)
{
	char name[512];

	printf("\n%-8s %-42s %-14s %-24s %9s  %s\n", "DEVICE", "UUID", "PCI", "PRODUCT", "MEMORY",
	       "STATE");
	for (size_t i = 0; i < json_len(devices); i++) {
		const struct json *d = json_at(devices, i);
		const char *trouble = str(d, "trouble");
		const char *claim = claim_name(claims, str(d, "claim"), name, sizeof(name));

		printf("%-8s %-42s %-14s %-24s %5lld GiB  ", str(d, "name"), str(d, "uuid"),
		       str(d, "pci"), str(d, "product"),
		       (long long)(json_i64(json_get(d, "memory"), 0) >> 30));
		if (!json_flag(json_get(d, "present"), true))
			printf("gone%s%s\n", *claim ? ", held by " : "", claim);
		else if (*trouble)
			printf("trouble: %s\n", trouble);
		else if (*claim)
			printf("claim %s\n", claim);
		else
			printf("free\n");
	}
}

static void print_claims(const struct json *claims)
{
	if (!json_len(claims))
		return;
	printf("\n%-38s %-40s %-24s %-12s %s\n", "CLAIM", "NAME", "POD", "STATE", "DEVICES");
	for (size_t i = 0; i < json_len(claims); i++) {
		const struct json *c = json_at(claims, i), *devices = json_get(c, "devices");
		char name[256];

		snprintf(name, sizeof(name), "%s/%s", str(c, "namespace"), str(c, "name"));
		if (!*str(c, "name"))
			snprintf(name, sizeof(name), "-");
		printf("%-38s %-40s %-24s %-12s ", str(c, "uid"), name,
		       *str(c, "pod") ? str(c, "pod") : "-", str(c, "state"));
		for (size_t k = 0; k < json_len(devices); k++)
			printf("%s%s%s", k ? "," : "", str(json_at(devices, k), "device"),
			       json_flag(json_get(json_at(devices, k), "adminAccess"), false)
				   ? " (admin)"
				   : "");
		if (*str(c, "waitingFor"))
			printf("  waits: %s", str(c, "waitingFor"));
		printf("\n");
	}
}

static void print_workers(const struct json *workers)
{
	printf("\n%-8s %-9s %8s %7s %8s %9s %6s\n", "WORKER", "STATE", "PID", "STARTS", "CRASHES",
	       "TIMEOUTS", "STUCK");
	for (size_t i = 0; i < json_len(workers); i++) {
		const struct json *w = json_at(workers, i);

		printf("%-8s %-9s %8lld %7lld %8lld %9lld %6lld\n", str(w, "role"), str(w, "state"),
		       (long long)json_i64(json_get(w, "pid"), 0),
		       (long long)json_i64(json_get(w, "starts"), 0),
		       (long long)json_i64(json_get(w, "crashes"), 0),
		       (long long)json_i64(json_get(w, "timeouts"), 0),
		       (long long)json_i64(json_get(w, "stuck"), 0));
	}
}

enum { WIDTH = 110, EVENTS_SHOWN = 10 };

/* Breaks the lines of a sentence at blanks, each after `indent` columns; `head` stands in the
 * first. */
static void print_wrapped(const char *head, int indent, const char *text)
{
	int column = printf("%-*s", indent, head);

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column > indent && column + (int)n + 1 > WIDTH)
			column = printf("\n%*s", indent, "") - 1;
		else if (column > indent)
			column += printf(" ");
		column += printf("%.*s", (int)n, text);
		text += n + strspn(text + n, " ");
	}
	printf("\n");
}

static void print_conditions(const struct json *conditions)
{
	if (!json_len(conditions)) {
		printf("%-14s none\n", "problems");
		return;
	}
	printf("\nWHAT IS WRONG AND WHAT TO DO\n");
	for (size_t i = 0; i < json_len(conditions); i++) {
		const struct json *c = json_at(conditions, i);
		char *what = mem_printf("%s%s%s", str(c, "subject"), *str(c, "subject") ? ": " : "",
					str(c, "symptom"));

		print_wrapped(str(c, "level"), 9, what);
		if (*str(c, "detail"))
			print_wrapped("  cause", 9, str(c, "detail"));
		print_wrapped("  do", 9, str(c, "todo"));
		print_wrapped("  see", 9, str(c, "seen"));
		mem_free(what);
	}
}

static void print_events(const struct json *events, int64_t now)
{
	if (json_len(events))
		printf("\n%-12s %-8s %-20s %-40s %s\n", "EVENT", "TYPE", "REASON", "ABOUT",
		       "MESSAGE");
	for (size_t i = 0; i < json_len(events) && i < EVENTS_SHOWN; i++) {
		const struct json *v = json_at(events, i);
		const char *ns = str(v, "namespace");
		int64_t s = (now - json_i64(json_get(v, "ms"), 0)) / 1000;
		char when[32], about[256];

		snprintf(when, sizeof(when), "%lld s ago", (long long)(s > 0 ? s : 0));
		snprintf(about, sizeof(about), "%s %s%s%s", str(v, "kind"), ns, *ns ? "/" : "",
			 str(v, "name"));
		printf("%-12s %-8s %-20s %-40s %s\n", when, str(v, "type"), str(v, "reason"), about,
		       str(v, "message"));
	}
}

static void print_line(const char *what, const char *state, const char *reason)
{
	printf("%-14s %s%s%s\n", what, state, *reason ? ": " : "", reason);
}

/* A long reason is told once: a condition has it as its cause. */
static bool is_told(const struct json *conditions, const char *reason)
{
	for (size_t i = 0; i < json_len(conditions); i++)
		if (!strcmp(str(json_at(conditions, i), "detail"), reason))
			return strlen(reason) > WIDTH;
	return false;
}

static void print_table(const struct json *s)
{
	const struct json *d = json_get(s, "driver"), *inv = json_get(s, "inventory");
	const struct json *pub = json_get(d, "publisher"), *api = json_get(s, "api");
	int64_t now = json_i64(json_get(s, "nowMs"), 0);

	printf("tundra %s on %s\n\n", str(s, "version"), str(s, "node"));
	print_line("devices", str(inv, "state"),
		   is_told(json_get(s, "conditions"), str(inv, "reason")) ? "see below"
									  : str(inv, "reason"));
	print_line("kubelet",
		   json_flag(json_get(d, "registered"), false) ? "registered" : "not registered",
		   str(d, "registration"));
	print_line("api server",
		   json_flag(json_get(api, "connected"), false) ? "connected" : "not connected",
		   str(api, "lastError"));
	print_line("ledger", json_str(json_get(d, "ledger", "state"), ""),
		   json_str(json_get(d, "ledger", "reason"), ""));
	printf("%-14s devices %lld, slices %lld, generation %lld%s\n", "published",
	       (long long)json_i64(json_get(pub, "devices"), 0),
	       (long long)json_i64(json_get(pub, "slices"), 0),
	       (long long)json_i64(json_get(pub, "generation"), 0),
	       json_flag(json_get(pub, "synced"), false) ? ""
	       : strcmp(str(inv, "state"), "ready") != 0 ? " (waiting for the devices)"
							 : " (being brought up to date)");
	if (*str(pub, "held"))
		print_line("", "held back", str(pub, "held"));
	if (*str(s, "conflict"))
		print_line("conflict", str(s, "conflict"), "");
	printf("%-14s ", "last publish");
	print_age(now, json_i64(json_get(pub, "lastPublishMs"), 0));
	printf("%-14s ", "last call");
	print_age(now, json_i64(json_get(d, "kubelet", "lastCallMs"), 0));
	print_conditions(json_get(s, "conditions"));
	print_devices(json_get(inv, "devices"), json_get(d, "claims"));
	print_claims(json_get(d, "claims"));
	print_events(json_get(s, "events"), now);
	print_workers(json_get(s, "workers"));
}

int status_fetch(const char *run_folder, struct buf *answer, struct sv *body, struct err *e)
{
	char *path _mem_free_ = mem_printf("%s/status.sock", run_folder);
	int r = ask(path, answer, e);

	*body = body_of(buf_sv(answer));
	if (!r && !body->n)
		r = err_set(e, -EBADMSG, "the node at %s gave no answer", path);
	return r;
}

static int show(const struct options *o, struct sv body, struct err *e)
{
	static const struct json_limits limits = { .bytes = ANSWER_MAX,
						   .values = 5000000,
						   .depth = 32 };
	struct json *root;
	int r;

	if (!strcmp(o->output, "json")) {
		fwrite(body.p, 1, body.n, stdout);
		putchar('\n');
		return 0;
	}
	r = json_parse(body, &limits, &root, e);
	if (r < 0)
		return r;
	print_table(root);
	json_free(&root);
	return 0;
}

static int status(const void *options, struct err *e)
{
	const struct options *o = options;
	struct buf answer;
	struct sv body;
	int r;

	buf_init(&answer, ANSWER_MAX);
	r = status_fetch(o->node.run_folder, &answer, &body, e);
	if (!r)
		r = show(o, body, e);
	buf_done(&answer);
	return r < 0;
}

static const struct command_spec command = {
	.name = "status",
	.usage = "[FLAGS]",
	.about = "Shows what the node that runs here serves: devices, claims, what is wrong and "
		 "what to do.",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.node_flags = node_flags,
	.run = status,
};

int cmd_status(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
