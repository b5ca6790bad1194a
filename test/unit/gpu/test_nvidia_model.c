/* What is published of a GPU, attribute by attribute: others' manifests select by these. */
#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/buf.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/model/nvidia_model.h"

enum { GPUS = 4 };
struct world {
	struct nvidia_system system;
	struct nvidia_gpu gpus[GPUS];
	struct gpu_device devices[GPUS];
	struct buf bytes[GPUS + 1];
	struct gpu_found found[GPUS];
	size_t n;
	bool bad_system, absent[GPUS];
};

static struct nvidia_gpu h200(const char *pci, int64_t minor)
{
	struct nvidia_gpu g = { .brand = 14,
				.architecture = 9,
				.cc_major = 9,
				.minor = minor,
				.memory_total = 143771ull << 20,
				.numa = 1,
				.addressing = -1,
				.ecc = -1,
				.mig_mode = -1 };

	snprintf(g.uuid, sizeof(g.uuid), "GPU-%d", (int)minor);
	snprintf(g.name, sizeof(g.name), "NVIDIA H200");
	snprintf(g.pci, sizeof(g.pci), "%s", pci);
	return g;
}

static void run(struct world *w, bool extras)
{
	size_t i;

	buf_init(&w->bytes[GPUS], 1 << 16);
	if (w->bad_system)
		buf_puts(&w->bytes[GPUS], "?");
	else
		nvidia_system_put(&w->bytes[GPUS], &w->system);
	for (i = 0; i < w->n; i++) {
		buf_init(&w->bytes[i], 1 << 16);
		nvidia_gpu_put(&w->bytes[i], &w->gpus[i]);
		memset(&w->devices[i], 0, sizeof(w->devices[i]));
		w->devices[i].minor = (int)w->gpus[i].minor;
		memcpy(w->devices[i].pci, w->gpus[i].pci, sizeof(w->devices[i].pci));
		w->found[i] = (struct gpu_found){ w->absent[i] ? NULL : &w->devices[i],
						  buf_sv(&w->bytes[i]) };
	}
	nvidia_model(buf_sv(&w->bytes[GPUS]), w->found, w->n, extras);
}

static void done(struct world *w)
{
	size_t i;

	for (i = 0; i < w->n; i++) {
		device_done(&w->devices[i]);
		buf_done(&w->bytes[i]);
	}
	buf_done(&w->bytes[GPUS]);
}

/* "domain/name=kind:value" of all, one per line. */
static const char *print(const struct gpu_device *d)
{
	static char text[4096];
	const struct gpu_attribute *a;
	size_t i, n = 0;

	text[0] = '\0';
	for (i = 0; i < d->attributes_n; i++) {
		a = &d->attributes[i];
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s=", a->domain,
				      *a->domain ? "/" : "", a->name);
		if (a->kind == GPU_INT || a->kind == GPU_BOOL)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s:%d\n",
					      a->kind == GPU_INT ? "int" : "bool", (int)a->i);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s:%s\n",
					      a->kind == GPU_STRING ? "string" : "version", a->s);
	}
	for (i = 0; i < d->capacities_n; i++)
		n +=
		    (size_t)snprintf(text + n, sizeof(text) - n, "%s=%llu\n", d->capacities[i].name,
				     (unsigned long long)d->capacities[i].value);
	return text;
}

static struct world plain(void)
{
	struct world w = { .n = 1 };

	w.system = (struct nvidia_system){ "570.158.01", 12080, -1, -1, -1 };
	w.gpus[0] = h200("0000:65:00.0", 0);
	return w;
}

/* Upstream's own output for such a GPU. */
static void test_golden(void **state)
{
	struct world w = plain();

	(void)state;
	run(&w, false);
	assert_string_equal(w.devices[0].name, "gpu-0");
	assert_string_equal(w.devices[0].trouble, "");
	assert_string_equal(print(&w.devices[0]),
			    "architecture=string:Hopper\n"
			    "brand=string:Nvidia\n"
			    "cudaComputeCapability=version:9.0.0\n"
			    "cudaDriverVersion=version:12.8.0\n"
			    "driverVersion=version:570.158.1\n"
			    "productName=string:NVIDIA H200\n"
			    "type=string:gpu\n"
			    "uuid=string:GPU-0\n"
			    "resource.kubernetes.io/numaNode=int:1\n"
			    "resource.kubernetes.io/pciBusID=string:0000:65:00.0\n"
			    "memory=150754820096\n");
	done(&w);
}

