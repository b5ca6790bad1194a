#include "transport/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "lab.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_sock.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir); /* fails when a socket was left behind */
}

static const char *path_of(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void test_numeric(void **state)
{
	struct sock_addr a;

	(void)state;
	assert_int_equal(sock_addr_numeric(&a, "127.0.0.1", 80), 0);
	assert_int_equal(a.ss.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&a.ss)->sin_port, htons(80));
	assert_int_equal(sock_addr_numeric(&a, "::1", 443), 0);
	assert_int_equal(a.ss.ss_family, AF_INET6);
	assert_int_equal(sock_addr_numeric(&a, "[fe80::1]", 443), 0);
	assert_int_equal(sock_addr_numeric(&a, "localhost", 1), -EINVAL);
	assert_int_equal(sock_addr_numeric(&a, "", 1), -EINVAL);
	assert_int_equal(sock_addr_numeric(&a, "[]", 1), -EINVAL);
	assert_int_equal(sock_addr_numeric(&a, "1.2.3", 1), -EINVAL);
	assert_int_equal(sock_addr_numeric(&a, "1.2.3.4.5", 1), -EINVAL);
}

static void test_path_limit(void **state)
{
	char path[SOCK_PATH_MAX + 2];
	struct sock_listener l;
	struct sock_addr a;
	struct err e;
	size_t n;

	(void)state;
	memset(path, 'x', sizeof(path));
	n = (size_t)snprintf(path, sizeof(path), "%s/", dir);
	path[n] = 'x';
	path[SOCK_PATH_MAX + 1] = '\0';
	assert_int_equal(sock_addr_unix(&a, path, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "108 bytes"));
	assert_non_null(strstr(e.text, "107"));
	assert_int_equal(sock_listen_unix(&l, path, 0600, &e), -ENAMETOOLONG);
	/* The longest that works works: its hidden name is no longer. */
	path[SOCK_PATH_MAX] = '\0';
	assert_int_equal(sock_listen_unix(&l, path, 0600, &e), 0);
	assert_int_equal(access(path, F_OK), 0);
	sock_listener_done(&l);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(sock_addr_unix(&a, "", &e), -EINVAL);
}

static int dial(const char *path, int *fd)
{
	struct sock_addr a;

	assert_int_equal(sock_addr_unix(&a, path, NULL), 0);
	return sock_connect(&a, fd);
}

