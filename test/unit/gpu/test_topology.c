#include "test/unit/gpu/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "core/fsx.h"
#include "gpu/topology.h"

#define BDF "0000:65:00.0"

/* A sysfs of one device whose link leads to `target`. */
static void with_link(const char *target, int expect, const char *path)
{
	char sys[] = "/tmp/tundra-topology.XXXXXX", at[256], out[TOPOLOGY_PATH_MAX + 1];

	assert_non_null(mkdtemp(sys));
	snprintf(at, sizeof(at), "%s/bus/pci/devices", sys);
	assert_int_equal(fsx_mkdirs(at, 0755), 0);
	snprintf(at, sizeof(at), "%s/bus/pci/devices/" BDF, sys);
	assert_int_equal(symlink(target, at), 0);
	assert_int_equal(topology_path(sys, BDF, out), expect);
	assert_string_equal(out, path);
	assert_int_equal(topology_path(sys, "0000:99:00.0", out), -ENOENT);
	snprintf(at, sizeof(at), "rm -r %s", sys);
	assert_int_equal(system(at), 0);
}

static void test_path(void **state)
{
	(void)state;
	with_link("../../../devices/pci0000:64/0000:64:00.0/" BDF, 0,
		  "pci0000:64/0000:64:00.0/" BDF);
	with_link("/somewhere/devices/pci0000:64/" BDF, 0, "pci0000:64/" BDF);
	/* A root complex below a platform device: the place of the root is not what upstream takes.
	 */
	with_link("../../../devices/platform/soc/" BDF, -EINVAL, "");
	with_link("../../../devices/pci0000:64/0000:66:00.0", -EINVAL, "");
	with_link("../../../devices/pci0000:64", -EINVAL, "");
	with_link("elsewhere", -EINVAL, "");
}

static void test_root(void **state)
{
	static const struct {
		const char *path, *root;
	} rows[] = {
		{ "pci0000:00/0000:00:01.0/0000:65:00.0", "pci0000:00" },
		{ "pci10000:e0/10000:e0:01.0", "pci10000:e0" },
		{ "pci0000:00", NULL }, /* no device */
		{ "pci00:00/x", NULL },
		{ "pci0000/x", NULL },
		{ "usb1/x", NULL },
		{ "", NULL },
	};
	char root[32];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int r = topology_root(sv_str(rows[i].path), root, sizeof(root));

		assert_int_equal(r, rows[i].root ? 0 : -EINVAL);
		if (r == 0)
			assert_string_equal(root, rows[i].root);
	}
}

static void test_switch(void **state)
{
	static const struct {
		const char *path, *at;
	} rows[] = {
		{ "pci0000:00/0000:65:00.0", NULL },
		{ "pci0000:00/0000:00:01.0/0000:65:00.0", NULL }, /* a root port only */
		{ "pci0000:00/0000:00:01.0/0000:01:00.0/0000:65:00.0", NULL }, /* a plain bridge */
		{ "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:08.0/0000:65:00.0",
		  "0000:01:00.0" },
		{ "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:08.0/0000:03:00.0/0000:04:10.0/"
		  "0000:65:00.0",
		  "0000:03:00.0" },
		{ "pci0000:00/a/b/c/0000:65:00.0", NULL },
		{ "", NULL },
	};
	char at[PCI_TEXT_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int r = topology_switch(sv_str(rows[i].path), at);

		assert_int_equal(r, rows[i].at ? 0 : -ENOENT);
		assert_string_equal(at, rows[i].at ? rows[i].at : "");
	}
}

static void gpu(struct topology_gpu *g, const char *pci, const char *a, const char *b,
		bool switched)
{
	memset(g, 0, sizeof(*g));
	snprintf(g->pci, sizeof(g->pci), "%s", pci);
	if (a)
		snprintf(g->peers[g->peers_n++], sizeof(g->peers[0]), "%s", a);
	if (b)
		snprintf(g->peers[g->peers_n++], sizeof(g->peers[0]), "%s", b);
	g->switched = switched;
}

#define A "0000:01:00.0"
#define B "0000:02:00.0"
#define C "0000:03:00.0"
#define D "0000:04:00.0"
#define E "0000:05:00.0"

static void test_islands(void **state)
{
	struct topology_gpu g[5];

	(void)state;
	/* B-D by a bridge told by one end only; A-C through E, in no useful order; */
	gpu(&g[0], E, C, A, false);
	gpu(&g[1], D, B, NULL, false);
	gpu(&g[2], C, NULL, NULL, false);
	gpu(&g[3], B, NULL, NULL, false);
	gpu(&g[4], A, NULL, NULL, false);
	topology_islands(g, 5);
	assert_string_equal(g[0].island, A);
	assert_string_equal(g[2].island, A);
	assert_string_equal(g[4].island, A);
	assert_string_equal(g[1].island, B);
	assert_string_equal(g[3].island, B);
}

/* All orders of who is there: a name never follows who is missing. */
static void test_islands_without_one(void **state)
{
	struct topology_gpu all[3], g[3];
	unsigned there, i, n;

	(void)state;
	/* A chain B-A-C: without A the others are linked by name only. */
	gpu(&all[0], A, B, C, false);
	gpu(&all[1], B, A, NULL, false);
	gpu(&all[2], C, A, NULL, false);
	for (there = 1; there < 8; there++) {
		for (i = n = 0; i < 3; i++)
			if (there & 1u << i)
				g[n++] = all[i];
		topology_islands(g, n);
		for (i = 0; i < n; i++)
			assert_string_equal(g[i].island, A);
	}
	/* One whose facts are damaged has no address, and is nobody's neighbour. */
	gpu(&g[0], "", NULL, NULL, false);
	gpu(&g[1], "", NULL, NULL, false);
	gpu(&g[2], C, NULL, NULL, false);
	topology_islands(g, 3);
	for (i = 0; i < 3; i++)
		assert_string_equal(g[i].island, "");
}

static void test_islands_alone_and_switched(void **state)
{
	struct topology_gpu g[4];

	(void)state;
	gpu(&g[0], A, NULL, NULL, true);
	gpu(&g[1], B, NULL, NULL, true);
	gpu(&g[2], C, NULL, NULL, false); /* not linked at all */
	gpu(&g[3], D, E, NULL, false);	  /* its neighbour is not here */
	topology_islands(g, 4);
	assert_string_equal(g[0].island, "nvswitch");
	assert_string_equal(g[1].island, "nvswitch");
	assert_string_equal(g[2].island, "");
	assert_string_equal(g[3].island, D);
	topology_islands(g, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_islands),
		cmocka_unit_test(test_islands_without_one),
		cmocka_unit_test(test_islands_alone_and_switched),
	};

	return RUN(tests);
}