static void test_all_of_it(void **state)
{
	struct world w = plain();

	(void)state;
	w.system = (struct nvidia_system){ "580.65.06", 13000, 1, 0, 0 };
	w.gpus[0].addressing = 2;
	w.gpus[0].ecc = 1;
	w.gpus[0].mig_mode = 0;
	w.gpus[0].switched = true;
	w.gpus[0].numa = 0;
	snprintf(w.gpus[0].serial, sizeof(w.gpus[0].serial), "1654922012345");
	snprintf(w.gpus[0].path, sizeof(w.gpus[0].path),
		 "pci0000:60/0000:60:01.0/0000:61:00.0/0000:62:08.0/0000:65:00.0");
	run(&w, true);
	assert_string_equal(print(&w.devices[0]),
			    "addressingMode=string:ATS\n"
			    "architecture=string:Hopper\n"
			    "brand=string:Nvidia\n"
			    "cudaComputeCapability=version:9.0.0\n"
			    "cudaDriverVersion=version:13.0.0\n"
			    "driverVersion=version:580.65.6\n"
			    "productName=string:NVIDIA H200\n"
			    "type=string:gpu\n"
			    "uuid=string:GPU-0\n"
			    "resource.kubernetes.io/numaNode=int:0\n"
			    "resource.kubernetes.io/pciBusID=string:0000:65:00.0\n"
			    "resource.kubernetes.io/pcieRoot=string:pci0000:60\n"
			    "tundra.internal/ccMode=string:on\n"
			    "tundra.internal/eccEnabled=bool:1\n"
			    "tundra.internal/migCapable=bool:1\n"
			    "tundra.internal/nvlinkIsland=string:nvswitch\n"
			    "tundra.internal/pcieSwitch=string:0000:61:00.0\n"
			    "tundra.internal/serial=string:1654922012345\n"
			    "memory=150754820096\n");
	done(&w);
}

/* An old library on an odd GPU: what it does not tell is left out, nothing is made up. */
static void test_little_known(void **state)
{
	struct world w = plain();

	(void)state;
	w.system = (struct nvidia_system){ "garbage", 0, -1, -1, -1 };
	w.gpus[0].brand = 4711;
	w.gpus[0].architecture = 11;
	w.gpus[0].memory_total = 0;
	w.gpus[0].numa = -1;
	w.gpus[0].minor = -1;
	w.gpus[0].index = 5;
	w.gpus[0].addressing = 9;
	w.gpus[0].cc_minor = 3;
	snprintf(w.gpus[0].pci, sizeof(w.gpus[0].pci), "10000:65:00.0");
	run(&w, true);
	assert_string_equal(w.devices[0].name, "gpu-5");
	assert_string_equal(print(&w.devices[0]), "architecture=string:Unknown\n"
						  "brand=string:Unknown\n"
						  "cudaComputeCapability=version:9.3.0\n"
						  "productName=string:NVIDIA H200\n"
						  "type=string:gpu\n"
						  "uuid=string:GPU-0\n"
						  "tundra.internal/migCapable=bool:0\n");
	done(&w);
}

static void one_word(const char *attribute, const char *expect, uint32_t brand, uint32_t arch)
{
	struct world w = plain();

	w.gpus[0].brand = brand;
	w.gpus[0].architecture = arch;
	run(&w, false);
	assert_string_equal(device_attribute(&w.devices[0], "", attribute)->s, expect);
	done(&w);
}

