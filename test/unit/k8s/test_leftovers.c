/* What killed instances left goes; what is anybody's stays. */
#include "k8s/leftovers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "transport/sock.h"

#define TEMP ".0123456789abcdef.tmp"

struct world {
	char folder[64], own[96];
	struct loop *loop;
	struct leftovers *leftovers;
};

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct leftovers_place place = { w->folder, "dra", ".sock", w->own };

	snprintf(w->folder, sizeof(w->folder), "/tmp/test_left.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->own, sizeof(w->own), "%s/dra-own.sock", w->folder);
	w->loop = loop_new_virtual(1, 1);
	w->leftovers = leftovers_new(w->loop, &place, 1);
	*state = w;
	return 0;
}

static int remove_entry(void *arg, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", (const char *)arg, name);

	return fsx_remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;

	leftovers_free(&w->leftovers);
	loop_free(&w->loop);
	assert_int_equal(fsx_list(w->folder, remove_entry, w->folder), 0);
	assert_int_equal(rmdir(w->folder), 0);
	mem_free(w);
	return 0;
}

static bool there(const struct world *w, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", w->folder, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static void put(const struct world *w, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", w->folder, name);

	assert_int_equal(fsx_replace(path, SV("x"), 0600, 0), 0);
}

static struct sock_listener listens(const struct world *w, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", w->folder, name);
	struct sock_listener l;

	assert_int_equal(sock_listen_unix(&l, path, 0600, NULL), 0);
	return l;
}

/* As a process that is killed: the file stays. */
static void dies(struct sock_listener *l)
{
	sock_close(&l->fd);
}

static void is_over(void *arg)
{
	*(bool *)arg = true;
}

static void pass(struct world *w, uint64_t ms)
{
	struct loop_timer t;
	bool over = false;

	loop_timer_init(&t, w->loop, is_over, &over);
	loop_timer_set(&t, ms);
	while (!over)
		(void)loop_turn(w->loop, (int64_t)ms);
}

static void a_while_passes(struct world *w)
{
	pass(w, LEFTOVERS_MS);
}

static void what_nobody_has_goes(void **state)
{
	struct world *w = *state;
	struct sock_listener dead = listens(w, "dra-1.sock"), hidden = listens(w, ".ra-2.sock");

	dies(&dead);
	dies(&hidden);
	put(w, TEMP);
	leftovers_begin(w->leftovers);
	assert_false(there(w, "dra-1.sock"));
	assert_true(there(w, ".ra-2.sock") && there(w, TEMP));
	a_while_passes(w);
	assert_false(there(w, ".ra-2.sock") || there(w, TEMP));
}

static void what_is_somebodys_stays(void **state)
{
	struct world *w = *state;
	struct sock_listener lives = listens(w, "dra-1.sock"), other = listens(w, "csi.sock"),
			     end = listens(w, "dra-1.socket"), xra = listens(w, "xra-1.sock"),
			     more = listens(w, "dra.x-1.sock"), plain = listens(w, "dra.sock");

	dies(&other);
	dies(&end);
	dies(&xra);
	dies(&more);
	dies(&plain);
	put(w, "ledger");
	put(w, "dra-2.sock"); /* no socket */
	put(w, ".0123456789abcdeX.tmp");
	leftovers_begin(w->leftovers);
	a_while_passes(w);
	assert_true(there(w, "dra-1.sock") && there(w, "csi.sock") && there(w, "dra-1.socket"));
	assert_true(there(w, "xra-1.sock") && there(w, "ledger") && there(w, "dra-2.sock"));
	assert_true(there(w, ".0123456789abcdeX.tmp") && there(w, "dra.x-1.sock"));
	assert_false(there(w, "dra.sock")); /* the name alone is ours as well */
	sock_listener_done(&lives);
}

/* Whoever dials it wakes the process that looks. */
static void the_own_socket_is_not_dialled(void **state)
{
	struct world *w = *state;
	struct sock_listener own = listens(w, "dra-own.sock"), other = listens(w, "dra-1.sock");
	int fd;

	leftovers_begin(w->leftovers);
	assert_int_equal(sock_accept(&own, &fd), -EAGAIN);
	assert_int_equal(sock_accept(&other, &fd), 0);
	sock_close(&fd);
	sock_listener_done(&own);
	sock_listener_done(&other);
}

/* Its pod's container was started again, and is just about to listen. */
static void what_comes_back_stays(void **state)
{
	struct world *w = *state;
	struct sock_listener dead = listens(w, "dra-1.sock"), again;

	dies(&dead);
	leftovers_begin(w->leftovers);
	again = listens(w, "dra-1.sock");
	put(w, TEMP); /* made behind the look: that of a living instance */
	a_while_passes(w);
	assert_true(there(w, "dra-1.sock") && there(w, TEMP));
	leftovers_begin(w->leftovers);
	leftovers_stop(w->leftovers); /* the ledger went to another one */
	dies(&again);
	a_while_passes(w);
	assert_true(there(w, "dra-1.sock") && there(w, TEMP));
}

/* A predecessor lives on for up to a minute, and is killed then. */
static void who_is_slow_to_end_is_seen(void **state)
{
	struct world *w = *state;
	struct sock_listener slow = listens(w, "dra-1.sock");

	leftovers_begin(w->leftovers);
	pass(w, 60000);
	dies(&slow);
	put(w, TEMP);
	a_while_passes(w);
	assert_false(there(w, "dra-1.sock"));
	a_while_passes(w);
	assert_false(there(w, TEMP));
	for (int i = 0; i < LEFTOVERS_LOOKS; i++)
		a_while_passes(w);
	put(w, TEMP); /* and that was all */
	a_while_passes(w);
	a_while_passes(w);
	assert_true(there(w, TEMP));
}

static void a_folder_that_is_not_there_is_empty(void **state)
{
	struct world *w = *state;
	struct leftovers_place none = { .folder = "/nowhere/at/all" };
	struct leftovers *l = leftovers_new(w->loop, &none, 1);

	leftovers_begin(l);
	leftovers_free(&l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_nobody_has_goes),	  T(what_is_somebodys_stays),
		T(the_own_socket_is_not_dialled), T(what_comes_back_stays),
		T(who_is_slow_to_end_is_seen),	  T(a_folder_that_is_not_there_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
