/* Parts of the support bundle that are asked for: the node agent, the ledger, the API server. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/journal_format.h"
#include "core/jsonw.h"
#include "core/mem.h"
#include "k8s/ledger.h"
#include "tools/tundra/bundle.h"
#include "tools/tundra/doctor_kube.h"
#include "tools/tundra/status.h"

enum { WAIT_S = 5, NAME_BYTES = 256 };

/* ---- the running node ---- */

void part_status(struct bundle *b)
{
	struct err e = { 0 };
	struct buf answer;
	struct sv body;

	buf_init(&answer, STATUS_ANSWER_MAX);
	if (status_fetch(b->d->roots.run, &answer, &body, &e) < 0)
		body = sv_str(e.text);
	bundle_put(b, "status.json", sv_make(body.p, MIN(body.n, (size_t)BUNDLE_FILE_MAX)));
	buf_done(&answer);
}

/* "HOST:PORT" as a listener has it: without a host, or with that of all, it is also here. */
static int dial(const char *endpoint, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	const struct timeval wait = { .tv_sec = WAIT_S };
	const char *colon = strrchr(endpoint, ':');
	char host[NAME_BYTES];
	struct addrinfo *a;
	int fd, r;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - endpoint), endpoint);
	if (*host == '[') {
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = '\0';
	}
	if (!*host || !strcmp(host, "0.0.0.0") || !strcmp(host, "::") || !strcmp(host, "localhost"))
		snprintf(host, sizeof(host), "127.0.0.1");
	r = getaddrinfo(host, colon + 1, &hints, &a);
	if (r)
		return err_set(e, -EINVAL, "%s: %s", endpoint, gai_strerror(r));
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : 0;
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
		r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
	}
	freeaddrinfo(a);
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_sys(e, r, "%s", endpoint);
}

static int scrape(const struct node_options *o, struct buf *answer, struct err *e)
{
	char *request _mem_free_ =
	    mem_printf("GET %s HTTP/1.0\r\nHost: tundra\r\n\r\n", o->metrics_path);
	int fd, r;

	if (!o->http_endpoint || !*o->http_endpoint)
		return err_set(e, -ENOENT, "no --http-endpoint (HTTP_ENDPOINT): no metrics");
	fd = dial(o->http_endpoint, e);
	if (fd < 0)
		return fd;
	r = fsx_write_all(fd, sv_str(request));
	if (r == 0)
		r = fsx_read_fd(fd, BUNDLE_FILE_MAX, answer);
	close(fd);
	return r < 0 ? err_sys(e, r, "%s", o->http_endpoint) : 0;
}

void part_metrics(struct bundle *b)
{
	struct err e = { 0 };
	struct buf answer;
	const char *body;

	buf_init(&answer, BUNDLE_FILE_MAX);
	if (scrape(b->d->o, &answer, &e) < 0) {
		buf_clear(&answer);
		buf_printf(&answer, "(%s)\n", err_text(&e));
	}
	body = strstr(buf_cstr(&answer), "\r\n\r\n");
	bundle_put(b, "metrics.txt", body ? sv_str(body + 4) : buf_sv(&answer));
	buf_done(&answer);
}

/* ---- the ledger ---- */

struct summary {
	struct jsonw w;
	struct buf damaged;
};

/* Who has what since when; the plan's bytes tell a reader nothing. */
static void on_put(void *arg, struct sv key, struct sv body)
{
	struct summary *s = arg;
	struct ledger_claim *c;
	struct err e = { 0 };

	jsonw_obj(&s->w);
	jsonw_ksv(&s->w, "uid", key);
	if (ledger_decode(key, body, &c, &e) < 0) {
		jsonw_kstr(&s->w, "error", err_text(&e));
		jsonw_end(&s->w);
		return;
	}
	jsonw_kstr(&s->w, "namespace", c->namespace);
	jsonw_kstr(&s->w, "name", c->name);
	jsonw_ki64(&s->w, "sinceMs", (int64_t)c->since_wall_ms);
	jsonw_kstr(&s->w, "bootID", c->boot_id);
	jsonw_karr(&s->w, "devices");
	for (size_t i = 0; i < c->devices_n; i++) {
		jsonw_obj(&s->w);
		jsonw_kstr(&s->w, "request", c->devices[i].request);
		jsonw_kstr(&s->w, "device", c->devices[i].device);
		jsonw_kstr(&s->w, "identity", c->devices[i].identity);
		jsonw_kbool(&s->w, "admin", c->devices[i].admin);
		jsonw_end(&s->w);
	}
	jsonw_end(&s->w);
	jsonw_end(&s->w);
	ledger_claim_free(&c);
}

