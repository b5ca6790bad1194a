#include "k8s/ledger.h"

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/json.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"

#define LOCK_POLL_MS	  100u	/* while waiting for the hand-over: a call may be held meanwhile */
#define YIELD_POLL_MS	  1000u /* while another instance has the ledger */
#define YIELD_PATIENCE_MS 5000u /* the newcomer asked and did not take it: it is gone */
#define OPEN_RETRY_MS	  5000u
#define STALE_MS	  10u /* until a predecessor's worker has done its last */
#define BODY_VERSION	  1
#define FILE_MAX	  ((size_t)1 << 30)

struct ledger {
	struct loop *loop;
	struct ledger_conf conf;
	char *path, *folder, *lock_path, *handover_path, *handover_name, *boot_id, *instance;
	enum ledger_state state;
	struct journal *journal;
	struct fswatch *watch; /* of the folder, for the hand-over file */
	struct map known;      /* uid -> itself (char *): what was read, to notice what is gone */
	struct loop_timer timer;
	struct loop_task told; /* on_state, never from within a caller's call */
	int lock_fd;
	uint64_t yielded_ms;
	char *successor; /* who asked for the hand-over, while YIELDED */
	bool yielding;	 /* asked to let go, what is in flight ends first */
	bool asks;	 /* for the hand-over, until the lock is ours */
	bool disk_trouble;
	struct err reason;
};

/* ---- records ---- */

static void device_done(struct ledger_device *d)
{
	mem_free(d->request);
	mem_free(d->pool);
	mem_free(d->device);
	mem_free(d->share_id);
	mem_free(d->identity);
}

void ledger_claim_free(struct ledger_claim **cp)
{
	struct ledger_claim *c = *cp;

	if (!c)
		return;
	for (size_t i = 0; i < c->devices_n; i++)
		device_done(&c->devices[i]);
	mem_free(c->devices);
	mem_free(c->uid);
	mem_free(c->namespace);
	mem_free(c->name);
	mem_free(c->pod);
	mem_free(c->plan);
	mem_free(c->boot_id);
	mem_free(c->unknown);
	mem_free(c);
	*cp = NULL;
}

static void put_hex(struct jsonw *w, const char *key, const char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	struct buf hex;

	if (!n)
		return;
	buf_init(&hex, n * 2 + 1);
	for (size_t i = 0; i < n; i++) {
		buf_putc(&hex, digits[(unsigned char)bytes[i] >> 4]);
		buf_putc(&hex, digits[bytes[i] & 15]);
	}
	jsonw_ksv(w, key, buf_sv(&hex));
	buf_done(&hex);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int get_hex(struct sv text, char **out, size_t *n)
{
	char *bytes;

	*out = NULL;
	*n = text.n / 2;
	if (text.n % 2)
		return -EBADMSG;
	bytes = mem_alloc(*n + 1);
	for (size_t i = 0; i < *n; i++) {
		int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0) {
			mem_free(bytes);
			return -EBADMSG;
		}
		bytes[i] = (char)(hi << 4 | lo);
	}
	*out = bytes;
	return 0;
}

static void put_device(struct jsonw *w, const struct ledger_device *d)
{
	jsonw_obj(w);
	jsonw_kstr(w, "request", d->request);
	jsonw_kstr(w, "pool", d->pool);
	jsonw_kstr(w, "device", d->device);
	jsonw_kstr(w, "identity", d->identity);
	if (d->share_id)
		jsonw_kstr(w, "shareID", d->share_id);
	if (d->admin)
		jsonw_kbool(w, "admin", true);
	jsonw_end(w);
}