static void test_unix(void **state)
{
	int client, server, none;
	struct sock_listener l;
	struct stat st;
	char in[16];
	uid_t uid;

	(void)state;
	assert_int_equal(sock_listen_unix(&l, path_of("a.sock"), 0620, NULL), 0);
	assert_int_equal(stat(path_of("a.sock"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0620);
	assert_int_equal(access(path_of("..sock"), F_OK), -1);
	assert_int_equal(access(path_of(".sock"), F_OK), -1);
	assert_int_equal(sock_accept(&l, &none), -EAGAIN);
	assert_int_equal(dial(path_of("a.sock"), &client), 0);
	assert_int_equal(sock_accept(&l, &server), 0);
	assert_int_equal(fcntl(server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(server, F_GETFD), FD_CLOEXEC);
	assert_int_equal(sock_peer_uid(server, &uid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(sock_read(server, in, sizeof(in)), -EAGAIN);
	assert_int_equal(sock_write(client, SV("hello")), 5);
	assert_int_equal(sock_read(server, in, sizeof(in)), 5);
	sock_shut_write(client);
	assert_int_equal(sock_read(server, in, sizeof(in)), 0);
	sock_close(&client);
	assert_int_equal(client, -1);
	assert_int_equal(sock_write(server, SV("x")), -EPIPE); /* and no SIGPIPE */
	sock_close(&server);
	sock_listener_done(&l);
	sock_listener_done(&l);
	assert_int_equal(access(path_of("a.sock"), F_OK), -1);
	assert_int_equal(dial(path_of("a.sock"), &client), -ENOENT);
}

/* Between bind and listen nobody may see the name; when it is there, it answers. */
static void test_hidden_until_listening(void **state)
{
	struct sock_listener l;
	struct stat st;
	int fd;

	(void)state;
	/* What a crash between bind and rename leaves. */
	assert_int_equal(sock_listen_unix(&l, path_of(".ra.sock"), 0600, NULL), 0);
	l.path[0] = '\0';
	sock_listener_done(&l);
	assert_int_equal(lstat(path_of(".ra.sock"), &st), 0);
	assert_int_equal(sock_listen_unix(&l, path_of("dra.sock"), 0600, NULL), 0);
	assert_int_equal(lstat(path_of(".ra.sock"), &st), -1);
	assert_int_equal(dial(path_of("dra.sock"), &fd), 0);
	sock_close(&fd);
	sock_listener_done(&l);
}

static void test_replace(void **state)
{
	struct sock_listener old, new;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(sock_listen_unix(&old, path_of("r.sock"), 0600, NULL), 0);
	assert_int_equal(sock_listen_unix(&new, path_of("r.sock"), 0600, NULL), 0);
	/* The old owner leaves the new one's file alone. */
	sock_listener_done(&old);
	assert_int_equal(dial(path_of("r.sock"), &fd), 0);
	sock_close(&fd);
	sock_listener_done(&new);
	assert_int_equal(dial(path_of("r.sock"), &fd), -ENOENT);

	fd = open(path_of("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sock_listen_unix(&new, path_of("file"), 0600, &e), -EEXIST);
	assert_non_null(strstr(e.text, "not a socket"));
	assert_int_equal(unlink(path_of("file")), 0);
	assert_int_equal(sock_listen_unix(&new, path_of("no/such.sock"), 0600, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no/"));
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

/* The kernel finds a peer that vanished within two minutes. */
static void expect_keepalive(int fd)
{
	static const int names[] = { TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT };
	int v[ARRAY_LEN(names)], on = 0;
	socklen_t len;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		len = sizeof(v[i]);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, names[i], &v[i], &len), 0);
	}
	len = sizeof(on);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
	assert_true(on);
	assert_in_range(v[0] + v[1] * v[2], 60, 120);
}

static void tcp(const char *listen_at, const char *connect_to)
{
	struct sock_listener l;
	struct sock_addr a;
	uint16_t port = 0;
	int client, server, r;
	struct err e;

	assert_int_equal(sock_listen_tcp(&l, listen_at, &port, &e), 0);
	assert_int_not_equal(port, 0);
	assert_int_equal(sock_addr_numeric(&a, connect_to, port), 0);
	r = sock_connect(&a, &client);
	assert_true(r == 0 || r == SOCK_CONNECTING);
	wait_for(client, POLLOUT);
	assert_int_equal(sock_error(client), 0);
	wait_for(l.fd, POLLIN);
	assert_int_equal(sock_accept(&l, &server), 0);
	expect_keepalive(client);
	expect_keepalive(server);
	sock_close(&client);
	sock_close(&server);
	/* The port is taken. */
	assert_int_equal(sock_listen_tcp(&(struct sock_listener){ 0 }, listen_at, &port, &e),
			 -EADDRINUSE);
	sock_listener_done(&l);
}

static void test_tcp(void **state)
{
	struct sock_listener l;
	uint16_t port = 0;
	struct err e;

	(void)state;
	tcp("127.0.0.1", "127.0.0.1");
	tcp("localhost", "127.0.0.1");
	tcp("", "127.0.0.1");
	tcp("", "::1");
	tcp("::1", "::1");
	tcp("[::1]", "::1");
	assert_int_equal(sock_listen_tcp(&l, "example.com", &port, &e), -EINVAL);
	assert_non_null(strstr(e.text, "example.com"));
}

static void test_refused(void **state)
{
	struct sock_listener l;
	struct sock_addr a;
	uint16_t port = 0;
	int fd, r;

	(void)state;
	assert_int_equal(sock_listen_tcp(&l, "127.0.0.1", &port, NULL), 0);
	sock_listener_done(&l);
	assert_int_equal(sock_addr_numeric(&a, "127.0.0.1", port), 0);
	r = sock_connect(&a, &fd);
	if (r == SOCK_CONNECTING) {
		wait_for(fd, POLLOUT);
		r = sock_error(fd);
		sock_close(&fd);
	}
	assert_int_equal(r, -ECONNREFUSED);
	assert_true(sock_accept_exhausted(-EMFILE));
	assert_false(sock_accept_exhausted(-EAGAIN));
}

static void test_complaints(void **state)
{
	uint64_t last = 0;

	(void)state;
	assert_true(sock_may_complain(&last, 0));
	assert_false(sock_may_complain(&last, 0));
	assert_false(sock_may_complain(&last, 59999));
	assert_true(sock_may_complain(&last, 60000));
	assert_false(sock_may_complain(&last, 60001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numeric),	   cmocka_unit_test(test_path_limit),
		cmocka_unit_test(test_unix),	   cmocka_unit_test(test_hidden_until_listening),
		cmocka_unit_test(test_replace),	   cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_complaints), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
