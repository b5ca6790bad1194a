#include "transport/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "core/fsx.h"
#include "lab.h"

/* Names are asked of a small DNS server in this process, through files of our own. */
struct fixture {
	struct loop *loop;
	int dns;
	struct loop_io io;
	unsigned asked;
	bool silent;
	char dir[64], conf[96], hosts[96];
	struct resolve_files files;
};

struct result {
	bool called;
	int status;
	size_t n;
	char addrs[RESOLVE_MAX][INET6_ADDRSTRLEN + 8];
	char text[256];
};

/* Knows one name with two addresses, ten.test with ten, and one with IPv6 only. */
static size_t answer(const char *name, unsigned type, unsigned char *out)
{
	size_t n = 0, i,
	       count = strcasecmp(name, "two.test") == 0	? 2
		       : strcasecmp(name, "ten.test") == 0	? 10
		       : strcasecmp(name, "a.search.test") == 0 ? 1
								: 0;
	static const unsigned char v6[] = { 0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 9, 0, 16, 0xfd };

	if (type == 28 && strcasecmp(name, "six.test") == 0) {
		memset(out, 0, 12 + 16);
		memcpy(out, v6, sizeof(v6));
		out[27] = 6;
		return 28;
	}
	for (i = 0; type == 1 && i < count; i++) {
		static const unsigned char rr[] = {
			0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0
		};

		memcpy(out + n, rr, sizeof(rr));
		out[n + 15] = (unsigned char)(i + 1);
		n += 16;
	}
	return n;
}

static void on_query(void *arg, unsigned ready)
{
	struct fixture *f = arg;
	unsigned char q[512], r[1024];
	char name[256] = "";
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(f->dns, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
	size_t at = 12, used = 0, body;
	unsigned type;

	(void)ready;
	f->asked++;
	if (n < 17 || f->silent)
		return;
	while (q[at] && at < (size_t)n) {
		used += (size_t)snprintf(name + used, sizeof(name) - used, "%s%.*s",
					 used ? "." : "", q[at], (char *)q + at + 1);
		at += q[at] + 1u;
	}
	type = (unsigned)q[at + 1] << 8 | q[at + 2];
	at += 5;
	memcpy(r, q, at);
	body = answer(name, type, r + at);
	r[2] = 0x81;
	r[3] = body || strcasecmp(name, "two.test") == 0 || strcasecmp(name, "six.test") == 0
		   ? 0x80
		   : 0x83;
	memset(r + 6, 0, 6);
	r[7] = (unsigned char)(type == 28 ? body / 28 : body / 16);
	(void)sendto(f->dns, r, at + body, 0, (struct sockaddr *)&from, len);
}

static int setup(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct fixture *f = MEM_NEW(struct fixture);
	socklen_t len = sizeof(a);
	char text[256];

	f->loop = loop_new();
	f->dns = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(f->dns, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(f->dns, (struct sockaddr *)&a, &len), 0);
	loop_io_init(&f->io, f->loop, f->dns, on_query, f);
	loop_io_want(&f->io, LOOP_READ);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_resolve.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->conf, sizeof(f->conf), "%s/resolv.conf", f->dir);
	(void)snprintf(f->hosts, sizeof(f->hosts), "%s/hosts", f->dir);
	(void)snprintf(
	    text, sizeof(text),
	    "nameserver 127.0.0.1:%u\nsearch search.test\noptions timeout:1 attempts:1\n",
	    ntohs(a.sin_port));
	assert_int_equal(fsx_replace(f->conf, sv_str(text), 0600, 0), 0);
	assert_int_equal(fsx_replace(f->hosts, SV("10.1.1.1 known\nfd00::9 known6\n"), 0600, 0), 0);
	f->files = (struct resolve_files){ f->conf, f->hosts };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_io_done(&f->io);
	close(f->dns);
	(void)unlink(f->conf);
	(void)unlink(f->hosts);
	assert_int_equal(rmdir(f->dir), 0);
	lab_settle(f->loop);
	loop_free(&f->loop);
	mem_free(f);
	return 0;
}