void ledger_encode(const struct ledger_claim *c, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_ki64(&w, "v", BODY_VERSION);
	jsonw_kstr(&w, "namespace", c->namespace);
	jsonw_kstr(&w, "name", c->name);
	if (c->pod)
		jsonw_kstr(&w, "pod", c->pod);
	jsonw_key(&w, "allocation");
	jsonw_fmt(&w, "%016llx", (unsigned long long)c->allocation);
	jsonw_kstr(&w, "bootID", c->boot_id);
	jsonw_ki64(&w, "since", (int64_t)c->since_wall_ms);
	put_hex(&w, "plan", c->plan, c->plan_n);
	jsonw_karr(&w, "devices");
	for (size_t i = 0; i < c->devices_n; i++)
		put_device(&w, &c->devices[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	if (!c->unknown || out->full)
		return;
	out->end--; /* the closing brace: what another version wrote follows */
	buf_puts(out, c->unknown);
	buf_putc(out, '}');
}

static const char *const known_members[] = { "v",      "namespace", "name", "pod",    "allocation",
					     "bootID", "since",	    "plan", "devices" };

static bool is_known(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(known_members); i++)
		if (sv_eqs(sv_str(key), known_members[i]))
			return true;
	return false;
}

/* Everything this version does not know, spelled ",\"key\":value,...". */
static char *keep_unknown(const struct json *body)
{
	const struct json *value;
	struct buf out, one;
	const char *key;
	void *pos = NULL;
	char *kept;

	buf_init(&out, JOURNAL_BODY_MAX);
	buf_init(&one, JOURNAL_BODY_MAX);
	while (json_next(body, &pos, &key, &value)) {
		struct jsonw w;
		struct sv text;

		if (is_known(key))
			continue;
		buf_clear(&one);
		jsonw_init(&w, &one);
		jsonw_obj(&w);
		jsonw_key(&w, key);
		jsonw_json(&w, value);
		jsonw_end(&w);
		text = buf_sv(&one);
		buf_putc(&out, ',');
		buf_put(&out, text.p + 1, text.n - 2);
	}
	kept = buf_len(&out) ? buf_steal(&out) : NULL;
	buf_done(&out);
	buf_done(&one);
	return kept;
}

static void get_device(const struct json *n, struct ledger_device *d)
{
	d->request = mem_strdup(json_str(json_get(n, "request"), ""));
	d->pool = mem_strdup(json_str(json_get(n, "pool"), ""));
	d->device = mem_strdup(json_str(json_get(n, "device"), ""));
	d->identity = mem_strdup(json_str(json_get(n, "identity"), ""));
	d->share_id = mem_strdup(json_str(json_get(n, "shareID"), NULL));
	d->admin = json_flag(json_get(n, "admin"), false);
}

static int get_allocation(struct sv text, uint64_t *out)
{
	char *bytes;
	size_t n;

	*out = 0;
	if (text.n != 16 || get_hex(text, &bytes, &n) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		*out = *out << 8 | (unsigned char)bytes[i];
	mem_free(bytes);
	return 0;
}

int ledger_decode(struct sv uid, struct sv body, struct ledger_claim **out, struct err *e)
{
	static const struct json_limits limits = { JOURNAL_BODY_MAX, 10000, 32 };
	struct ledger_claim *c;
	const struct json *devices;
	struct json *root;
	int r = json_parse(body, &limits, &root, e);

	if (r < 0) {
		err_wrap(e, r, "ledger record of claim " SV_FMT, SV_ARG(uid));
		return -EBADMSG;
	}
	c = MEM_NEW(struct ledger_claim);
	c->uid = sv_dup(uid);
	c->namespace = mem_strdup(json_str(json_get(root, "namespace"), ""));
	c->name = mem_strdup(json_str(json_get(root, "name"), ""));
	c->pod = mem_strdup(json_str(json_get(root, "pod"), NULL));
	c->boot_id = mem_strdup(json_str(json_get(root, "bootID"), ""));
	c->since_wall_ms = (uint64_t)json_i64(json_get(root, "since"), 0);
	r = get_allocation(json_sv(json_get(root, "allocation")), &c->allocation);
	if (!r)
		r = get_hex(json_sv(json_get(root, "plan")), &c->plan, &c->plan_n);
	devices = json_get(root, "devices");
	if (json_kind(devices) != JSON_ARR)
		r = -EBADMSG;
	c->devices_n = json_len(devices);
	c->devices = mem_calloc(c->devices_n ? c->devices_n : 1, sizeof(*c->devices));
	for (size_t i = 0; i < c->devices_n; i++)
		get_device(json_at(devices, i), &c->devices[i]);
	c->unknown = keep_unknown(root);
	json_free(&root);
	if (r < 0) {
		ledger_claim_free(&c);
		err_set(e, r, "ledger record of claim " SV_FMT " lacks a member", SV_ARG(uid));
		return -EBADMSG;
	}
	*out = c;
	return 0;
}

/* ---- replay ---- */

static void known_put(struct ledger *l, struct sv uid)
{
	char *copy;

	if (map_get(&l->known, uid))
		return;
	copy = sv_dup(uid);
	map_put(&l->known, sv_str(copy), copy);
}

static void known_del(struct ledger *l, struct sv uid)
{
	mem_free(map_del(&l->known, uid));
}

/* What the scan found; told to the owner at its end, since a later record may replace an earlier.
 */
struct replay {
	struct ledger *ledger;
	struct map claims;  /* uid -> struct ledger_claim */
	struct map corrupt; /* uid -> char * */
};

static void replay_drop(struct replay *r, struct sv uid)
{
	struct ledger_claim *old = map_del(&r->claims, uid);

	ledger_claim_free(&old);
	mem_free(map_del(&r->corrupt, uid));
}

static void replay_corrupt(void *arg, struct sv uid)
{
	struct replay *r = arg;
	char *copy;

	if (!uid.n) {
		log_error("a ledger record is corrupt beyond its claim's name",
			  LOG_S("file", r->ledger->path));
		return;
	}
	replay_drop(r, uid);
	copy = sv_dup(uid);
	map_put(&r->corrupt, sv_str(copy), copy);
}

static void replay_put(void *arg, struct sv uid, struct sv body)
{
	struct replay *r = arg;
	struct ledger_claim *c;
	struct err e = { 0 };

	if (ledger_decode(uid, body, &c, &e)) {
		log_error("ledger record cannot be read", LOG_S("error", err_text(&e)));
		replay_corrupt(arg, uid);
		return;
	}
	replay_drop(r, uid);
	map_put(&r->claims, sv_str(c->uid), c);
}

static void replay_del(void *arg, struct sv uid)
{
	replay_drop(arg, uid);
}

static void replay_meta(void *arg, struct sv key, struct sv body)
{
	(void)arg;
	(void)key;
	(void)body;
}

static void replay_init(struct replay *r, struct ledger *l)
{
	*r = (struct replay){ .ledger = l };
	map_init(&r->claims);
	map_init(&r->corrupt);
}

static struct journal_scan_events replay_events(struct replay *r)
{
	return (struct journal_scan_events){ .on_put = replay_put,
					     .on_del = replay_del,
					     .on_corrupt = replay_corrupt,
					     .on_meta = replay_meta,
					     .arg = r };
}

static void tell_gone(struct ledger *l, const struct replay *r)
{
	map_for_each (e, &l->known) {
		char *uid = e->value;

		if (map_get(&r->claims, e->key) || map_get(&r->corrupt, e->key))
			continue;
		l->conf.on_gone(l->conf.arg, uid);
		map_del(&l->known, e->key);
		mem_free(uid);
	}
}

/* Hands what was found to the owner and ends the replay. */
static void replay_tell(struct replay *r)
{
	struct ledger *l = r->ledger;

	tell_gone(l, r);
	map_for_each (e, &r->corrupt) {
		known_put(l, e->key);
		l->conf.on_corrupt(l->conf.arg, e->value);
		mem_free(e->value);
	}
	map_for_each (c, &r->claims) {
		known_put(l, c->key);
		l->conf.on_claim(l->conf.arg, c->value);
	}
	map_done(&r->claims);
	map_done(&r->corrupt);
}

static void replay_abandon(struct replay *r)
{
	map_for_each (e, &r->corrupt)
		mem_free(e->value);
	map_for_each (c, &r->claims) {
		struct ledger_claim *claim = c->value;

		ledger_claim_free(&claim);
	}
	map_done(&r->claims);
	map_done(&r->corrupt);
}

/* ---- states ---- */

static void drop_lock(struct ledger *l)
{
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	l->lock_fd = -1;
}

static void tell_state(void *arg)
{
	struct ledger *l = arg;

	/* A journal that could not be opened is begun anew, by whoever gets the lock then. */
	if (l->state == LEDGER_FAILED) {
		journal_free(&l->journal);
		drop_lock(l);
	}
	l->conf.on_state(l->conf.arg, l->state);
}

static void set_state(struct ledger *l, enum ledger_state s)
{
	l->state = s;
	loop_task_post(&l->told);
}

static int take_lock(struct ledger *l, struct err *e)
{
	int r = fsx_lock(l->lock_path, &l->lock_fd);

	if (r < 0)
		return err_sys(e, r, "cannot lock %s", l->lock_path);
	return r;
}

static void on_disk(void *arg, const struct err *e)
{
	struct ledger *l = arg;

	l->disk_trouble = e != NULL;
	if (e) {
		l->reason = *e;
		log_error("the ledger's disk fails", LOG_S("file", l->path),
			  LOG_S("error", err_text(e)));
	} else {
		log_info("the ledger's disk works again", LOG_S("file", l->path));
	}
	loop_task_post(&l->told);
}

static void on_compact(void *arg, struct journal *j)
{
	struct ledger *l = arg;

	(void)j;
	l->conf.on_compact(l->conf.arg, l);
}

static void on_ready(void *arg, int status, const struct journal_scan_result *r)
{
	struct ledger *l = arg;

	if (status == -ESTALE) { /* someone wrote between our reading and opening */
		loop_timer_set(&l->timer, STALE_MS);
		return;
	}
	if (status < 0) {
		err_set(&l->reason, 0, "cannot open the ledger %s: %s", l->path,
			journal_reason(l->journal));
		log_error("cannot open the ledger", LOG_S("error", err_text(&l->reason)));
		set_state(l, LEDGER_FAILED);
		loop_timer_set(&l->timer, OPEN_RETRY_MS);
		return;
	}
	log_info("ledger open", LOG_S("file", l->path), LOG_I("claims", r->live),
		 LOG_I("records", r->records), LOG_I("corrupt", r->corrupt));
	if (fsx_remove(l->handover_path) < 0)
		log_warn("cannot remove the hand-over file", LOG_S("file", l->handover_path));
	l->asks = l->disk_trouble = false;
	set_state(l, LEDGER_OPEN);
}

/* With the lock in hand: replay and open for writing. */
static int open_journal(struct ledger *l, struct err *e)
{
	struct journal_conf conf = { .path = l->path,
				     .boot_id = l->boot_id,
				     .disk = l->conf.disk,
				     .on_compact = on_compact,
				     .on_disk = on_disk,
				     .arg = l };
	struct journal_scan_events ev;
	struct replay replay;
	int r;

	replay_init(&replay, l);
	ev = replay_events(&replay);
	r = journal_open(l->loop, &conf, &ev, on_ready, l, &l->journal, e);
	if (r < 0) {
		replay_abandon(&replay);
		drop_lock(l);
		return r;
	}
	replay_tell(&replay);
	return 0;
}

/* Another instance writes: know what it knows, so that the hand-over is short. */
static void read_only(struct ledger *l)
{
	struct journal_scan_result result;
	struct journal_scan_events ev;
	struct replay replay;
	struct buf file;
	struct err e = { 0 };

	buf_init(&file, FILE_MAX);
	replay_init(&replay, l);
	ev = replay_events(&replay);
	if (!fsx_read(l->path, FILE_MAX, &file) && !journal_scan(buf_sv(&file), &ev, &result, &e))
		replay_tell(&replay);
	else
		replay_abandon(&replay);
	buf_done(&file);
}

static void ask(struct ledger *l)
{
	struct buf text;
	int r;

	buf_init(&text, 1024);
	buf_printf(&text, "%s\n", l->instance);
	r = fsx_replace(l->handover_path, buf_sv(&text), 0600, 0);
	if (r < 0)
		log_error("cannot ask for the hand-over", LOG_S("file", l->handover_path),
			  LOG_S("error", strerror(-r)));
	buf_done(&text);
}

void ledger_ask_handover(struct ledger *l)
{
	if (l->state != LEDGER_OPENING || l->lock_fd >= 0)
		return;
	l->asks = true;
	ask(l);
}

static void acquire(struct ledger *l)
{
	struct err e = { 0 };
	int r = 0;

	journal_free(&l->journal); /* one that found another file than was read; we have the lock */
	if (l->lock_fd < 0)
		r = take_lock(l, &e);
	if (!r)
		r = open_journal(l, &e);
	if (r < 0) {
		l->reason = e;
		log_error("cannot open the ledger", LOG_S("error", err_text(&e)));
		set_state(l, LEDGER_FAILED);
	}
	if (r)
		loop_timer_set(&l->timer, r < 0			       ? OPEN_RETRY_MS
					  : l->state == LEDGER_OPENING ? LOCK_POLL_MS
								       : YIELD_POLL_MS);
}

/* ---- hand-over ---- */

enum { INSTANCE_MAX = 256 };

static bool asked_by_another(struct ledger *l, char who[INSTANCE_MAX])
{
	return !fsx_line(l->handover_path, who, INSTANCE_MAX) && !sv_eqs(sv_str(l->instance), who);
}

static void let_go(struct ledger *l)
{
	l->yielding = false;
	l->yielded_ms = loop_now_ms(l->loop);
	journal_free(&l->journal);
	drop_lock(l);
	log_info("ledger handed over", LOG_S("file", l->path), LOG_S("to", l->successor));
	set_state(l, LEDGER_YIELDED); /* told again: now it is so */
	loop_timer_set(&l->timer, YIELD_POLL_MS);
}

static bool is_complete(const struct ledger *l)
{
	return fsx_exists(l->path) && fsx_exists(l->lock_path);
}

/*
 * Someone emptied the kubelet's folders: lock and file are made anew at once, since what is only in
 * memory is lost at the next restart. Any record has the journal find that its file is gone; it
 * tries until there is a folder again.
 */
static void restore(struct ledger *l)
{
	int fd;

	if (!fsx_exists(l->lock_path) && fsx_lock(l->lock_path, &fd) == 0) {
		drop_lock(l);
		l->lock_fd = fd;
	}
	if (fsx_exists(l->path) || l->disk_trouble)
		return;
	log_error("the ledger was removed, it is written anew", LOG_S("file", l->path));
	journal_del(l->journal, SV("-"), NULL, NULL);
}

static void on_folder(void *arg, const char *name)
{
	struct ledger *l = arg;
	char who[INSTANCE_MAX];

	if (l->state != LEDGER_OPEN)
		return;
	if (!is_complete(l))
		loop_timer_set(&l->timer, LOCK_POLL_MS);
	if (name && !sv_eqs(sv_str(name), l->handover_name))
		return;
	if (!asked_by_another(l, who))
		return;
	mem_free(l->successor);
	l->successor = mem_strdup(who);
	err_set(&l->reason, 0, "handed over to a newer instance of tundra");
	l->yielding = true;
	set_state(l, LEDGER_YIELDED);
	ledger_settle(l);
	if (l->yielding)
		loop_timer_set(&l->timer, LOCK_POLL_MS);
}

void ledger_settle(struct ledger *l)
{
	if (l->yielding && l->conf.may_yield(l->conf.arg) && journal_idle(l->journal))
		let_go(l);
}

static void on_timer(void *arg)
{
	struct ledger *l = arg;
	bool patient = loop_now_ms(l->loop) - l->yielded_ms < YIELD_PATIENCE_MS;
	char who[INSTANCE_MAX];

	if (l->yielding) {
		ledger_settle(l);
		if (l->yielding)
			loop_timer_set(&l->timer, LOCK_POLL_MS);
		return;
	}
	if (l->state == LEDGER_OPEN) {
		restore(l);
		if (!is_complete(
			l)) /* no news of a folder that comes back: our open files keep it */
			loop_timer_set(&l->timer, YIELD_POLL_MS);
		return;
	}
	/* Give the one that asked the time to take it; then it is whoever gets the lock. */
	if (l->state == LEDGER_YIELDED && patient && asked_by_another(l, who)) {
		loop_timer_set(&l->timer, YIELD_POLL_MS);
		return;
	}
	acquire(l);
	/* Whoever opened the ledger meanwhile has removed the request, and did not know it. */
	if (l->state == LEDGER_OPENING && l->lock_fd < 0 && l->asks &&
	    !fsx_exists(l->handover_path))
		ask(l);
}

/* ---- public ---- */

static void split_path(struct ledger *l, const char *path)
{
	const char *slash = strrchr(path, '/');

	must(slash && slash[1]);
	l->path = mem_strdup(path);
	l->folder = mem_strndup(path, (size_t)(slash - path));
	l->lock_path = mem_printf("%s.lock", path);
	l->handover_path = mem_printf("%s.handover", path);
	l->handover_name = mem_printf("%s.handover", slash + 1);
}

int ledger_open(struct loop *loop, const struct ledger_conf *conf, struct ledger **out,
		struct err *e)
{
	struct ledger *l = MEM_NEW(struct ledger);
	int r;

	l->loop = loop;
	l->conf = *conf;
	l->lock_fd = -1;
	l->boot_id = mem_strdup(conf->boot_id);
	l->instance = mem_strdup(conf->instance ? conf->instance : "single");
	split_path(l, conf->path);
	map_init(&l->known);
	loop_timer_init(&l->timer, loop, on_timer, l);
	loop_task_init(&l->told, loop, LOOP_TICK, tell_state, l);
	err_set(&l->reason, 0, "it is being read");
	r = fsx_mkdirs(l->folder, 0750);
	if (r < 0)
		r = err_sys(e, r, "cannot make the folder %s", l->folder);
	if (!r) {
		r = fswatch_new(loop, l->folder, on_folder, l, &l->watch);
		if (r < 0)
			r = err_sys(e, r, "cannot watch %s", l->folder);
	}
	if (r >= 0)
		r = take_lock(l, e);
	if (r == FSX_HELD && !conf->instance)
		r = err_set(e, -EBUSY,
			    "another tundra runs on this node (it has locked %s), and only "
			    "instances with a pod UID can take over from each other",
			    l->lock_path);
	if (!r)
		r = open_journal(l, e);
	if (r < 0) {
		ledger_free(&l);
		return r;
	}
	*out = l;
	if (!r)
		return 0;
	err_set(&l->reason, 0, "waiting for the hand-over from the running instance");
	read_only(l);
	loop_timer_set(&l->timer, LOCK_POLL_MS);
	return 0;
}

void ledger_free(struct ledger **lp)
{
	struct ledger *l = *lp;

	if (!l)
		return;
	journal_free(&l->journal);
	fswatch_free(&l->watch);
	drop_lock(l);
	loop_timer_stop(&l->timer);
	loop_task_stop(&l->told);
	map_for_each (e, &l->known)
		mem_free(e->value);
	map_done(&l->known);
	mem_free(l->path);
	mem_free(l->folder);
	mem_free(l->lock_path);
	mem_free(l->handover_path);
	mem_free(l->handover_name);
	mem_free(l->boot_id);
	mem_free(l->instance);
	mem_free(l->successor);
	mem_free(l);
	*lp = NULL;
}

enum ledger_state ledger_state(const struct ledger *l)
{
	return l->state;
}

const char *ledger_successor(const struct ledger *l)
{
	return l->state == LEDGER_YIELDED && !l->yielding ? l->successor : NULL;
}

const char *ledger_reason(const struct ledger *l)
{
	return l->state == LEDGER_OPEN && !l->disk_trouble ? "" : err_text(&l->reason);
}

void ledger_put(struct ledger *l, const struct ledger_claim *c, journal_fn fn, void *arg)
{
	struct buf body;

	buf_init(&body, JOURNAL_BODY_MAX);
	ledger_encode(c, &body);
	must(!body.full);
	known_put(l, sv_str(c->uid));
	journal_put(l->journal, sv_str(c->uid), buf_sv(&body), fn, arg);
	buf_done(&body);
}

bool ledger_image_begins(const struct ledger *l)
{
	return journal_image_begins(l->journal);
}

void ledger_image_more(struct ledger *l)
{
	journal_image_more(l->journal);
}

void ledger_put_live(struct ledger *l, const struct ledger_claim *c)
{
	struct buf body;

	buf_init(&body, JOURNAL_BODY_MAX);
	ledger_encode(c, &body);
	journal_put_live(l->journal, sv_str(c->uid), buf_sv(&body));
	buf_done(&body);
}

void ledger_del(struct ledger *l, const char *uid, journal_fn fn, void *arg)
{
	known_del(l, sv_str(uid));
	journal_del(l->journal, sv_str(uid), fn, arg);
}

void ledger_forget(struct ledger *l, const void *arg)
{
	if (l->journal)
		journal_forget(l->journal, arg);
}

const struct journal_stats *ledger_stats(const struct ledger *l)
{
	static const struct journal_stats none;

	return l->journal ? journal_stats(l->journal) : &none;
}
