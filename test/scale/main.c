/*
 * tundra-scale: many `tundra node` processes of one machine, each a node of its own, against one
 * API server. Starts them, plays their kubelets' registration, and measures all of them together:
 * time until every slice is published, memory, processor time at rest. Then it stays until SIGTERM,
 * so that test/scale/run can do things to the API server. Figures go to stdout, progress to stderr.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/bench/agent.h"
#include "test/bench/figures.h"
#include "test/bench/procs.h"
#include "test/scale/registrar.h"
#include "test/scale/slices.h"

enum {
	SLICES_MS = 120000, /* given up after; the budget is judged by test/scale/run */
	SETTLE_MS = 8000,   /* a driver at rest gives memory back after LOOP_REST_MS, 5 s */
	NODES_MAX = 1000,
};

struct options {
	char *programs, *kubeconfig, *admin, *node, *dir, *gpus;
	int64_t nodes, devices, seconds;
	bool registers, help;
};

#define AT(field) .offset = offsetof(struct options, field)
#define PATH(flag, field, text)                                                                    \
	{                                                                                          \
		.name = flag, .arg = "PATH", .kind = CONF_STR, AT(field), .help = text             \
	}
#define NUMBER(flag, field, value, high, text)                                                     \
	{                                                                                          \
		.name = flag, .arg = "N", .otherwise = value, .min = 1, .max = high,               \
		.kind = CONF_INT, AT(field), .help = text                                          \
	}

static const struct conf_option table[] = {
	PATH("programs", programs, "folder of tundra and tundra-worker"),
	PATH("kubeconfig", kubeconfig, "the drivers'"),
	PATH("admin", admin, "an admin's kubeconfig"),
	PATH("dir", dir, "DIR/NODE-i/{plugins,plugins_registry,cdi,run} are each node's folders"),
	PATH("gpus", gpus, "what fakegpu made; all nodes share it"),
	{ .name = "node", .arg = "NAME", .kind = CONF_STR, AT(node), .help = "names: NAME-0 ..." },
	NUMBER("nodes", nodes, "200", NODES_MAX, "how many"),
	NUMBER("devices", devices, "8", 64, "GPUs of each"),
	NUMBER("seconds", seconds, "20", 3600, "of rest"),
	{ .name = "registers",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(registers),
	  .help = "play the kubelets' registration; without, somebody else does" },
	{ .name = "help", .otherwise = "false", .kind = CONF_BOOL, AT(help), .help = "this list" },
};

struct scale {
	struct loop *loop;
	const struct options *o;
	struct agent_conf *confs;
	struct agent *agents;
	struct registrar **registrars;
	struct slices *slices;
	pid_t *pids;
	size_t n;
	uint64_t began_us;
	bool stop;
};

/* ---- nodes ---- */

static int make_node(struct scale *s, size_t i, struct err *e)
{
	static const char *const folders[] = { "plugins", "plugins_registry", "cdi", "run" };
	struct agent_conf *c = &s->confs[i];
	char *home _mem_free_ = mem_printf("%s/%s-%zu", s->o->dir, s->o->node, i);

	for (size_t f = 0; f < ARRAY_LEN(folders); f++) {
		char *path _mem_free_ = mem_printf("%s/%s", home, folders[f]);
		int r = fsx_mkdirs(path, 0755);

		if (r < 0)
			return err_sys(e, r, "cannot make %s", path);
	}
	*c = (struct agent_conf){ .programs = s->o->programs,
				  .kubeconfig = s->o->kubeconfig,
				  .gpus = s->o->gpus,
				  .node = mem_printf("%s-%zu", s->o->node, i),
				  .plugins = mem_printf("%s/plugins", home),
				  .registry = mem_printf("%s/plugins_registry", home),
				  .cdi = mem_printf("%s/cdi", home),
				  .memory = mem_printf("%s/run", home) };
	agent_init(&s->agents[i], s->loop, c);
	s->n++;
	return 0;
}

static void drop_node(struct scale *s, size_t i)
{
	struct agent_conf *c = &s->confs[i];

	registrar_free(&s->registrars[i]);
	agent_done(&s->agents[i]);
	mem_free((char *)(uintptr_t)c->node);
	mem_free((char *)(uintptr_t)c->plugins);
	mem_free((char *)(uintptr_t)c->registry);
	mem_free((char *)(uintptr_t)c->cdi);
	mem_free((char *)(uintptr_t)c->memory);
}

/* All at once, as fast as this machine starts processes: no fleet starts sooner. */
static int start_all(struct scale *s, struct err *e)
{
	int r = 0;

	progress("starting %zu nodes", s->n);
	s->began_us = loop_now_us(s->loop);
	for (size_t i = 0; !r && i < s->n; i++) {
		r = agent_start(&s->agents[i], e);
		s->pids[i] = s->agents[i].pid;
		if (!r && s->o->registers)
			s->registrars[i] = registrar_new(s->loop, s->agents[i].registrar);
		loop_turn(s->loop, 0);
	}
	figure((double)(loop_now_us(s->loop) - s->began_us) / 1e6, "start.processes_s");
	return r;
}

/* ---- measuring ---- */

static void sleep_ms(struct scale *s, uint64_t ms)
{
	uint64_t due = loop_now_us(s->loop) + ms * 1000, now;

	while (!s->stop && (now = loop_now_us(s->loop)) < due)
		loop_turn(s->loop, (int64_t)((due - now) / 1000 + 1));
}