static void on_corrupt(void *arg, struct sv key)
{
	struct summary *s = arg;

	buf_put_sv(&s->damaged, key.n ? key : SV("(not even its claim is known)"));
	buf_putc(&s->damaged, ' ');
}

void part_ledger(struct bundle *b)
{
	char *path _mem_free_ = mem_printf("%s/ledger", b->d->folder);
	struct summary s;
	const struct journal_scan_events ev = { .on_put = on_put,
						.on_corrupt = on_corrupt,
						.arg = &s };
	struct journal_scan_result got = { 0 };
	struct err e = { 0 };
	struct buf text;
	int r;

	buf_init(&text, BUNDLE_FILE_MAX);
	buf_init(&s.damaged, BUNDLE_FILE_MAX);
	jsonw_init(&s.w, &text);
	s.w.indent = 2;
	jsonw_obj(&s.w);
	jsonw_kstr(&s.w, "path", path);
	jsonw_karr(&s.w, "claims");
	r = journal_read(path, &ev, &got, &e);
	jsonw_end(&s.w);
	jsonw_kstr(&s.w, "error", r < 0 ? *err_text(&e) ? err_text(&e) : strerror(-r) : "");
	jsonw_ki64(&s.w, "live", (int64_t)got.live);
	jsonw_ki64(&s.w, "records", (int64_t)got.records);
	jsonw_ki64(&s.w, "goodBytes", (int64_t)got.good);
	jsonw_ki64(&s.w, "damaged", got.corrupt);
	jsonw_ksv(&s.w, "damagedClaims", sv_trim(buf_sv(&s.damaged)));
	jsonw_end(&s.w);
	bundle_put(b, "ledger.json", buf_sv(&text));
	buf_done(&s.damaged);
	buf_done(&text);
}

/* ---- the API server ---- */

struct object {
	struct bundle *b;
	const char *member;
	struct kube_call call;
};

static void on_object(void *arg, const struct api_result *r)
{
	struct object *o = arg;

	bundle_put(o->b, o->member,
		   r->status ? sv_str(r->error)
			     : sv_make(r->body.p, MIN(r->body.n, (size_t)BUNDLE_FILE_MAX)));
}

void part_objects(struct bundle *b)
{
	const char *node = b->d->o->node_name;
	char *fields _mem_free_ = mem_printf("spec.nodeName=%s", node);
	struct object objects[] = { { .b = b, .member = "resourceslices.json" },
				    { .b = b, .member = "node.json" },
				    { .b = b, .member = "version.json" } };
	struct api_request requests[] = {
		{ .verb = API_LIST,
		  .to = { .group = API_GROUP_RESOURCE,
			  .resource = "resourceslices",
			  .fields = fields } },
		{ .verb = API_GET,
		  .to = { .group = API_GROUP_CORE,
			  .version = "v1",
			  .resource = "nodes",
			  .name = node } },
		{ .verb = API_GET, .to = { .raw = "/version" } },
	};
	struct doctor_finding f = { 0 };
	struct kube k;

	if (kube_open(b->d, &k, &f) < 0) {
		bundle_put(b, "resourceslices.json", sv_str(f.found));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		objects[i].call.fn = on_object;
		objects[i].call.arg = &objects[i];
		requests[i].retry = API_RETRY_NEVER;
		kube_call(&k, &objects[i].call, &requests[i]);
	}
	kube_wait(&k);
	kube_close(&k);
}
