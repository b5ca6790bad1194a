/*
 * tundra export --upstream: the way back. What is prepared goes into the state file of NVIDIA's
 * driver, so that it serves this node with the pods running.
 *
 *   checkpoint.json written, on disk -> ledger set aside
 *
 * The ledger must go: what that driver does from now on would make it wrong. Cut short in between,
 * the command can be given again.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "gpu/inventory.h"
#include "gpu/plan.h"
#include "k8s/checkpoint.h"
#include "k8s/takeover.h"
#include "tools/tundra/command.h"
#include "tools/tundra/offline.h"

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	bool upstream, without_mps_id;
};
static const struct conf_option own[] = {
	{ .name = "upstream",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  .offset = offsetof(struct options, upstream),
	  .help = "required: write checkpoint.json of NVIDIA's driver" },
	{ .name = "without-mps-daemon-id",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  .offset = offsetof(struct options, without_mps_id),
	  .help = "for builds of that driver between 0.4.0 and August 2026, which leave an empty "
		  "mpsControlDaemonID out and take any other file for damaged" },
};
static const char *const node_flags[] = { "kubelet-plugins-directory-path",
					  "kubelet-registrar-directory-path", "cdi-root", "help",
					  NULL };

struct exporter {
	const struct options *o;
	char *folder, *ledger_path, *checkpoint;
	char boot_id[64];
	struct ledger_file *ledger;
	const struct ledger_claim **claims; /* those of the ledger that still hold */
	size_t claims_n;
	struct buf text; /* of the state file */
};

/*
 * A GPU that was set up for its claim must be set back by us; that driver would find no word of it
 * in its state.
 */
static int check_plans(const struct exporter *x, struct err *e)
{
	static const struct roots roots;
	static const struct worker_host host; /* never asked: nothing is run */
	const struct inventory_conf conf = { .roots = &roots, .host = &host, .uevent_fd = -1 };
	struct loop *loop = loop_new();
	struct inventory *inv = inventory_new(loop, &conf);
	int r = 0;

	for (size_t i = 0; !r && i < x->claims_n; i++) {
		const struct ledger_claim *c = x->claims[i];
		struct plan *p = NULL;

		r = plan_decode(inv, sv_make(c->plan, c->plan_n), &p, e);
		if (!r && plan_needs_worker(p))
			r = err_set(e, -ENOTSUP, "its GPUs were set up for it");
		if (r < 0)
			err_wrap(e, r, "claim %.64s cannot be handed over, end its pods first",
				 c->uid);
		plan_free(&p);
	}
	inventory_free(&inv);
	loop_free(&loop);
	return r;
}

/*
 * That driver does not write the spec of a claim that it takes for prepared, so one without is left
 * out: after a reboot the folder is empty until the kubelet has its claims prepared again, and a
 * prepare that was cut short has a record and was never answered. The kubelet asks for both anew.
 */
static bool still_holds(const struct exporter *x, const struct ledger_claim *c)
{
	char *spec = offline_spec(x->o->node.cdi_root, c->uid);
	bool now = !strcmp(c->boot_id, x->boot_id), holds = !c->devices_n || fsx_exists(spec);

	if (!holds && now)
		printf("left out claim %s: it has no CDI spec (%s), so its prepare was cut short; "
		       "the kubelet asks for it anew. If a pod runs with it, somebody removed "
		       "that file: end that pod\n",
		       c->uid, spec);
	else if (!holds)
		printf("left out claim %s: it was prepared before the last boot, and the kubelet "
		       "has it prepared anew\n",
		       c->uid);
	mem_free(spec);
	return holds;
}

static void choose(struct exporter *x)
{
	const struct ledger_file *f = x->ledger;

	x->claims = mem_calloc(f->claims_n + 1, sizeof(struct ledger_claim *));
	for (size_t i = 0; i < f->claims_n; i++)
		if (still_holds(x, f->claims[i]))
			x->claims[x->claims_n++] = f->claims[i];
}

/* A file that is there is that driver's own, unless it is ours of a time before, or says nothing.
 */