static int await_slices(struct scale *s, struct err *e)
{
	uint64_t due = s->began_us + SLICES_MS * 1000ull, told = 0, now;

	while (slices_nodes(s->slices) < s->n && !s->stop) {
		now = loop_now_us(s->loop);
		if (now > due)
			return err_set(e, -ETIMEDOUT, "%zu of %zu nodes are published after %d s",
				       slices_nodes(s->slices), s->n, SLICES_MS / 1000);
		if (now - told > 5000000) {
			progress("%zu of %zu nodes published", slices_nodes(s->slices), s->n);
			told = now;
		}
		loop_turn(s->loop, 100);
	}
	figure((double)(slices_last_us(s->slices) - s->began_us) / 1e6, "start.published_s");
	return 0;
}

static int measure_rest(struct scale *s, struct err *e)
{
	struct procs before, after;
	double seconds;
	uint64_t began;
	int r;

	progress("settling, %d s", SETTLE_MS / 1000);
	sleep_ms(s, SETTLE_MS);
	r = procs_read_all(s->pids, s->n, &before, e);
	if (r < 0)
		return r;
	figure((double)before.cpu_us / 1e3 / (double)s->n, "start.cpu_ms_each");
	progress("at rest, %d s", (int)s->o->seconds);
	began = loop_now_us(s->loop);
	sleep_ms(s, (uint64_t)s->o->seconds * 1000);
	r = procs_read_all(s->pids, s->n, &after, e);
	if (r < 0)
		return r;
	seconds = (double)(loop_now_us(s->loop) - began) / 1e6;
	figure(100 * (double)(after.cpu_us - before.cpu_us) / 1e6 / seconds, "idle.cpu_percent");
	figure((double)(after.voluntary - before.voluntary) / seconds / (double)s->n,
	       "idle.voluntary_per_s_each");
	figure((double)after.n, "idle.processes");
	figure(procs_mb(&after), "idle.pss_mb");
	figure(procs_mb(&after) / (double)s->n, "idle.pss_mb_each");
	return 0;
}

/* ---- all of it ---- */

static void on_stop(void *arg)
{
	struct scale *s = arg;

	s->stop = true;
}

/* Asked all at once; whoever ended before, or ends otherwise than by 0, is an error. */
static int stop_all(struct scale *s, struct err *e)
{
	int r = 0;

	progress("stopping");
	for (size_t i = 0; i < s->n; i++)
		if (s->agents[i].pid > 0)
			kill(s->agents[i].pid, SIGTERM);
	for (size_t i = 0; i < s->n; i++) {
		int one = agent_stop(&s->agents[i], 0, e);

		r = r ? r : one;
	}
	return r;
}

/* The file DIR/rest tells test/scale/run that all has been measured, and whom to stop. */
static int stay(struct scale *s, struct err *e)
{
	char *path _mem_free_ = mem_printf("%s/rest", s->o->dir);
	char pid[24];
	struct procs p;
	int r;

	(void)snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	r = fsx_replace(path, sv_str(pid), 0644, 0);

	if (r < 0)
		return err_sys(e, r, "cannot write %s", path);
	while (!s->stop)
		loop_turn(s->loop, -1);
	r = procs_read_all(s->pids, s->n, &p, e);
	if (r < 0)
		return r;
	figure(procs_mb(&p), "end.pss_mb");
	figure((double)slices_nodes(s->slices), "end.nodes_published");
	return 0;
}

static int run(struct scale *s, struct err *e)
{
	size_t n = (size_t)s->o->nodes;
	int r = slices_new(s->loop, s->o->admin, s->o->node, (size_t)s->o->devices, &s->slices, e);

	s->confs = mem_calloc(n, sizeof(*s->confs));
	s->agents = mem_calloc(n, sizeof(*s->agents));
	s->registrars = mem_calloc(n, sizeof(*s->registrars));
	s->pids = mem_calloc(n, sizeof(*s->pids));
	for (size_t i = 0; !r && i < n; i++)
		r = make_node(s, i, e);
	/* Of agent's own watch only the last node would be left; a dead one is found at the end. */
	loop_on_signal(s->loop, SIGCHLD, NULL, NULL);
	loop_on_signal(s->loop, SIGTERM, on_stop, s);
	loop_on_signal(s->loop, SIGINT, on_stop, s);
	if (!r)
		r = start_all(s, e);
	if (!r)
		r = await_slices(s, e);
	if (!r)
		r = measure_rest(s, e);
	if (!r)
		r = stay(s, e);
	if (!r)
		r = stop_all(s, e);
	return r;
}

static int usage(const char *why)
{
	fprintf(stderr, "%s\nusage: tundra-scale FLAGS\n\n", why);
	conf_print_help(stderr, table, ARRAY_LEN(table));
	return 2;
}

static int with_options(const struct options *o)
{
	struct scale s = { .loop = loop_new(), .o = o };
	struct err e = { 0 };
	int r = run(&s, &e);

	if (r < 0)
		fprintf(stderr, "tundra-scale: %s\n", err_text(&e));
	for (size_t i = 0; i < s.n; i++)
		drop_node(&s, i);
	slices_free(&s.slices);
	loop_free(&s.loop);
	mem_free(s.confs);
	mem_free(s.agents);
	mem_free(s.registrars);
	mem_free(s.pids);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct err e = { 0 };
	int code;

	mem_install();
	log_init(LOG_ERROR, false, "tundra-scale");
	if (conf_parse(table, ARRAY_LEN(table), argc, argv, conf_no_env, &o, &e) < 0)
		return usage(err_text(&e));
	if (o.help || !o.programs || !o.kubeconfig || !o.admin || !o.dir || !o.gpus || !o.node)
		code = usage("a flag is missing");
	else
		code = with_options(&o);
	conf_done(table, ARRAY_LEN(table), &o);
	return code;
}