static void test_words(void **state)
{
	static const char *const brands[] = { "Unknown",    "Quadro",	   "Tesla",
					      "NVS",	    "Grid",	   "GeForce",
					      "Titan",	    "NvidiaVApps", "NvidiaVPC",
					      "NvidiaVCS",  "NvidiaVWS",   "NvidiaCloudGaming",
					      "QuadroRTX",  "NvidiaRTX",   "Nvidia",
					      "GeForceRTX", "TitanRTX",	   "Unknown" };
	static const char *const archs[] = { "Unknown",	     "Unknown", "Kepler",    "Maxwell",
					     "Pascal",	     "Volta",	"Turing",    "Ampere",
					     "Ada Lovelace", "Hopper",	"Blackwell", "Unknown",
					     "Unknown",	     "Rubin",	"Unknown" };
	uint32_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(brands); i++)
		one_word("brand", brands[i], i, 9);
	for (i = 0; i < ARRAY_LEN(archs); i++)
		one_word("architecture", archs[i], 14, i);
	one_word("architecture", "Unknown", 14, UINT32_MAX);
}

static void test_cc_modes(void **state)
{
	static const struct {
		int64_t feature, devtools, multi;
		const char *mode;
	} rows[] = {
		{ -1, -1, -1, NULL }, { 0, 0, 0, "off" },      { 0, 0, 1, "protected-pcie" },
		{ 1, 0, 0, "on" },    { 1, 1, 0, "devtools" }, { 1, -1, -1, "on" },
	};
	const struct gpu_attribute *a;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w = plain();

		w.system.cc_feature = rows[i].feature;
		w.system.cc_devtools = rows[i].devtools;
		w.system.cc_multi_gpu = rows[i].multi;
		run(&w, true);
		a = device_attribute(&w.devices[0], NVIDIA_EXTRA_DOMAIN, "ccMode");
		assert_true(!a == !rows[i].mode);
		if (a)
			assert_string_equal(a->s, rows[i].mode);
		done(&w);
	}
}

/* The island of a bridge stays what it was while one of its GPUs is gone. */
static void test_island_of_the_absent(void **state)
{
	struct world w = plain();
	size_t i;

	(void)state;
	w.n = 3;
	w.gpus[1] = h200("0000:66:00.0", 1);
	w.gpus[2] = h200("0000:67:00.0", 2);
	snprintf(w.gpus[1].peers[0], sizeof(w.gpus[1].peers[0]), "0000:65:00.0");
	w.gpus[1].peers_n = 1;
	w.absent[0] = true;
	run(&w, true);
	assert_string_equal(device_attribute(&w.devices[1], NVIDIA_EXTRA_DOMAIN, "nvlinkIsland")->s,
			    "0000:65:00.0");
	assert_null(device_attribute(&w.devices[2], NVIDIA_EXTRA_DOMAIN, "nvlinkIsland"));
	for (i = 0; i < w.n; i++)
		assert_string_equal(w.devices[i].trouble, "");
	done(&w);
}

/* Links that are down now were links before; another GPU in the slot has its own. */
static void test_links_are_remembered(void **state)
{
	struct nvidia_gpu before = h200("0000:65:00.0", 0), now = before, got;
	struct buf old, new, out;

	(void)state;
	before.switched = true;
	before.peers_n = 2;
	snprintf(before.peers[0], sizeof(before.peers[0]), "0000:66:00.0");
	snprintf(before.peers[1], sizeof(before.peers[1]), "0000:67:00.0");
	now.peers_n = 1;
	snprintf(now.peers[0], sizeof(now.peers[0]), "0000:67:00.0");
	now.memory_total = 7;
	buf_init(&old, 1 << 16);
	buf_init(&new, 1 << 16);
	buf_init(&out, 1 << 16);
	nvidia_gpu_put(&old, &before);
	nvidia_gpu_put(&new, &now);
	nvidia_vendor.remember(buf_sv(&old), buf_sv(&new), &out);
	assert_int_equal(nvidia_gpu_get(buf_sv(&out), &got), 0);
	assert_true(got.switched);
	assert_int_equal(got.peers_n, 2);
	assert_int_equal(got.memory_total, 7);
	buf_clear(&new);
	buf_clear(&out);
	snprintf(now.uuid, sizeof(now.uuid), "GPU-other");
	nvidia_gpu_put(&new, &now);
	nvidia_vendor.remember(buf_sv(&old), buf_sv(&new), &out);
	assert_true(sv_eq(buf_sv(&out), buf_sv(&new)));
	buf_clear(&out);
	nvidia_vendor.remember(SV("garbage"), buf_sv(&new), &out);
	assert_true(sv_eq(buf_sv(&out), buf_sv(&new)));
	buf_done(&old);
	buf_done(&new);
	buf_done(&out);
}

