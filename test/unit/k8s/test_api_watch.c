#include "test/unit/k8s/api_world.h"

#include "core/buf.h"
#include "k8s/api/watch.h"

#define OBJECT(name, rv)      "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" rv "\"}}"
#define EVENT(type, name, rv) "{\"type\":\"" type "\",\"object\":" OBJECT(name, rv) "}\n"

/* ---- framer ---- */

struct frames {
	struct buf text; /* "ADDED a 1;" for each */
	struct watch_framer framer;
};

static void on_frame(void *arg, enum watch_type type, const struct json *object)
{
	static const char *const names[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };
	struct frames *f = arg;

	buf_printf(&f->text, "%s %s %s;", names[type], meta_name(object), meta_rv(object));
}

static void frames_init(struct frames *f)
{
	buf_init(&f->text, 1 << 20);
	watch_framer_init(&f->framer);
}

static void frames_done(struct frames *f)
{
	buf_done(&f->text);
	watch_framer_done(&f->framer);
}

static int feed(struct frames *f, struct sv bytes)
{
	return watch_framer_feed(&f->framer, bytes, on_frame, f, NULL);
}

#define STREAM                                                                                     \
	EVENT("ADDED", "a", "1")                                                                   \
	"\n  \n" EVENT("MODIFIED", "b", "2") EVENT("NEWTYPE", "x", "3")                            \
	    EVENT("BOOKMARK", "", "4") "\r\n" EVENT("DELETED", "\\u00e9\\n", "5")
#define TOLD "ADDED a 1;MODIFIED b 2;BOOKMARK  4;DELETED \xc3\xa9\n 5;"

static void test_every_split(void **state)
{
	struct sv all = SV(STREAM);
	struct frames f;

	(void)state;
	for (size_t cut = 0; cut <= all.n; cut++) {
		frames_init(&f);
		assert_int_equal(feed(&f, sv_make(all.p, cut)), 0);
		assert_int_equal(feed(&f, sv_drop(all, cut)), 0);
		assert_true(sv_eqs(buf_sv(&f.text), TOLD));
		frames_done(&f);
	}
	frames_init(&f);
	for (size_t i = 0; i < all.n; i++)
		assert_int_equal(feed(&f, sv_make(all.p + i, 1)), 0);
	assert_true(sv_eqs(buf_sv(&f.text), TOLD));
	frames_done(&f);
}

static void test_broken_streams(void **state)
{
	static const char *const rows[] = {
		"not json\n",
		"[]\n",
		"{}\n",
		"{\"type\":\"ADDED\"}\n",
		"{\"type\":7,\"object\":{}}\n",
		"{\"type\":\"ADDED\",\"object\":[]}\n",
		"{\"type\":\"ADDED\",\"object\":{},\"object\":{}}\n",
		"{\"type\":\"ADDED\",\"object\":{}} {}\n",
	};
	struct frames f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		frames_init(&f);
		assert_int_equal(feed(&f, sv_str(rows[i])), -EBADMSG);
		frames_done(&f);
	}
	/* An unfinished line is no event. */
	frames_init(&f);
	assert_int_equal(feed(&f, SV("{\"type\":\"ADDED\",\"object\":{}}")), 0);
	assert_int_equal(buf_len(&f.text), 0);
	watch_framer_reset(&f.framer);
	assert_int_equal(feed(&f, SV(EVENT("ADDED", "a", "1"))), 0);
	assert_true(sv_eqs(buf_sv(&f.text), "ADDED a 1;"));
	frames_done(&f);
}

static void test_endless_line(void **state)
{
	static char piece[64 << 10];
	struct frames f;
	size_t fed = 0;
	int r = 0;

	(void)state;
	memset(piece, ' ', sizeof(piece));
	frames_init(&f);
	for (; r == 0 && fed <= 2 * (size_t)WATCH_EVENT_MAX; fed += sizeof(piece))
		r = feed(&f, sv_make(piece, sizeof(piece)));
	assert_int_equal(r, -E2BIG);
	assert_in_range(fed, WATCH_EVENT_MAX, WATCH_EVENT_MAX + 2 * sizeof(piece));
	frames_done(&f);
}

/* ---- the watch ---- */

struct seen {
	struct world *w;
	struct watch *watch;
	struct buf text;
	bool gone, free_at_event;
	unsigned troubles, recoveries;
	char error[ERR_TEXT_MAX];
};

