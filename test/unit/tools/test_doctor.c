/* tundra doctor: the frame around the checks, and the checks of the machine and its driver. */
#include "test/unit/tools/doctor_world.h"

#include <poll.h>
#include <sys/sysmacros.h>

#include "core/buf.h"
#include "core/json.h"

static struct world w;

static int done(void **state)
{
	(void)state;
	world_done(&w);
	return 0;
}

/* ---- the frame ---- */

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < doctor_checks_n; i++) {
		size_t needs = doctor_checks_n;

		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(doctor_checks[i].name, doctor_checks[k].name);
			if (doctor_checks[i].needs &&
			    !strcmp(doctor_checks[i].needs, doctor_checks[k].name))
				needs = k;
		}
		if (doctor_checks[i].needs && needs == doctor_checks_n)
			fail_msg("%s needs %s, which is no earlier check", doctor_checks[i].name,
				 doctor_checks[i].needs);
	}
}

static void hangs(const struct doctor *d, struct doctor_finding *f)
{
	(void)d;
	(void)f;
	signal(SIGTERM, SIG_IGN);
	for (;;)
		poll(NULL, 0, 1000);
}

static void crashes(const struct doctor *d, struct doctor_finding *f)
{
	(void)d;
	(void)f;
	raise(SIGKILL);
}

static void says_nothing(const struct doctor *d, struct doctor_finding *f)
{
	(void)d;
	(void)f;
}

static void says_lines(const struct doctor *d, struct doctor_finding *f)
{
	(void)d;
	doctor_say(f, DOCTOR_WARN, "a\nb");
	doctor_more(f, "\x1b[1m%s", "c");
	doctor_fix(f, "d\re");
	f->plugin_gpus = 7;
}

