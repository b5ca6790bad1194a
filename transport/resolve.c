#include "transport/resolve.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>

#include "core/mem.h"

/*
 * A resolve lives until evdns has called back: a cancelled one waits for that call, since evdns
 * has no other way to give its memory up. The answer is handed on from a task, so that a name from
 * /etc/hosts, answered at once, takes the same road as one from the network.
 */
struct resolve {
	struct loop *loop;
	struct evdns_base *dns; /* NULL for a numeric address */
	struct evdns_getaddrinfo_request *request;
	struct loop_task task;
	resolve_fn fn; /* NULL: cancelled */
	void *arg;
	struct sock_addr addrs[RESOLVE_MAX];
	size_t n;
	int status;
	struct err e;
	uint16_t port;
	bool answered;
};

static void release(void *obj)
{
	struct resolve *r = obj;

	if (r->dns)
		evdns_base_free(r->dns, 0);
	mem_free(r);
}

static void on_task(void *arg)
{
	struct resolve *r = arg;

	loop_defer_free(r->loop, r, release);
	if (r->fn)
		r->fn(r->arg, r->status, r->addrs, r->n, &r->e);
}

static void take(struct resolve *r, const struct evutil_addrinfo *res)
{
	struct sock_addr *a;

	for (; res && r->n < RESOLVE_MAX; res = res->ai_next) {
		if (res->ai_family != AF_INET && res->ai_family != AF_INET6)
			continue;
		a = &r->addrs[r->n++];
		must(res->ai_addrlen <= sizeof(a->ss));
		memcpy(&a->ss, res->ai_addr, res->ai_addrlen);
		a->len = (socklen_t)res->ai_addrlen;
		if (res->ai_family == AF_INET)
			((struct sockaddr_in *)&a->ss)->sin_port = htons(r->port);
		else
			((struct sockaddr_in6 *)&a->ss)->sin6_port = htons(r->port);
	}
}

static int status_of(int eai)
{
	switch (eai) {
	case 0:
		return 0;
	case EVUTIL_EAI_NONAME:
	case EVUTIL_EAI_NODATA:
		return -ENOENT;
	case EVUTIL_EAI_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static void on_answer(int eai, struct evutil_addrinfo *res, void *arg)
{
	struct resolve *r = arg;

	r->request = NULL;
	r->answered = true;
	r->status = status_of(eai);
	take(r, res);
	if (res)
		evutil_freeaddrinfo(res);
	if (r->status == 0 && !r->n)
		r->status = -ENOENT;
	if (r->status < 0)
		(void)err_set(&r->e, r->status, "resolve: %s", evutil_gai_strerror(eai));
	loop_task_post(&r->task);
}

static int open_dns(struct resolve *r, const struct resolve_files *files)
{
	const char *conf = files ? files->resolv_conf : "/etc/resolv.conf";
	const char *hosts = files ? files->hosts : "/etc/hosts";

	r->dns = evdns_base_new(loop_base(r->loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	must(r->dns);
	/* Without a file or a name server in it, the local one is asked, as libc does. */
	if (evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE, conf) !=
		0 &&
	    evdns_base_count_nameservers(r->dns) == 0 &&
	    evdns_base_nameserver_ip_add(r->dns, "127.0.0.1") != 0)
		return err_set(&r->e, -EIO, "no name server");
	(void)evdns_base_load_hosts(r->dns, hosts);
	return 0;
}

static void ask(struct resolve *r, const char *host)
{
	/*
	 * Both families always, no AI_ADDRCONFIG: libevent remembers for ever which families the
	 * host had at the first question, and at boot that is none.
	 */
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
					 .ai_socktype = SOCK_STREAM,
					 .ai_protocol = IPPROTO_TCP };

	r->request = evdns_getaddrinfo(r->dns, host, NULL, &hints, on_answer, r);
}

struct resolve *resolve_start(struct loop *l, const struct resolve_files *files, const char *host,
			      uint16_t port, resolve_fn fn, void *arg)
{
	struct resolve *r = MEM_NEW(struct resolve);

	r->loop = l;
	r->fn = fn;
	r->arg = arg;
	r->port = port;
	loop_task_init(&r->task, l, LOOP_TICK, on_task, r);
	if (sock_addr_numeric(&r->addrs[0], host, port) == 0) {
		r->n = 1;
		r->answered = true;
		loop_task_post(&r->task);
		return r;
	}
	r->status = open_dns(r, files);
	if (r->status == 0) {
		ask(r, host);
	} else {
		r->answered = true;
		loop_task_post(&r->task);
	}
	return r;
}

void resolve_cancel(struct resolve **rp)
{
	struct resolve *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	r->fn = NULL;
	if (r->answered) {
		loop_task_stop(&r->task);
		loop_defer_free(r->loop, r, release);
	} else if (r->request) {
		evdns_getaddrinfo_cancel(r->request); /* on_answer comes and releases */
	}
}