static void on_event(void *arg, enum watch_type type, const struct json *object, enum api_version v)
{
	static const char signs[] = { '+', '~', '-' };
	struct seen *s = arg;

	(void)v;
	must(type <= WATCH_DELETED);
	buf_printf(&s->text, "%c%s ", signs[type], meta_name(object));
	if (s->free_at_event)
		watch_free(&s->watch);
}

static void on_gone(void *arg)
{
	struct seen *s = arg;

	s->gone = true;
}

static void on_trouble(void *arg, const struct err *e)
{
	struct seen *s = arg;

	if (!e) {
		s->recoveries++;
		return;
	}
	s->troubles++;
	(void)snprintf(s->error, sizeof(s->error), "%s", e->text);
}

static void begin(struct world *w, struct seen *s, const char *rv)
{
	*s = (struct seen){ .w = w };
	buf_init(&s->text, 1 << 16);
	s->watch = watch_new(
	    w->api,
	    &(struct watch_conf){
		.what = { .group = "", .version = "v1", .resource = "nodes", .fields = "a=b" },
		.rv = rv,
		.on_event = on_event,
		.on_gone = on_gone,
		.on_trouble = on_trouble,
		.arg = s });
}

static void end(struct seen *s)
{
	watch_free(&s->watch);
	buf_done(&s->text);
}

static void assert_told(const struct seen *s, const char *want)
{
	if (!sv_eqs(buf_sv(&s->text), want))
		fail_msg("told \"" SV_FMT "\", not \"%s\"", SV_ARG(buf_sv(&s->text)), want);
}

#define PATH_FROM(rv)                                                                              \
	"/api/v1/nodes?fieldSelector=a%3Db&watch=1&allowWatchBookmarks=true&resourceVersion=" rv   \
	"&timeoutSeconds=*"

static void test_follow(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .path = PATH_FROM("10"),
							.body = EVENT("ADDED", "a", "11"),
							.end = SCRIPT_HOLD });
	begin(w, &s, "10");
	world_pass(w, 1000);
	assert_told(&s, "+a ");
	assert_string_equal(watch_rv(s.watch), "11");
	/* An event in three pieces, minutes apart. */
	script_push(w->server, "{\"type\":\"MODI");
	world_pass(w, 60000);
	script_push(w->server, "FIED\",\"object\":" OBJECT("a", "12"));
	world_pass(w, 60000);
	assert_told(&s, "+a ");
	script_push(w->server, "}\n" EVENT("BOOKMARK", "", "20"));
	world_pass(w, 60000);
	assert_told(&s, "+a ~a ");
	assert_string_equal(watch_rv(s.watch), "20");
	/* The server ends it well: on from the bookmark, soon, and nobody is alarmed. */
	script_expect(w->server, &(struct script_step){ .path = PATH_FROM("20"),
							.body = EVENT("DELETED", "a", "21"),
							.end = SCRIPT_HOLD });
	script_release(w->server);
	world_pass(w, 4100);
	assert_told(&s, "+a ~a -a ");
	assert_int_equal(s.troubles, 0);
	assert_int_equal(watch_stats(s.watch)->starts, 2);
	assert_int_equal(watch_stats(s.watch)->events, 3);
	assert_int_equal(watch_stats(s.watch)->bookmarks, 1);
	assert_int_equal(script_unexpected(w->server), 0);
	end(&s);
}

static void test_timeout_is_spread(void **state)
{
	struct world *w = *state;
	uint64_t seconds, least = UINT64_MAX, most = 0;
	const char *at;
	struct seen s;

	script_expect(w->server,
		      &(struct script_step){ .end = SCRIPT_HOLD, .times = SCRIPT_ALWAYS });
	for (int i = 0; i < 50; i++) {
		begin(w, &s, "1");
		world_pass(w, 100);
		at = strstr(script_last(w->server), "timeoutSeconds=");
		assert_non_null(at);
		seconds = strtoull(at + strlen("timeoutSeconds="), NULL, 10);
		assert_in_range(seconds, 300, 600);
		least = MIN(least, seconds);
		most = MAX(most, seconds);
		end(&s);
	}
	assert_true(least < 350 && most > 550);
}