static int check_present(const struct exporter *x, struct err *e)
{
	const struct checkpoint_conf conf = { .driver = DRIVER_NAME,
					      .pool = "",
					      .boot_id = x->boot_id };
	struct checkpoint *c = NULL;
	struct buf present;
	int r;

	buf_init(&present, CHECKPOINT_MAX);
	r = fsx_read(x->checkpoint, CHECKPOINT_MAX, &present);
	if (r == -ENOENT || (!r && sv_eq(buf_sv(&present), buf_sv(&x->text)))) {
		buf_done(&present);
		return 0;
	}
	if (!r)
		r = checkpoint_decode(buf_sv(&present), &conf, &c, e);
	if (r || c->claims_n || c->started_n)
		r = err_set(e, -EEXIST,
			    "%s is there already and holds claims, or cannot be read: move it away "
			    "if it is of no use any more",
			    x->checkpoint);
	checkpoint_free(&c);
	buf_done(&present);
	return r;
}

static int encode(struct exporter *x, struct err *e)
{
	const struct checkpoint_format format = { x->o->without_mps_id };
	const struct ledger_file *f = x->ledger;
	int r;

	if (f->corrupt_n || f->lost)
		return err_set(e, -EBADMSG,
			       "the record of claim %.64s is damaged, so its GPUs are not known: "
			       "end its pods, then tundra unprepare --claim",
			       f->corrupt_n ? f->corrupt[0] : "(not even its UID is readable)");
	r = offline_check_cdi(f, x->o->node.cdi_root, x->boot_id, e);
	if (r)
		return r;
	choose(x);
	r = check_plans(x, e);
	return r ? r
		 : checkpoint_encode(x->claims, x->claims_n, DRIVER_NAME, x->boot_id, &format,
				     &x->text, e);
}

static void tell_claim(const struct ledger_claim *c)
{
	struct buf devices;
	char name[600];

	buf_init(&devices, 16 << 10);
	offline_devices(c, &devices);
	printf("exported claim %s %s: %s\n", c->uid, offline_name(c, name, sizeof(name)),
	       buf_cstr(&devices));
	buf_done(&devices);
}

static void tell(const struct exporter *x, const char *aside)
{
	for (size_t i = 0; i < x->claims_n; i++)
		tell_claim(x->claims[i]);
	printf("wrote %s (%zu claims); the ledger is now %s\n", x->checkpoint, x->claims_n, aside);
	if (x->claims_n)
		printf("leave %s/tundra-cdi-hook in place until these claims are gone: their CDI "
		       "specs name it\n",
		       x->folder);
}

static int write_out(struct exporter *x, struct err *e)
{
	char *aside = NULL;
	int r = fsx_replace(x->checkpoint, buf_sv(&x->text), 0600, FSX_SYNC);

	if (r < 0)
		return err_sys(e, r, "cannot write %s", x->checkpoint);
	r = takeover_set_aside(x->ledger_path, ".exported", &aside, e);
	if (!r)
		tell(x, aside);
	mem_free(aside);
	return r;
}

static int export(struct exporter *x, struct err *e)
{
	int r = offline_boot_id(x->boot_id, sizeof(x->boot_id), e);

	if (!r && !fsx_exists(x->ledger_path))
		r = err_set(e, -ENOENT, "no ledger at %s: there is nothing to export",
			    x->ledger_path);
	if (!r)
		r = offline_check_stopped(x->folder, x->o->node.registry, e);
	if (!r)
		r = ledger_file_open(x->ledger_path, x->boot_id, NULL, &x->ledger, e);
	if (!r)
		r = encode(x, e);
	if (!r)
		r = check_present(x, e);
	return r ? r : write_out(x, e);
}

static int run(const void *options, struct err *e)
{
	const struct options *o = options;
	struct exporter x = { .o = o, .folder = offline_folder(o->node.plugins) };
	int r;

	if (!o->upstream) {
		err_set(e, -EINVAL, "--upstream is required, it is all there is to export to");
		mem_free(x.folder);
		return EXIT_USAGE;
	}
	x.ledger_path = mem_printf("%s/ledger", x.folder);
	x.checkpoint = mem_printf("%s/checkpoint.json", x.folder);
	buf_init(&x.text, CHECKPOINT_MAX);
	r = export(&x, e);
	mem_free(x.claims);
	ledger_file_free(&x.ledger);
	buf_done(&x.text);
	mem_free(x.folder);
	mem_free(x.ledger_path);
	mem_free(x.checkpoint);
	return r < 0;
}

static const struct command_spec command = {
	.name = "export",
	.usage = "--upstream [FLAGS]",
	.about = "Hands what is prepared on this node to NVIDIA's driver, with the pods "
		 "running: writes its\ncheckpoint.json and sets our ledger aside. tundra must "
		 "not run on the node.",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.node_flags = node_flags,
	.run = run,
};

int cmd_export(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
