/*
 * tundra unprepare: without a driver, what prepared claims still hold is given back: devices by
 * their undo lists, CDI specs, records. With --all our files go as well, so that nothing is left of
 * an uninstalled tundra.
 *
 * Per claim: undo -> CDI spec -> record, as in the driver; cut short, it is given again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "gpu/inventory.h"
#include "gpu/plan.h"
#include "gpu/worker_args.h"
#include "k8s/cdi.h"
#include "tools/tundra/command.h"
#include "tools/tundra/in_use.h"
#include "tools/tundra/offline.h"
#include "tools/tundra/uninstall.h"

#define GPUS_MS (INVENTORY_OPEN_MS + 10000u) /* until the GPUs are known, or known not to be */

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	char *claim;
	bool all, force;
};
#define AT(field) .offset = offsetof(struct options, field)
static const struct conf_option own[] = {
	{ .name = "all",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(all),
	  .help = "every claim, then our files and folder" },
	{ .name = "claim",
	  .arg = "UID",
	  .kind = CONF_STR,
	  AT(claim),
	  .help = "this claim alone; tundra claims lists them" },
	{ .name = "force",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(force),
	  .help = "also when a process has a GPU of such a claim open, nobody can tell, or no CDI "
		  "spec is found" },
};
static const char *const node_flags[] = { "kubelet-plugins-directory-path",
					  "kubelet-registrar-directory-path",
					  "cdi-root",
					  "run-directory",
					  "nvidia-driver-root",
					  "container-driver-root",
					  "host-root",
					  "dev-root",
					  "proc-root",
					  "sys-root",
					  "worker-path",
					  "help",
					  NULL };

struct unprepare {
	const struct options *o;
	char *folder, *ledger_path, *worker_path;
	struct ledger_file *ledger;
	char boot_id[64];
	struct cdi *cdi;
	/* The GPUs; nothing is asked of them unless it must be. */
	struct loop *loop;
	struct roots roots;
	const char *worker_args[WORKER_ROOTS_ARGS + 1];
	struct worker_exec *exec;
	struct worker_host host;
	struct inventory *inventory;
	struct in_use *in_use;
	bool answered; /* what the loop was waiting for */
	int answer;
	struct err answer_text;
	size_t done, failed;
};

static bool is_chosen(const struct unprepare *u, const char *uid)
{
	return !u->o->claim || !strcmp(u->o->claim, uid);
}

/* ---- the GPUs ---- */

static void start_gpus(struct unprepare *u)
{
	const struct options *o = u->o;
	const struct inventory_conf conf = { .roots = &u->roots,
					     .host = &u->host,
					     .uevent_fd = -1 };

	node_options_roots(&o->node, &u->roots);
	u->worker_path = command_program(NULL, o->node.worker_path, "tundra-worker");
	worker_args_write(&u->roots, u->worker_args);
	u->loop = loop_new();
	u->exec = worker_exec_new(u->worker_path, u->worker_args);
	u->host = worker_exec_host(u->exec);
	u->inventory = inventory_new(u->loop, &conf);
	u->in_use = in_use_new(u->loop, &u->host, u->inventory);
}

static void stop_gpus(struct unprepare *u)
{
	in_use_free(&u->in_use);
	inventory_free(&u->inventory);
	worker_exec_free(&u->exec);
	if (u->loop)
		loop_free(&u->loop);
	mem_free(u->worker_path);
}

/* No driver in the kernel: nobody can have a GPU open. */
static bool kernel_has_driver(const struct unprepare *u)
{
	char *path = mem_printf("%s/devices", u->o->node.proc_root);
	struct buf text;
	bool has;

	buf_init(&text, 64 << 10);
	has = fsx_read(path, 64 << 10, &text) < 0 || strstr(buf_cstr(&text), " nvidia");
	buf_done(&text);
	mem_free(path);
	return has;
}

static int find_gpus(struct unprepare *u, struct err *e)
{
	uint64_t until = loop_now_ms(u->loop) + GPUS_MS;

	if (!fsx_exists(u->worker_path))
		return err_set(e, -ENOENT, "%s is missing; --worker-path tells where it is",
			       u->worker_path);
	inventory_start(u->inventory);
	while (inventory_state(u->inventory) == INVENTORY_STARTING && loop_now_ms(u->loop) < until)
		loop_turn(u->loop, 1000);
	return 0;
}