/* A server that forgets its own timeout: we end the watch and go on, without alarm. */
static void test_server_does_not_end_it(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .body = EVENT("ADDED", "a", "5"),
							.end = SCRIPT_HOLD });
	script_expect(w->server,
		      &(struct script_step){ .path = PATH_FROM("5"), .end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 640 * 1000);
	assert_int_equal(watch_stats(s.watch)->starts, 2);
	assert_int_equal(s.troubles, 0);
	assert_int_equal(script_unexpected(w->server), 0);
	end(&s);
}

static void test_cut_resumes(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){
				     .path = PATH_FROM("1"),
				     .body = EVENT("ADDED", "a", "2") "{\"type\":\"ADDED\",\"obj",
				     .end = SCRIPT_HOLD });
	script_expect(w->server, &(struct script_step){ .path = PATH_FROM("2"),
							.body = EVENT("ADDED", "b", "3"),
							.end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 100);
	script_cut(w->server);
	world_pass(w, 6100);
	assert_told(&s, "+a +b ");
	assert_int_equal(s.troubles, 1);
	assert_int_equal(s.recoveries, 1);
	assert_false(s.gone);
	end(&s);
}

/* It ended well, and then nobody is there: no error comes, but the owner is told. */
static void test_nobody_to_open_it(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 60000);
	script_release(w->server);
	world_pass(w, 5);
	script_down(w->server);
	world_pass(w, 5000);
	assert_int_equal(s.troubles, 0);
	world_pass(w, 10000);
	assert_int_equal(s.troubles, 1);
	assert_string_not_equal(s.error, "API server: no answer yet");
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_HOLD });
	script_up(w->server);
	world_pass(w, 15000);
	assert_int_equal(s.recoveries, 1);
	assert_int_equal(s.troubles, 1);
	end(&s);
}

/* The connection lives and this one stream does not: without a limit, changes would go unseen. */
static void test_an_answer_that_never_begins(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .end = SCRIPT_SILENT });
	script_expect(w->server, &(struct script_step){ .body = EVENT("ADDED", "a", "2"),
							.end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 25000);
	assert_int_equal(s.troubles, 1);
	assert_told(&s, "");
	world_pass(w, 10000);
	assert_told(&s, "+a ");
	assert_int_equal(s.recoveries, 1);
	end(&s);
}

static void expect_gone(struct world *w, const struct script_step *step)
{
	struct seen s;

	script_expect(w->server, step);
	begin(w, &s, "1");
	assert_true(world_until(w, &s.gone, 5000));
	/* It rests until it is freed. */
	world_pass(w, 600 * 1000);
	assert_int_equal(watch_stats(s.watch)->starts, 1);
	assert_told(&s, "");
	end(&s);
}

static void test_gone(void **state)
{
	struct world *w = *state;

	expect_gone(w, &(struct script_step){ .status = 410, .body = STATUS(410, "Expired", "") });
	expect_gone(
	    w, &(struct script_step){ .body = "{\"type\":\"ERROR\",\"object\":" STATUS(
					  410, "Expired", "") "}\n" EVENT("ADDED", "late", "9"),
				      .end = SCRIPT_HOLD });
	expect_gone(w,
		    &(struct script_step){
			.status = 504,
			.body = STATUS(504, "Timeout",
				       "\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]") });
	expect_gone(w,
		    &(struct script_step){ .status = 400, .body = STATUS(400, "BadRequest", "") });
	assert_int_equal(script_unexpected(w->server), 0);
}

static void test_errors_back_off(void **state)
{
	struct world *w = *state;
	struct seen s;
	unsigned before;

	script_expect(w->server, &(struct script_step){ .status = 403,
							.body = STATUS(403, "Forbidden", ""),
							.times = SCRIPT_ALWAYS });
	begin(w, &s, "1");
	world_pass(w, 10 * 60 * 1000);
	/* 4 s doubling to 30 s: about 3 + 600/30 tries in ten minutes. */
	assert_in_range(script_requests(w->server), 15, 40);
	assert_true(s.troubles > 10);
	assert_non_null(strstr(s.error, "403 Forbidden"));
	/* It works again, for long; the next error starts from the small delay. */
	script_clear(w->server);
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_HOLD, .times = 2 });
	world_pass(w, 5 * 60 * 1000);
	assert_int_equal(s.recoveries, 1);
	before = script_requests(w->server);
	script_cut(w->server);
	world_pass(w, 6000);
	assert_int_equal(script_requests(w->server), before + 1);
	end(&s);
}

