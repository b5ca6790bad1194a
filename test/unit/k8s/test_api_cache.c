#include "test/unit/k8s/api_world.h"

#include "core/buf.h"
#include "k8s/api/cache.h"

/* name, uid, resourceVersion */
#define OBJ(name, uid, rv)                                                                         \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"" uid                 \
	"\",\"resourceVersion\":\"" rv "\"}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define LIST(rv, more, items)                                                                      \
	"{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" more     \
	"\"},\"items\":[" items "]}"
#define BASE	  "/apis/apps/v1/things?labelSelector=x&"
#define WATCH(rv) BASE "watch=1&allowWatchBookmarks=true&resourceVersion=" rv "&timeoutSeconds=*"
#define ALWAYS_OK .times = SCRIPT_ALWAYS

struct seen {
	struct world *w;
	struct cache *cache;
	struct buf text; /* "+a.uid@rv " "-a.uid " "= " */
	bool synced, trouble;
	unsigned troubles;
	/* What the owner does from inside a callback. */
	bool free_at_upsert, free_at_delete, relist_at_delete;
};

static void on_upsert(void *arg, const struct json *object, enum api_version v)
{
	struct seen *s = arg;

	(void)v;
	buf_printf(&s->text, "+%s.%s@%s ", meta_name(object), meta_uid(object), meta_rv(object));
	if (s->free_at_upsert)
		cache_free(&s->cache);
}

static void on_delete(void *arg, const char *ns, const char *name, const char *uid)
{
	struct seen *s = arg;

	assert_string_equal(ns, "ns");
	buf_printf(&s->text, "-%s.%s ", name, uid);
	if (s->free_at_delete)
		cache_free(&s->cache);
	if (s->relist_at_delete)
		cache_relist(s->cache);
}

static void on_synced(void *arg)
{
	struct seen *s = arg;

	s->synced = true;
	buf_puts(&s->text, "= ");
}

static void on_trouble(void *arg, const struct err *e)
{
	struct seen *s = arg;

	s->trouble = e != NULL;
	s->troubles += e != NULL;
}

static void begin(struct world *w, struct seen *s, unsigned page)
{
	*s = (struct seen){ .w = w };
	buf_init(&s->text, 1 << 20);
	s->cache = cache_new(
	    w->api,
	    &(struct cache_conf){
		.what = { .group = "apps", .version = "v1", .resource = "things", .labels = "x" },
		.page = page,
		.on_upsert = on_upsert,
		.on_delete = on_delete,
		.on_synced = on_synced,
		.on_trouble = on_trouble,
		.arg = s });
}

static void end(struct seen *s)
{
	assert_int_equal(script_unexpected(s->w->server), 0);
	cache_free(&s->cache);
	buf_done(&s->text);
}

/* What was told since the last look. */
static void assert_told(struct seen *s, const char *want)
{
	if (!sv_eqs(buf_sv(&s->text), want))
		fail_msg("told \"" SV_FMT "\", not \"%s\"", SV_ARG(buf_sv(&s->text)), want);
	buf_clear(&s->text);
}

static void expect(struct world *w, const char *path, const char *body, enum script_end how)
{
	script_expect(w->server, &(struct script_step){ .path = path, .body = body, .end = how });
}

static void test_list_then_watch(void **state)
{
	struct world *w = *state;
	struct seen s;

	expect(w, BASE "limit=16", LIST("10", "", OBJ("a", "ua", "5") "," OBJ("b", "ub", "7")),
	       SCRIPT_WHOLE);
	expect(w, WATCH("10"), EVENT("ADDED", OBJ("c", "uc", "11")), SCRIPT_HOLD);
	begin(w, &s, 0);
	assert_false(cache_synced(s.cache));
	world_pass(w, 1000);
	assert_told(&s, "+a.ua@5 +b.ub@7 = +c.uc@11 ");
	assert_true(cache_synced(s.cache));
	assert_true(cache_has(s.cache, "ns", "a"));
	assert_false(cache_has(s.cache, "other", "a"));
	assert_false(cache_has(s.cache, NULL, "a"));
	assert_int_equal(cache_stats(s.cache)->objects, 3);
	script_push(w->server,
		    EVENT("MODIFIED", OBJ("a", "ua", "12")) EVENT("DELETED", OBJ("b", "ub", "13"))
			EVENT("DELETED", OBJ("z", "uz", "14")));
	world_pass(w, 1000);
	assert_told(&s, "+a.ua@12 -b.ub ");
	assert_int_equal(cache_stats(s.cache)->objects, 2);
	assert_int_equal(s.troubles, 0);
	end(&s);
}

static void test_empty(void **state)
{
	struct world *w = *state;
	struct seen s;

	expect(w, BASE "limit=16",
	       "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"3\"},\"items\":null}",
	       SCRIPT_WHOLE);
	expect(w, WATCH("3"), NULL, SCRIPT_HOLD);
	begin(w, &s, 0);
	world_pass(w, 1000);
	assert_told(&s, "= ");
	end(&s);
}

static void test_pages(void **state)
{
	struct world *w = *state;
	struct seen s;

	expect(w, BASE "limit=2", LIST("10", "t/1", OBJ("a", "ua", "1") "," OBJ("b", "ub", "2")),
	       SCRIPT_WHOLE);
	/* Light objects: the next page may be larger. The token is escaped. */
	expect(w, BASE "limit=4&continue=t%2F1", LIST("10", "t2", OBJ("c", "uc", "3")),
	       SCRIPT_WHOLE);
	expect(w, BASE "limit=8&continue=t2", LIST("10", "", OBJ("d", "ud", "4")), SCRIPT_WHOLE);
	expect(w, WATCH("10"), NULL, SCRIPT_HOLD);
	begin(w, &s, 2);
	world_pass(w, 1000);
	assert_told(&s, "+a.ua@1 +b.ub@2 +c.uc@3 +d.ud@4 = ");
	assert_int_equal(cache_stats(s.cache)->pages, 3);
	end(&s);
}

static void test_heavy_pages(void **state)
{
	struct world *w = *state;
	char *body = mem_alloc(API_BODY_MAX + 2), *padded = mem_alloc(2 << 20);
	static const char head[] = LIST("10", "t", OBJ("a", "ua", "1") "," OBJ("b", "ub", "2"));
	struct seen s;

	memset(body, ' ', API_BODY_MAX + 1);
	body[API_BODY_MAX + 1] = '\0';
	memset(padded, ' ', 1 << 20);
	memcpy(padded + (1 << 20), head, sizeof(head));
	/* More than we take in one answer: half as many. Heavy ones: few at a time. */
	expect(w, BASE "limit=16", body, SCRIPT_WHOLE);
	expect(w, BASE "limit=8", padded, SCRIPT_WHOLE);
	expect(w, BASE "limit=1&continue=t", LIST("10", "", ""), SCRIPT_WHOLE);
	expect(w, WATCH("10"), NULL, SCRIPT_HOLD);
	begin(w, &s, 0);
	world_pass(w, 5000);
	assert_told(&s, "+a.ua@1 +b.ub@2 = ");
	mem_free(body);
	mem_free(padded);
	end(&s);
}

/* The token of a page expires: the list begins again, and what is known is not told twice. */
static void test_expired_page(void **state)
{
	struct world *w = *state;
	struct seen s;

	expect(w, BASE "limit=2", LIST("10", "t", OBJ("a", "ua", "1") "," OBJ("b", "ub", "2")),
	       SCRIPT_WHOLE);
	script_expect(w->server, &(struct script_step){ .path = BASE "limit=4&continue=t",
							.status = 410,
							.body = STATUS(410, "Expired", "") });
	expect(w, BASE "limit=4", LIST("20", "", OBJ("b", "ub", "12") "," OBJ("c", "uc", "13")),
	       SCRIPT_WHOLE);
	expect(w, WATCH("20"), NULL, SCRIPT_HOLD);
	begin(w, &s, 2);
	world_pass(w, 10000);
	assert_told(&s, "+a.ua@1 +b.ub@2 +b.ub@12 +c.uc@13 -a.ua = ");
	assert_int_equal(s.troubles, 1);
	assert_false(s.trouble);
	end(&s);
}

static void start_with(struct world *w, struct seen *s, const char *items_rv_10)
{
	expect(w, BASE "limit=16", items_rv_10, SCRIPT_WHOLE);
	expect(w, WATCH("10"), NULL, SCRIPT_HOLD);
	begin(w, s, 0);
	world_pass(w, 1000);
	buf_clear(&s->text);
}

static void test_relist_tells_differences(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s,
		   LIST("10", "",
			OBJ("same", "u1", "1") "," OBJ("changed", "u2", "2") "," OBJ(
			    "gone", "u3", "3") "," OBJ("replaced", "u4", "4")));
	/* A minute of silence in which the server forgot our version. */
	expect(w, WATCH("10"), "{\"type\":\"ERROR\",\"object\":" STATUS(410, "Expired", "") "}\n",
	       SCRIPT_HOLD);
	expect(w, BASE "limit=32",
	       LIST("90", "",
		    OBJ("same", "u1", "1") "," OBJ("changed", "u2", "50") "," OBJ(
			"replaced", "u9", "60") "," OBJ("new", "u5", "70")),
	       SCRIPT_WHOLE);
	expect(w, WATCH("90"), NULL, SCRIPT_HOLD);
	world_pass(w, 60000);
	script_release(w->server);
	world_pass(w, 10000);
	assert_told(&s, "+changed.u2@50 -replaced.u4 +replaced.u9@60 +new.u5@70 -gone.u3 = ");
	assert_int_equal(cache_stats(s.cache)->relists, 1);
	assert_int_equal(cache_stats(s.cache)->objects, 4);
	end(&s);
}