static void on_in_use(void *arg, int in_use)
{
	struct unprepare *u = arg;

	u->answered = true;
	u->answer = in_use;
}

static void wait_answer(struct unprepare *u)
{
	while (!u->answered)
		loop_turn(u->loop, -1);
}

/* GPUs that the chosen claims have for themselves; those with admin access are others' too. */
static size_t collect(const struct unprepare *u, const char **out, size_t max, bool admin)
{
	size_t n = 0;

	for (size_t i = 0; i < u->ledger->claims_n; i++) {
		const struct ledger_claim *c = u->ledger->claims[i];

		for (size_t k = 0; is_chosen(u, c->uid) && k < c->devices_n && n < max; k++)
			if (c->devices[k].admin == admin)
				out[n++] = c->devices[k].identity;
	}
	return n;
}

static size_t devices_count(const struct unprepare *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->ledger->claims_n; i++)
		n += u->ledger->claims[i]->devices_n;
	return n;
}

static int ask_in_use(struct unprepare *u, const char *const *gpus, size_t n, struct err *e)
{
	const char *why = inventory_reason(u->inventory);

	if (inventory_state(u->inventory) != INVENTORY_READY && !kernel_has_driver(u))
		return 0;
	u->answered = false;
	in_use_ask(u->in_use, gpus, n, on_in_use, u);
	wait_answer(u);
	if (u->answer > 0)
		return err_set(e, -EBUSY,
			       "processes have a GPU of these claims open: %s; end them first, or "
			       "give --force",
			       in_use_who(u->in_use));
	if (u->answer < 0)
		return err_set(
		    e, -EBUSY,
		    "it cannot be told whether a process has a GPU of these claims open "
		    "(%.200s); --force goes on without knowing",
		    *why ? why : "is the host's /proc at --proc-root, and the claim's GPU here?");
	return 0;
}

static int check_unused(struct unprepare *u, struct err *e)
{
	size_t max = devices_count(u), n;
	const char **gpus = mem_calloc(max ? max : 1, sizeof(char *));
	int r = 0;

	n = collect(u, gpus, max, false);
	if (!n)
		n = collect(u, gpus, max, true);
	if (n)
		r = find_gpus(u, e);
	if (n && !r)
		r = ask_in_use(u, gpus, n, e);
	mem_free(gpus);
	return r;
}

/* ---- one claim ---- */

static void on_undone(void *arg, int status, const struct err *e)
{
	struct unprepare *u = arg;

	u->answered = true;
	u->answer = status;
	if (status < 0)
		u->answer_text = *e;
}

static int undo(struct unprepare *u, const struct ledger_claim *c, struct err *e)
{
	struct plan *p = NULL;
	int r = plan_decode(u->inventory, sv_make(c->plan, c->plan_n), &p, e);

	if (r < 0) {
		printf("claim %s: its undo list is unreadable (%s), its GPUs are released as they "
		       "are\n",
		       c->uid, err_text(e));
		return 0;
	}
	if (plan_needs_worker(p) && inventory_state(u->inventory) == INVENTORY_STARTING)
		r = find_gpus(u, e); /* --force has not looked yet */
	if (!r) {
		u->answered = false;
		plan_undo(p, on_undone, u);
		wait_answer(u);
		r = u->answer;
		if (r < 0)
			*e = u->answer_text;
	}
	plan_free(&p);
	return r;
}

static int release(struct unprepare *u, const char *uid, struct err *e)
{
	int r = cdi_remove(u->cdi, uid, e);

	return r ? r : ledger_file_del(u->ledger, uid, e);
}

static void count(struct unprepare *u, const char *uid, int r, const struct err *e)
{
	u->done += !r;
	u->failed += r != 0;
	if (r)
		fprintf(stderr, "tundra unprepare: claim %s: %s\n", uid, err_text(e));
}