/* Proxies and servers that end every watch at once never make us spin. */
static void test_short_watches(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server,
		      &(struct script_step){ .path = PATH_FROM("1"), .times = SCRIPT_ALWAYS });
	begin(w, &s, "1");
	world_pass(w, 5 * 60 * 1000);
	assert_in_range(script_requests(w->server), 8, 25);
	assert_true(s.troubles > 5);
	end(&s);
	script_clear(w->server);
	script_expect(w->server, &(struct script_step){ .body = EVENT("BOOKMARK", "", "1"),
							.times = SCRIPT_ALWAYS });
	begin(w, &s, "1");
	world_pass(w, 5 * 60 * 1000);
	assert_in_range(script_requests(w->server), 16, 50);
	assert_int_equal(s.troubles, 0);
	end(&s);
}

static void test_error_event_with_delay(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){
				     .body = "{\"type\":\"ERROR\",\"object\":" STATUS(
					 500, "InternalError", "\"retryAfterSeconds\":7") "}\n",
				     .end = SCRIPT_HOLD });
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 6900);
	assert_int_equal(script_requests(w->server), 1);
	world_pass(w, 1000);
	assert_int_equal(script_requests(w->server), 2);
	assert_non_null(strstr(s.error, "500 Internal Server Error: InternalError happened"));
	end(&s);
}

static void test_garbage(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .body = EVENT("ADDED", "a", "2") "<html>\n",
							.end = SCRIPT_HOLD });
	script_expect(w->server,
		      &(struct script_step){ .path = PATH_FROM("2"), .end = SCRIPT_HOLD });
	begin(w, &s, "1");
	world_pass(w, 5000);
	assert_told(&s, "+a ");
	assert_int_equal(s.troubles, 1);
	assert_int_equal(script_left(w->server), 0);
	end(&s);
}

static void test_free_in_event(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .body = EVENT("ADDED", "a", "2")
							    EVENT("ADDED", "b", "3"),
							.end = SCRIPT_HOLD });
	begin(w, &s, "1");
	s.free_at_event = true;
	world_pass(w, 1000);
	assert_told(&s, "+a ");
	assert_null(s.watch);
	assert_int_equal(api_calls(w->api), 0);
	end(&s);
}

static void on_list(void *arg, const struct api_result *r)
{
	must(r->status == 0);
	*(bool *)arg = true;
}

/* A big list on the same connection: the events go on while it is under way. */
static void test_beside_a_big_list(void **state)
{
	enum { BYTES = 12 << 20 };
	struct world *w = *state;
	char *big = mem_alloc(BYTES + 1);
	bool listed = false;
	struct seen s;

	memset(big, ' ', BYTES);
	memcpy(big + BYTES - 2, "{}", 3);
	script_expect(w->server,
		      &(struct script_step){ .path = PATH_FROM("1"), .end = SCRIPT_HOLD });
	script_expect(w->server, &(struct script_step){ .path = "/api/v1/pods", .body = big });
	begin(w, &s, "1");
	world_pass(w, 100);
	(void)api_call(w->api, &(struct api_request){
				   .verb = API_LIST,
				   .to = { .group = "", .version = "v1", .resource = "pods" },
				   .fn = on_list,
				   .arg = &listed });
	while (script_requests(w->server) < 2)
		assert_true(loop_turn(w->loop, -1));
	script_push(w->server, EVENT("ADDED", "a", "2"));
	while (!buf_len(&s.text))
		assert_true(loop_turn(w->loop, -1));
	assert_false(listed);
	assert_true(world_until(w, &listed, 30000));
	assert_told(&s, "+a ");
	mem_free(big);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_broken_streams),
		cmocka_unit_test(test_endless_line),
		WORLD_TEST(test_follow),
		WORLD_TEST(test_timeout_is_spread),
		WORLD_TEST(test_server_does_not_end_it),
		WORLD_TEST(test_cut_resumes),
		WORLD_TEST(test_nobody_to_open_it),
		WORLD_TEST(test_an_answer_that_never_begins),
		WORLD_TEST(test_gone),
		WORLD_TEST(test_errors_back_off),
		WORLD_TEST(test_short_watches),
		WORLD_TEST(test_error_event_with_delay),
		WORLD_TEST(test_garbage),
		WORLD_TEST(test_free_in_event),
		WORLD_TEST(test_beside_a_big_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