/* A server that forgets at once, each time: lists further and further apart. */
static void test_no_relist_storm(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .path = BASE "limit=16",
							.body = LIST("10", "", ""),
							ALWAYS_OK });
	script_expect(w->server, &(struct script_step){ .path = WATCH("10"),
							.status = 410,
							.body = STATUS(410, "Expired", ""),
							ALWAYS_OK });
	begin(w, &s, 0);
	world_pass(w, 10 * 60 * 1000);
	assert_in_range(script_requests(w->server), 30, 70);
	end(&s);
}

static void test_list_errors(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .status = 403,
							.body = STATUS(403, "Forbidden", ""),
							.times = 3 });
	script_expect(w->server, &(struct script_step){ .body = "{\"kind\":\"Other\"}" });
	begin(w, &s, 0);
	world_pass(w, 4000);
	assert_true(s.trouble);
	assert_false(cache_synced(s.cache));
	expect(w, BASE "limit=16", LIST("10", "", OBJ("a", "ua", "1")), SCRIPT_WHOLE);
	expect(w, WATCH("10"), NULL, SCRIPT_HOLD);
	world_pass(w, 60000);
	assert_told(&s, "+a.ua@1 = ");
	assert_false(s.trouble);
	assert_int_equal(s.troubles, 4);
	end(&s);
}