static void unprepare_claim(struct unprepare *u, const struct ledger_claim *c)
{
	struct err e = { 0 };
	char name[600];
	struct buf devices;
	int r = undo(u, c, &e);

	if (!r)
		r = release(u, c->uid, &e);
	count(u, c->uid, r, &e);
	if (r)
		return;
	buf_init(&devices, 16 << 10);
	offline_devices(c, &devices);
	printf("unprepared claim %s %s: %s\n", c->uid, offline_name(c, name, sizeof(name)),
	       buf_cstr(&devices));
	buf_done(&devices);
}

static void unprepare_damaged(struct unprepare *u, const char *uid)
{
	struct err e = { 0 };
	int r = release(u, uid, &e);

	count(u, uid, r, &e);
	if (!r)
		printf("unprepared claim %s: its record was damaged, whatever it held is as it "
		       "is\n",
		       uid);
}

static int unprepare_chosen(struct unprepare *u, struct err *e)
{
	const struct ledger_file *f = u->ledger;

	for (size_t i = 0; i < f->claims_n; i++)
		if (is_chosen(u, f->claims[i]->uid))
			unprepare_claim(u, f->claims[i]);
	for (size_t i = 0; i < f->corrupt_n; i++)
		if (is_chosen(u, f->corrupt[i]))
			unprepare_damaged(u, f->corrupt[i]);
	if (u->failed)
		return err_set(e, -EIO, "%zu claims could not be unprepared, they are kept",
			       u->failed);
	if (u->o->claim && !u->done)
		return err_set(e, -ENOENT,
			       "no claim %.64s is prepared on this node; tundra claims lists those "
			       "that are",
			       u->o->claim);
	return 0;
}

/* ---- all of it ---- */

static int open_ledger(struct unprepare *u, struct err *e)
{
	int r = offline_check_stopped(u->folder, u->o->node.registry, e);

	if (!r)
		r = offline_boot_id(u->boot_id, sizeof(u->boot_id), e);
	if (!r && !fsx_exists(u->ledger_path))
		return 0; /* nothing was ever prepared, or it is gone already */
	return r ? r : ledger_file_open(u->ledger_path, u->boot_id, NULL, &u->ledger, e);
}

static int unprepare(struct unprepare *u, struct err *e)
{
	const struct options *o = u->o;
	const struct cdi_conf cdi = { .root = o->node.cdi_root, .driver = DRIVER_NAME, .hook = "" };
	const struct uninstall_conf rest = { .folder = u->folder,
					     .registry = o->node.registry,
					     .cdi = o->node.cdi_root,
					     .run = o->node.run_folder };
	int r = open_ledger(u, e);

	if (!r && !u->ledger && o->claim)
		r = err_set(e, -ENOENT, "no ledger at %s: no claim is prepared", u->ledger_path);
	if (!r && u->ledger) {
		u->cdi = cdi_new(&cdi);
		start_gpus(u);
		if (!o->force)
			r = offline_check_cdi(u->ledger, o->node.cdi_root, u->boot_id, e);
		if (!r && !o->force)
			r = check_unused(u, e);
		if (!r)
			r = unprepare_chosen(u, e);
	}
	if (!r && o->all && !u->done)
		printf("no claim was prepared on this node\n");
	if (!r && o->all)
		r = uninstall_run(&rest, e);
	return r;
}

static int run(const void *options, struct err *e)
{
	const struct options *o = options;
	struct unprepare u = { .o = o };
	int r;

	if (o->all == (o->claim && *o->claim)) {
		err_set(e, -EINVAL, "give either --all or --claim UID");
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN); /* a worker that dies is an error of one write */
	log_init(LOG_ERROR, false, NULL);
	u.folder = offline_folder(o->node.plugins);
	u.ledger_path = mem_printf("%s/ledger", u.folder);
	r = unprepare(&u, e);
	stop_gpus(&u);
	cdi_free(&u.cdi);
	ledger_file_free(&u.ledger);
	mem_free(u.folder);
	mem_free(u.ledger_path);
	return r < 0;
}

static const struct command_spec command = {
	.name = "unprepare",
	.usage = "--all | --claim UID [FLAGS]",
	.about = "Gives back what prepared claims still hold on a node where tundra does "
		 "not run any more: devices, CDI\nspecs, records; with --all also our hook "
		 "and folder. Pods that use them lose them.",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.node_flags = node_flags,
	.run = run,
};

int cmd_unprepare(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
