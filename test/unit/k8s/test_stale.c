/* Sockets of instances that died are removed, and nothing else. */
#include "k8s/stale.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "transport/sock.h"

struct fixture {
	char folder[64];
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	snprintf(f->folder, sizeof(f->folder), "/tmp/tundra-stale-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	*state = f;
	return 0;
}

static int remove_one(void *arg, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", (const char *)arg, name);

	return fsx_remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fsx_list(f->folder, remove_one, f->folder), 0);
	assert_int_equal(rmdir(f->folder), 0);
	mem_free(f);
	return 0;
}

static char *path_of(const struct fixture *f, const char *name)
{
	return mem_printf("%s/%s", f->folder, name);
}

static bool is_there(const struct fixture *f, const char *name)
{
	char *path _mem_free_ = path_of(f, name);

	return fsx_exists(path);
}

static struct sock_listener alive(const struct fixture *f, const char *name)
{
	char *path _mem_free_ = path_of(f, name);
	struct sock_listener l;
	struct err e = { 0 };

	assert_int_equal(sock_listen_unix(&l, path, 0600, &e), 0);
	return l;
}

/* As SIGKILL leaves it: the descriptor is closed, the file stays. */
static void dead(const struct fixture *f, const char *name)
{
	struct sock_listener l = alive(f, name);

	close(l.fd);
}

static void only_the_dead_ones_go(void **state)
{
	struct fixture *f = *state;
	struct sock_listener l = alive(f, "gpu.example.com-a-reg.sock");

	dead(f, "gpu.example.com-b-reg.sock");
	dead(f, "gpu.example.com-reg.sock");
	assert_int_equal(stale_sockets_remove(f->folder, "gpu.example.com", "-reg.sock"), 2);
	assert_true(is_there(f, "gpu.example.com-a-reg.sock"));
	assert_false(is_there(f, "gpu.example.com-b-reg.sock"));
	assert_false(is_there(f, "gpu.example.com-reg.sock"));
	sock_listener_done(&l);
}

static void others_stay(void **state)
{
	static const char *const names[] = { "gpu.example.com.au-b-reg.sock", "other-reg.sock",
					     "gpu.example.com-b.sock",
					     "gpu.example.com-reg.sock2" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		dead(f, names[i]);
	assert_int_equal(stale_sockets_remove(f->folder, "gpu.example.com", "-reg.sock"), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(is_there(f, names[i]));
}

static void what_is_no_socket_stays(void **state)
{
	struct fixture *f = *state;
	char *file _mem_free_ = path_of(f, "dra-x.sock");

	assert_int_equal(fsx_replace(file, SV("text"), 0600, 0), 0);
	(void)stale_sockets_remove(f->folder, "dra", ".sock");
	assert_true(is_there(f, "dra-x.sock"));
	assert_int_equal(stale_sockets_remove("/nowhere/at/all", "dra", ".sock"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_the_dead_ones_go, setup, teardown),
		cmocka_unit_test_setup_teardown(others_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_socket_stays, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