static struct json *parse(const char *text)
{
	struct json *root = NULL;

	assert_int_equal(json_parse(sv_str(text), &json_limits_object, &root, NULL), 0);
	return root;
}

static void wrote(struct seen *s, const char *text)
{
	struct json *o = parse(text);

	cache_wrote(s->cache, o, API_V1);
	json_free(&o);
}

static void test_own_writes(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5")));
	wrote(&s, OBJ("a", "ua", "20"));
	wrote(&s, OBJ("n", "un", "21"));
	assert_told(&s, "+a.ua@20 +n.un@21 ");
	/* Older events, then the echoes, then someone else's change. */
	script_push(w->server,
		    EVENT("MODIFIED", OBJ("a", "ua", "15")) EVENT("MODIFIED", OBJ("a", "ua", "20"))
			EVENT("ADDED", OBJ("n", "un", "21"))
			    EVENT("MODIFIED", OBJ("n", "un", "30")));
	world_pass(w, 100);
	assert_told(&s, "+n.un@30 ");
	/* Our delete: late news of that uid are ignored until it is confirmed. */
	cache_deleted(s.cache, "ns", "n", "un");
	cache_deleted(s.cache, "ns", "n", "un");
	assert_told(&s, "-n.un ");
	assert_false(cache_has(s.cache, "ns", "n"));
	script_push(w->server,
		    EVENT("MODIFIED", OBJ("n", "un", "31")) EVENT("DELETED", OBJ("n", "un", "32")));
	world_pass(w, 100);
	assert_told(&s, "");
	script_push(w->server, EVENT("ADDED", OBJ("n", "un2", "33")));
	world_pass(w, 100);
	assert_told(&s, "+n.un2@33 ");
	/* A new one of that name, made by us before the old one's end is heard. */
	cache_deleted(s.cache, "ns", "n", "un2");
	wrote(&s, OBJ("n", "un3", "40"));
	script_push(w->server,
		    EVENT("DELETED", OBJ("n", "un2", "39")) EVENT("ADDED", OBJ("n", "un3", "40")));
	world_pass(w, 100);
	assert_told(&s, "-n.un2 +n.un3@40 ");
	/* A delete of what is not known, or is another by now, changes nothing. */
	cache_deleted(s.cache, "ns", "n", "un2");
	cache_deleted(s.cache, "ns", "zzz", "u");
	assert_told(&s, "");
	end(&s);
}