/* An answer that failed to come is not another answer; one that says "no such thing" is. */
static void test_untold_is_as_before(void **state)
{
	struct nvidia_gpu before = h200("0000:65:00.0", 0), now = before, got;
	struct buf old, new, out;

	(void)state;
	before.ecc = 1;
	before.addressing = 2;
	before.numa = 1;
	now.ecc = now.addressing = now.mig_mode = now.numa = NVIDIA_UNKNOWN;
	now.brand = 0;
	now.architecture = UINT32_MAX;
	now.serial[0] = now.path[0] = '\0';
	now.untold = NVIDIA_UNTOLD_ECC | NVIDIA_UNTOLD_SERIAL | NVIDIA_UNTOLD_BRAND |
		     NVIDIA_UNTOLD_ARCHITECTURE | NVIDIA_UNTOLD_PATH | NVIDIA_UNTOLD_NUMA |
		     NVIDIA_UNTOLD_MIG;
	buf_init(&old, 1 << 16);
	buf_init(&new, 1 << 16);
	buf_init(&out, 1 << 16);
	nvidia_gpu_put(&old, &before);
	nvidia_gpu_put(&new, &now);
	nvidia_vendor.remember(buf_sv(&old), buf_sv(&new), &out);
	assert_int_equal(nvidia_gpu_get(buf_sv(&out), &got), 0);
	assert_int_equal(got.ecc, 1);
	assert_int_equal(got.numa, 1);
	assert_int_equal(got.mig_mode, before.mig_mode);
	assert_int_equal(got.brand, before.brand);
	assert_int_equal(got.architecture, before.architecture);
	assert_string_equal(got.serial, before.serial);
	assert_string_equal(got.path, before.path);
	assert_int_equal(got.addressing, NVIDIA_UNKNOWN); /* not supported (any more) */
	buf_done(&old);
	buf_done(&new);
	buf_done(&out);
}

static void test_trouble(void **state)
{
	struct world w = plain();

	(void)state;
	w.n = 2;
	w.gpus[1] = h200("0000:66:00.0", 1);
	w.gpus[1].mig_mode = 1;
	run(&w, false);
	assert_string_equal(w.devices[0].trouble, "");
	assert_non_null(strstr(w.devices[1].trouble, "MIG mode is on"));
	done(&w);
	w.bad_system = true;
	run(&w, false);
	assert_non_null(strstr(w.devices[0].trouble, "damaged"));
	done(&w);
}

static void test_damaged_gpu(void **state)
{
	struct world w = plain();

	(void)state;
	w.n = 2;
	w.gpus[1] = h200("0000:66:00.0", 1);
	run(&w, false);
	done(&w);
	/* Facts that end in the middle cost their own GPU only. */
	buf_init(&w.bytes[GPUS], 1 << 16);
	nvidia_system_put(&w.bytes[GPUS], &w.system);
	buf_init(&w.bytes[1], 1 << 16);
	nvidia_gpu_put(&w.bytes[1], &w.gpus[1]);
	memset(w.devices, 0, sizeof(w.devices));
	w.found[0] = (struct gpu_found){ &w.devices[0],
					 sv_make(buf_sv(&w.bytes[1]).p, buf_len(&w.bytes[1]) - 1) };
	w.found[1] = (struct gpu_found){ &w.devices[1], buf_sv(&w.bytes[1]) };
	nvidia_model(buf_sv(&w.bytes[GPUS]), w.found, 2, true);
	assert_non_null(strstr(w.devices[0].trouble, "damaged"));
	assert_string_equal(w.devices[1].trouble, "");
	assert_string_equal(w.devices[1].name, "gpu-1");
	device_done(&w.devices[1]);
	buf_done(&w.bytes[1]);
	buf_done(&w.bytes[GPUS]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_all_of_it),
		cmocka_unit_test(test_little_known),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_cc_modes),
		cmocka_unit_test(test_island_of_the_absent),
		cmocka_unit_test(test_links_are_remembered),
		cmocka_unit_test(test_untold_is_as_before),
		cmocka_unit_test(test_trouble),
		cmocka_unit_test(test_damaged_gpu),
	};

	return RUN(tests);
}
