/*
 * tundra claims: what the ledger on this node's disk says, whether a driver runs or not. What the
 * running driver knows beyond that (waits, GPUs in trouble) is tundra status.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/mem.h"
#include "tools/tundra/command.h"
#include "tools/tundra/offline.h"

#define OUTPUT_MAX ((size_t)64 << 20)

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	char *output;
};
static const struct conf_option own[] = { COMMAND_OUTPUT(struct options) };
static const char *const node_flags[] = { "kubelet-plugins-directory-path", "help", NULL };

static void print_row(const struct ledger_claim *c)
{
	time_t since = (time_t)(c->since_wall_ms / 1000);
	char when[32] = "", name[600];
	struct buf devices;
	struct tm tm;

	if (gmtime_r(&since, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_init(&devices, 16 << 10);
	offline_devices(c, &devices);
	printf("%-38s %-40s %-22s %s\n", c->uid, offline_name(c, name, sizeof(name)), when,
	       buf_cstr(&devices));
	buf_done(&devices);
}

static void print_table(const struct ledger_file *f)
{
	if (!f->claims_n && !f->corrupt_n)
		printf("no claim is prepared on this node\n");
	else
		printf("%-38s %-40s %-22s %s\n", "CLAIM", "NAME", "PREPARED", "DEVICES");
	for (size_t i = 0; i < f->claims_n; i++)
		print_row(f->claims[i]);
	for (size_t i = 0; i < f->corrupt_n; i++)
		printf("%-38s %s\n", f->corrupt[i],
		       "(its record is damaged: its Unprepare frees it)");
	if (f->lost)
		printf("%zu damaged records do not even tell their claim\n", f->lost);
}

static void put_device(struct jsonw *w, const struct ledger_device *d)
{
	jsonw_obj(w);
	jsonw_kstr(w, "request", d->request);
	jsonw_kstr(w, "pool", d->pool);
	jsonw_kstr(w, "device", d->device);
	jsonw_kstr(w, "uuid", d->identity);
	if (d->admin)
		jsonw_kbool(w, "adminAccess", true);
	if (d->share_id)
		jsonw_kstr(w, "shareID", d->share_id);
	jsonw_end(w);
}

static void put_claim(struct jsonw *w, const struct ledger_claim *c)
{
	jsonw_obj(w);
	jsonw_kstr(w, "uid", c->uid);
	jsonw_kstr(w, "namespace", c->namespace);
	jsonw_kstr(w, "name", c->name);
	jsonw_ki64(w, "sinceMs", (int64_t)c->since_wall_ms);
	jsonw_kstr(w, "bootID", c->boot_id);
	jsonw_karr(w, "devices");
	for (size_t i = 0; i < c->devices_n; i++)
		put_device(w, &c->devices[i]);
	jsonw_end(w);
	jsonw_end(w);
}

static void print_json(const struct ledger_file *f)
{
	struct buf out;
	struct jsonw w;

	buf_init(&out, OUTPUT_MAX);
	jsonw_init(&w, &out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "ledger", f->path);
	jsonw_karr(&w, "claims");
	for (size_t i = 0; i < f->claims_n; i++)
		put_claim(&w, f->claims[i]);
	jsonw_end(&w);
	jsonw_karr(&w, "damaged");
	for (size_t i = 0; i < f->corrupt_n; i++)
		jsonw_str(&w, f->corrupt[i]);
	jsonw_end(&w);
	jsonw_ki64(&w, "damagedWithoutName", (int64_t)f->lost);
	jsonw_end(&w);
	fwrite(buf_sv(&out).p, 1, buf_len(&out), stdout);
	putchar('\n');
	buf_done(&out);
}

static int show(const void *options, struct err *e)
{
	const struct options *o = options;
	char *folder = offline_folder(o->node.plugins);
	char *path = mem_printf("%s/ledger", folder);
	struct ledger_file *f = NULL;
	int r = fsx_exists(path) ? ledger_file_read(path, &f, e)
				 : err_set(e, -ENOENT,
					   "no ledger at %s: tundra did not serve this node, or "
					   "--kubelet-plugins-directory-path is another",
					   path);

	if (f && !strcmp(o->output, "json"))
		print_json(f);
	else if (f)
		print_table(f);
	ledger_file_free(&f);
	mem_free(path);
	mem_free(folder);
	return r < 0;
}

static const struct command_spec command = {
	.name = "claims",
	.usage = "[FLAGS]",
	.about = "Lists the claims that are prepared on this node, from its disk.",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.node_flags = node_flags,
	.run = show,
};

int cmd_claims(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