static void on_result(void *arg, int status, const struct sock_addr *addrs, size_t n,
		      const struct err *e)
{
	struct result *r = arg;
	size_t i;

	assert_false(r->called);
	r->called = true;
	r->status = status;
	r->n = n;
	(void)snprintf(r->text, sizeof(r->text), "%s", err_text(e));
	for (i = 0; i < n; i++) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addrs[i].ss;
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addrs[i].ss;
		bool six = addrs[i].ss.ss_family == AF_INET6;
		char text[INET6_ADDRSTRLEN];

		assert_non_null(inet_ntop(addrs[i].ss.ss_family,
					  six ? (const void *)&in6->sin6_addr : &in->sin_addr, text,
					  sizeof(text)));
		(void)snprintf(r->addrs[i], sizeof(r->addrs[i]), "%s:%u", text,
			       ntohs(six ? in6->sin6_port : in->sin_port));
	}
}

static struct result ask(struct fixture *f, const char *host)
{
	struct result r = { .called = false };
	struct resolve *q;

	q = resolve_start(f->loop, &f->files, host, 443, on_result, &r);
	assert_non_null(q);
	assert_false(r.called); /* never from inside */
	lab_until(f->loop, r.called);
	return r;
}

static void test_numeric(void **state)
{
	struct fixture *f = *state;
	struct result r = ask(f, "192.0.2.1");

	assert_string_equal(r.addrs[0], "192.0.2.1:443");
	r = ask(f, "fd00::1");
	assert_string_equal(r.addrs[0], "fd00::1:443");
	assert_int_equal(f->asked, 0);
}

static void test_hosts(void **state)
{
	struct fixture *f = *state;
	struct result r = ask(f, "known");

	assert_int_equal(r.status, 0);
	assert_string_equal(r.addrs[0], "10.1.1.1:443");
	assert_int_equal(f->asked, 0);
	/* A changed file is seen by the next question. */
	assert_int_equal(fsx_replace(f->hosts, SV("10.2.2.2 known\n"), 0600, 0), 0);
	r = ask(f, "known");
	assert_string_equal(r.addrs[0], "10.2.2.2:443");
}

static void test_dns(void **state)
{
	struct fixture *f = *state;
	struct result r = ask(f, "two.test");

	assert_int_equal(r.status, 0);
	assert_int_equal(r.n, 2);
	assert_true(f->asked >= 1);
	r = ask(f, "ten.test");
	assert_int_equal(r.n, RESOLVE_MAX);
	r = ask(f, "six.test");
	assert_int_equal(r.n, 1);
	assert_string_equal(r.addrs[0], "fd00::6:443");
	r = ask(f, "a"); /* by the search domain */
	assert_int_equal(r.status, 0);
	assert_string_equal(r.addrs[0], "10.0.0.1:443");
	r = ask(f, "none.test");
	assert_int_equal(r.status, -ENOENT);
	assert_true(r.text[0]);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct result r = { .called = false };
	struct resolve *q;
	unsigned asked;

	q = resolve_start(f->loop, &f->files, "1.2.3.4", 1, on_result, &r);
	resolve_cancel(&q);
	resolve_cancel(&q);
	q = resolve_start(f->loop, &f->files, "known", 1, on_result, &r);
	resolve_cancel(&q);
	f->silent = true;
	q = resolve_start(f->loop, &f->files, "two.test", 1, on_result, &r);
	asked = f->asked;
	lab_until(f->loop, f->asked > asked);
	resolve_cancel(&q);
	lab_settle(f->loop);
	assert_false(r.called);
}

/* A name server that does not answer ends in an error, not in waiting for ever. */
static void test_silent(void **state)
{
	struct fixture *f = *state;
	struct result r;

	f->silent = true;
	r = ask(f, "two.test");
	assert_true(r.status < 0);
	assert_true(r.text[0]);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_numeric), T(test_hosts), T(test_dns),
					    T(test_cancel), T(test_silent) };

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