/* Written while a list was on its way: the list is older than what we know. */
static void test_write_during_list(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5") "," OBJ("d", "ud", "6")));
	script_expect(w->server,
		      &(struct script_step){
			  .path = BASE "limit=32",
			  .body = LIST("50", "", OBJ("a", "ua", "45") "," OBJ("d", "ud", "6")),
			  .delay_ms = 1000 });
	expect(w, WATCH("50"), NULL, SCRIPT_HOLD);
	world_pass(w, 200000);
	cache_relist(s.cache);
	while (script_requests(w->server) < 3)
		assert_true(loop_turn(w->loop, -1));
	wrote(&s, OBJ("a", "ua", "51"));
	wrote(&s, OBJ("n", "un", "52"));
	wrote(&s, OBJ("o", "uo", "49"));
	cache_deleted(s.cache, "ns", "d", "ud");
	assert_told(&s, "+a.ua@51 +n.un@52 +o.uo@49 -d.ud ");
	world_pass(w, 5000);
	/* "o" was made before the list was taken and is not in it: someone deleted it. */
	assert_told(&s, "-o.uo = ");
	assert_true(cache_has(s.cache, "ns", "n"));
	assert_false(cache_has(s.cache, "ns", "d"));
	end(&s);
}

/* A restored etcd: versions go backwards, and the list is the truth all the same. */
static void test_time_goes_backwards(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "9") "," OBJ("b", "ub", "8")));
	wrote(&s, OBJ("a", "ua", "500"));
	cache_deleted(s.cache, "ns", "b", "ub");
	buf_clear(&s.text);
	script_expect(
	    w->server,
	    &(struct script_step){
		.path = WATCH("10"),
		.status = 504,
		.body = STATUS(504, "Timeout",
			       "\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]") });
	expect(w, BASE "limit=32", LIST("7", "", OBJ("a", "ua", "3") "," OBJ("b", "ub", "2")),
	       SCRIPT_WHOLE);
	expect(w, WATCH("7"), NULL, SCRIPT_HOLD);
	world_pass(w, 200000);
	script_release(w->server);
	world_pass(w, 60000);
	assert_told(&s, "+a.ua@3 +b.ub@2 = ");
	assert_true(cache_has(s.cache, "ns", "b"));
	end(&s);
}