static void test_bounded(void **state)
{
	const struct doctor_check hang = { "hang", "", hangs, NULL, 0 };
	const struct doctor_check crash = { "crash", "", crashes, NULL, 0 };
	const struct doctor_check nothing = { "nothing", "", says_nothing, NULL, 0 };
	const struct doctor_check lines = { "lines", "", says_lines, NULL, 0 };
	struct doctor_finding f;

	(void)state;
	world_init(&w, node_empty());
	w.d.limit_ms = 200;
	doctor_run(&w.d, &hang, &f);
	assert_int_equal(f.verdict, DOCTOR_FAIL);
	assert_non_null(strstr(f.found, "no answer within 0.2 s"));
	assert_in_range(f.ms, 200, 3000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left of it */
	w.d.limit_ms = 5000;
	doctor_run(&w.d, &crash, &f);
	assert_int_equal(f.verdict, DOCTOR_UNKNOWN);
	assert_non_null(strstr(f.found, "signal 9"));
	doctor_run(&w.d, &nothing, &f);
	assert_int_equal(f.verdict, DOCTOR_UNKNOWN);
	doctor_run(&w.d, &lines, &f);
	assert_string_equal(f.found, "a b [1mc");
	assert_string_equal(f.fix, "d e");
	assert_int_equal(f.plugin_gpus, 7);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Nothing at all is here: every check says something, in bounded time, and none is ill. */
static void test_nothing_here(void **state)
{
	(void)state;
	world_init(&w, node_empty());
	doctor_run_all(&w.d, NULL, NULL);
	for (size_t i = 0; i < doctor_checks_n; i++) {
		const struct doctor_finding *f = &w.d.findings[i];

		assert_true(w.d.done[i]);
		assert_int_not_equal(strlen(f->found), 0);
		if (strstr(f->found, "the check"))
			fail_msg("%s: %s", doctor_checks[i].name, f->found);
		if (f->verdict == DOCTOR_FAIL && !*f->fix)
			fail_msg("%s: no fix", doctor_checks[i].name);
	}
	/* Without a kubelet and an API server these cannot know. */
	assert_int_equal(doctor_found(&w.d, "api server")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(doctor_found(&w.d, "rbac")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(doctor_found(&w.d, "kubelet")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(doctor_found(&w.d, "kubelet folders")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(doctor_found(&w.d, "node agent")->verdict, DOCTOR_UNKNOWN);
}

/* ---- machine and driver ---- */

static void test_kernel_and_programs(void **state)
{
	(void)state;
	world_init(&w, node_empty());
	EXPECT(&w, "kernel", DOCTOR_OK, "Linux ");
	EXPECT(&w, "programs", DOCTOR_OK, "tundra-worker ");
	mem_free(w.d.worker);
	w.d.worker = mem_strdup("/bin/true");
	EXPECT(&w, "programs", DOCTOR_FAIL, "/bin/true is of another build");
	mem_free(w.d.worker);
	w.d.worker = mem_strdup("/nonexistent/worker");
	EXPECT(&w, "programs", DOCTOR_FAIL, "/nonexistent/worker does not run");
	/* The driver is not asked through a worker that is none. */
	EXPECT(&w, "driver", DOCTOR_UNKNOWN, "\"programs\" is not ok");
}

static void test_healthy(void **state)
{
	struct doctor_finding *f;

	(void)state;
	world_init(&w, node_new("--profile h100 --count 3"));
	EXPECT(&w, "gpus", DOCTOR_OK, "3 NVIDIA: 3 with nvidia");
	f = EXPECT(&w, "kernel module", DOCTOR_OK, "580.65.06");
	assert_string_equal(f->driver, "580.65.06");
	EXPECT(&w, "device nodes", DOCTOR_OK, "majors as in");
	check(&w, "programs");
	EXPECT(&w, "driver", DOCTOR_OK, "driver 580.65.06 in");
	EXPECT(&w, "nvml", DOCTOR_OK, "3 GPUs answer");
}

static void test_no_driver(void **state)
{
	(void)state;
	world_init(&w, node_empty());
	world_dir(&w, "sys/bus/pci/devices");
	EXPECT(&w, "gpus", DOCTOR_FAIL, "no NVIDIA GPU on the PCI bus");
	EXPECT(&w, "kernel module", DOCTOR_FAIL, "not loaded");
	EXPECT(&w, "device nodes", DOCTOR_UNKNOWN, "\"kernel module\" is not ok");
	check(&w, "programs");
	EXPECT(&w, "driver", DOCTOR_FAIL, "/run/nvidia/driver (driver container)");
	assert_non_null(
	    strstr(w.d.findings[row_of("driver")].found, "/home/kubernetes/bin/nvidia"));
	EXPECT(&w, "nvml", DOCTOR_UNKNOWN, "\"driver\" is not ok");
}

static void test_nouveau(void **state)
{
	(void)state;
	world_init(&w, node_empty());
	world_file(&w, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
	world_file(&w, "sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n");
	world_file(&w, "sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
	world_file(&w, "sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n"); /* its audio */
	assert_int_equal(symlink("../../../drivers/nouveau",
				 node_path(w.node, "sys/bus/pci/devices/0000:01:00.0/driver")),
			 0);
	EXPECT(&w, "gpus", DOCTOR_FAIL, "1 NVIDIA: 1 with nouveau");
	assert_non_null(strstr(w.d.findings[row_of("gpus")].fix, "blacklist"));
}

static void test_device_nodes(void **state)
{
	struct doctor_finding *f;

	(void)state;
	world_init(&w, node_new("--profile h100 --count 2"));
	check(&w, "kernel module");
	assert_int_equal(unlink(node_path(w.node, "dev/nvidia-uvm")), 0);
	f = EXPECT(&w, "device nodes", DOCTOR_WARN, "missing: nvidia-uvm");
	/* A former driver's node: uvm's major is handed out anew. */
	assert_int_equal(mknod(node_path(w.node, "dev/nvidia-uvm"), S_IFCHR | 0666, makedev(77, 0)),
			 0);
	f = EXPECT(&w, "device nodes", DOCTOR_FAIL, "nvidia-uvm is 77:0, the driver's is ");
	assert_non_null(strstr(f->fix, "nvidia-modprobe"));
	assert_int_equal(unlink(node_path(w.node, "dev/nvidiactl")), 0);
	world_file(&w, "dev/nvidiactl", "a file\n");
	EXPECT(&w, "device nodes", DOCTOR_FAIL, "nvidiactl is not a character device");
}

static void test_sick_gpu(void **state)
{
	struct doctor_finding *f;

	(void)state;
	world_init(&w, node_new("--profile h100 --count 3"));
	check(&w, "programs");
	check(&w, "driver");
	node_do(w.node, "fault fail --rc GPU_IS_LOST --gpu 1");
	f = EXPECT(&w, "nvml", DOCTOR_WARN, "2 answer");
	assert_non_null(strstr(f->found, "NVML index 1"));
	assert_non_null(strstr(f->fix, "Xid"));
}

static void test_no_gpu_counted(void **state)
{
	struct doctor_finding *f;

	(void)state;
	world_init(&w, node_new("--profile t4 --count 1"));
	check(&w, "programs");
	check(&w, "driver");
	node_do(w.node, "unplug --gpu 0");
	f = EXPECT(&w, "nvml", DOCTOR_FAIL, "counts no GPU");
	assert_non_null(strstr(f->fix, "vfio-pci"));
}

/* ---- the answer ---- */

static void test_json(void **state)
{
	struct json *root;
	struct err e = { "" };
	struct buf text;

	(void)state;
	world_init(&w, node_empty());
	for (size_t i = 0; i < doctor_checks_n; i++)
		pretend(&w, doctor_checks[i].name, i % DOCTOR_VERDICTS);
	buf_init(&text, 1 << 20);
	doctor_json(&w.d, &text);
	if (json_parse(buf_sv(&text), &json_limits_object, &root, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(json_str(json_get(root, "node"), ""), "node-1");
	assert_int_equal(json_len(json_get(root, "checks")), doctor_checks_n);
	assert_string_equal(json_str(json_get(json_at(json_get(root, "checks"), 2), "verdict"), ""),
			    "FAIL");
	assert_int_equal(json_i64(json_get(root, "FAIL"), 0), (doctor_checks_n + 1) / 4);
	json_free(&root);
	buf_done(&text);
}

static int run(const char *args, struct buf *out)
{
	char *command = mem_printf("env -i '" TEST_BINARY_DIR "/bin/tundra' doctor %s 2>&1", args);
	char piece[4096];
	FILE *p = popen(command, "r");
	size_t n;

	assert_non_null(p);
	while ((n = fread(piece, 1, sizeof(piece), p)))
		buf_put(out, piece, n);
	mem_free(command);
	n = (size_t)pclose(p);
	return WIFEXITED((int)n) ? WEXITSTATUS((int)n) : -1;
}

/* Whoever reads the lines and whoever reads the exit code hear the same. */
static void test_program(void **state)
{
	char *roots;
	struct json *root;
	struct buf out;
	int code;

	(void)state;
	world_init(&w, node_new("--profile t4 --count 1"));
	roots =
	    mem_printf("--container-driver-root=%s --dev-root=%s --proc-root=%s --sys-root=%s "
		       "--host-root=%s/host --kubelet-plugins-directory-path=%s/plugins "
		       "--kubelet-registrar-directory-path=%s/registry --cdi-root=%s/cdi -o json",
		       w.node->root, w.node->dev, w.node->proc, w.node->sys, w.node->root,
		       w.node->root, w.node->root, w.node->root);
	buf_init(&out, 1 << 20);
	world_dir(&w, "plugins");
	world_dir(&w, "registry");
	code = run(roots, &out);
	assert_int_equal(json_parse(buf_sv(&out), &json_limits_object, &root, NULL), 0);
	assert_int_equal(code, json_i64(json_get(root, "FAIL"), -1) > 0);
	json_free(&root);
	buf_clear(&out);
	assert_int_equal(unlink(node_path(w.node, "proc/driver/nvidia/version")), 0);
	assert_int_equal(run(roots, &out), 1);
	buf_clear(&out);
	assert_int_equal(run("--timeout=1ms", &out), 2);
	assert_non_null(strstr(buf_cstr(&out), "tundra doctor: "));
	buf_clear(&out);
	assert_int_equal(run("--nonsense", &out), 2);
	buf_clear(&out);
	assert_int_equal(run("--help", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "--timeout TIME"));
	buf_done(&out);
	mem_free(roots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test_teardown(test_bounded, done),
		cmocka_unit_test_teardown(test_nothing_here, done),
		cmocka_unit_test_teardown(test_kernel_and_programs, done),
		cmocka_unit_test_teardown(test_healthy, done),
		cmocka_unit_test_teardown(test_no_driver, done),
		cmocka_unit_test_teardown(test_nouveau, done),
		cmocka_unit_test_teardown(test_device_nodes, done),
		cmocka_unit_test_teardown(test_sick_gpu, done),
		cmocka_unit_test_teardown(test_no_gpu_counted, done),
		cmocka_unit_test_teardown(test_json, done),
		cmocka_unit_test_teardown(test_program, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