static void test_opaque_versions(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "x-1")));
	script_push(w->server,
		    EVENT("MODIFIED", OBJ("a", "ua", "x-0")) EVENT(
			"MODIFIED",
			OBJ("a", "ua", "0123456789012345678901234567890123456789012345678901")));
	world_pass(w, 100);
	assert_told(&s, "+a.ua@x-0 "
			"+a.ua@0123456789012345678901234567890123456789012345678901 ");
	end(&s);
}

static void test_relist_on_demand(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5")));
	script_expect(
	    w->server,
	    &(struct script_step){ .body = LIST("11", "", ""), ALWAYS_OK, .path = BASE "limit=*" });
	expect(w, WATCH("11"), NULL, SCRIPT_HOLD);
	/* Asked for often: done once, and not pushed off for ever. */
	for (int i = 0; i < 10; i++) {
		cache_relist(s.cache);
		world_pass(w, 50);
	}
	world_pass(w, 5000);
	assert_told(&s, "-a.ua = ");
	assert_int_equal(cache_stats(s.cache)->lists, 2);
	end(&s);
}

static void test_free_in_callbacks(void **state)
{
	struct world *w = *state;
	struct seen s;

	expect(w, BASE "limit=16", LIST("10", "", OBJ("a", "ua", "5") "," OBJ("b", "ub", "5")),
	       SCRIPT_WHOLE);
	begin(w, &s, 0);
	s.free_at_upsert = true;
	world_pass(w, 1000);
	assert_told(&s, "+a.ua@5 ");
	assert_null(s.cache);
	assert_int_equal(api_calls(w->api), 0);
	end(&s);

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5") "," OBJ("b", "ub", "5")));
	s.free_at_delete = true;
	expect(w, BASE "limit=32", LIST("20", "", ""), SCRIPT_WHOLE);
	cache_relist(s.cache);
	world_pass(w, 5000);
	assert_int_equal(buf_len(&s.text), strlen("-a.ua "));
	assert_null(s.cache);
	end(&s);
}

static void test_relist_inside_sweep(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5") "," OBJ("b", "ub", "5")));
	s.relist_at_delete = true;
	script_expect(
	    w->server,
	    &(struct script_step){ .path = BASE "limit=*", .body = LIST("20", "", ""), ALWAYS_OK });
	expect(w, WATCH("20"), NULL, SCRIPT_HOLD);
	cache_relist(s.cache);
	world_pass(w, 60000);
	assert_int_equal(buf_len(&s.text), strlen("-a.ua -b.ub = "));
	assert_int_equal(cache_stats(s.cache)->objects, 0);
	end(&s);
}

/* Nobody listens for two minutes; nothing is lost and nothing is invented. */
static void test_outage(void **state)
{
	struct world *w = *state;
	struct seen s;

	start_with(w, &s, LIST("10", "", OBJ("a", "ua", "5")));
	script_down(w->server);
	world_pass(w, 120000);
	assert_true(s.trouble);
	assert_told(&s, "");
	script_up(w->server);
	expect(w, WATCH("10"), EVENT("ADDED", OBJ("b", "ub", "11")), SCRIPT_HOLD);
	world_pass(w, 60000);
	assert_told(&s, "+b.ub@11 ");
	assert_false(s.trouble);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_list_then_watch),
		WORLD_TEST(test_empty),
		WORLD_TEST(test_pages),
		WORLD_TEST(test_heavy_pages),
		WORLD_TEST(test_expired_page),
		WORLD_TEST(test_relist_tells_differences),
		WORLD_TEST(test_no_relist_storm),
		WORLD_TEST(test_list_errors),
		WORLD_TEST(test_own_writes),
		WORLD_TEST(test_write_during_list),
		WORLD_TEST(test_time_goes_backwards),
		WORLD_TEST(test_opaque_versions),
		WORLD_TEST(test_relist_on_demand),
		WORLD_TEST(test_free_in_callbacks),
		WORLD_TEST(test_relist_inside_sweep),
		WORLD_TEST(test_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
