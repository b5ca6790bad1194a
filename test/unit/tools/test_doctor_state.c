/* Checks of tundra doctor: kubelet, runtime, disk, ledger, others on the same GPUs. */
#include "test/unit/tools/doctor_world.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/journal_format.h"
#include "core/loop.h"
#include "transport/http.h"

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_init(&w, node_empty());
	return 0;
}

static int done(void **state)
{
	(void)state;
	world_done(&w);
	return 0;
}

static void test_kubelet_config(void **state)
{
	(void)state;
	EXPECT(&w, "kubelet", DOCTOR_UNKNOWN, "config.yaml");
	world_file(&w, "kubelet/config.yaml", "kind: KubeletConfiguration\n");
	EXPECT(&w, "kubelet", DOCTOR_OK, "at its default");
	snprintf(pretend(&w, "node object", DOCTOR_OK)->kubelet, 32, "v1.33.1");
	EXPECT(&w, "kubelet", DOCTOR_FAIL, "kubelet v1.33.1 has DRA off");
	snprintf(pretend(&w, "node object", DOCTOR_OK)->kubelet, 32, "v1.36.0");
	EXPECT(&w, "kubelet", DOCTOR_OK, "DRA is on");
	world_file(&w, "kubelet/config.yaml",
		   "featureGates:\n  DynamicResourceAllocation: false\n");
	EXPECT(&w, "kubelet", DOCTOR_FAIL, "switches DynamicResourceAllocation off");
	world_file(&w, "kubelet/config.yaml", "a: [\n");
	EXPECT(&w, "kubelet", DOCTOR_UNKNOWN, "");
}

/* A listening socket that answers a connect, or one whose owner is gone. */
static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void test_kubelet_folders(void **state)
{
	int fd;

	(void)state;
	EXPECT(&w, "kubelet folders", DOCTOR_UNKNOWN, "no sign of a kubelet");
	world_dir(&w, "host/var/lib/k0s/kubelet/device-plugins");
	EXPECT(&w, "kubelet folders", DOCTOR_FAIL, "host/var/lib/k0s/kubelet");
	world_dir(&w, "kubelet/plugins");
	world_dir(&w, "kubelet/registry");
	world_dir(&w, "kubelet/device-plugins");
	EXPECT(&w, "kubelet folders", DOCTOR_OK, "is not known");
	fd = listen_at(node_path(w.node, "kubelet/device-plugins/kubelet.sock"));
	EXPECT(&w, "kubelet folders", DOCTOR_OK, "the kubelet runs");
	close(fd);
	EXPECT(&w, "kubelet folders", DOCTOR_WARN, "does not answer");
}

#define TOML	"host/etc/containerd/config.toml"
#define V1_TOML "[plugins.\"io.containerd.grpc.v1.cri\"]\n"

static void runtime_is(const char *version)
{
	snprintf(pretend(&w, "node object", DOCTOR_OK)->runtime, 64, "%s", version);
}

static void test_containerd(void **state)
{
	(void)state;
	EXPECT(&w, "runtime", DOCTOR_UNKNOWN, "neither");
	runtime_is("containerd://2.1.4");
	w.d.roots.cdi = "/var/run/cdi";
	EXPECT(&w, "runtime", DOCTOR_OK, "CDI is on");
	runtime_is("containerd://1.7.27");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "which is its default");
	world_file(&w, TOML, "version = 2\n" V1_TOML "  enable_cdi = true\n");
	EXPECT(&w, "runtime", DOCTOR_OK, "containerd://1.7.27: CDI is on");
	world_file(&w, TOML, V1_TOML "enable_cdi = true\ncdi_spec_dirs = [\"/etc/cdi\"]\n");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "lacks /var/run/cdi");
	world_file(&w, TOML, "disabled_plugins = [\"cri\"]\n");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "disabled_plugins has cri");
	world_file(&w, TOML, "imports = [\"conf.d/*.toml\"]\n");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "default");
	world_file(&w, "host/etc/containerd/conf.d/9.toml", V1_TOML "enable_cdi = true\n");
	EXPECT(&w, "runtime", DOCTOR_OK, "CDI is on");
	world_file(&w, TOML, "imports = [\"/etc/containerd/conf.d/*.toml\"]\n");
	EXPECT(&w, "runtime", DOCTOR_OK, "CDI is on");
	runtime_is("containerd://2.0.5-k3s1");
	world_file(&w, "host/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
		   "[plugins.'io.containerd.cri.v1.runtime']\nenable_cdi = false\n");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "enable_cdi = false");
}

static void test_other_runtimes(void **state)
{
	(void)state;
	w.d.roots.cdi = "/var/run/cdi";
	runtime_is("cri-o://1.34.0");
	EXPECT(&w, "runtime", DOCTOR_OK, "CDI is always on");
	world_file(&w, "host/etc/crio/crio.conf.d/10.conf",
		   "[crio.runtime]\ncdi_spec_dirs = [\n  \"/etc/cdi\", # ours\n]\n");
	EXPECT(&w, "runtime", DOCTOR_FAIL, "lacks /var/run/cdi");
	runtime_is("docker://28.0");
	EXPECT(&w, "runtime", DOCTOR_WARN, "docker://28.0");
	/* No Node to ask: the socket tells which it is, nothing tells the version. */
	runtime_is("");
	world_file(&w, TOML, "version = 2\n");
	world_file(&w, "host/run/containerd/containerd.sock", "socket\n");
	EXPECT(&w, "runtime", DOCTOR_UNKNOWN, "does not say");
}

static void test_disk_and_cdi(void **state)
{
	(void)state;
	EXPECT(&w, "disk", DOCTOR_UNKNOWN, "No such file");
	world_dir(&w, "kubelet/plugins/gpu.nvidia.com");
	if (check(&w, "disk")->verdict > DOCTOR_WARN)
		fail_msg("%s", w.d.findings[row_of("disk")].found);
	assert_non_null(strstr(w.d.findings[row_of("disk")].found, "MiB free"));
	assert_false(fsx_exists(node_path(w.node, "kubelet/plugins/gpu.nvidia.com/.doctor")));
	w.d.roots.plugins = "/proc";
	mem_free(w.d.folder);
	w.d.folder = mem_strdup("/proc/self"); /* there, and takes no files */
	EXPECT(&w, "disk", DOCTOR_FAIL, "cannot be written");
	EXPECT(&w, "cdi folder", DOCTOR_OK, "is not there yet");
	world_file(&w, "cdi/k8s.gpu.nvidia.com-claim_u1.yaml", "{}");
	world_file(&w, "cdi/nvidia.yaml", "{}");
	EXPECT(&w, "cdi folder", DOCTOR_OK, "1 specs of claims, 1 of others");
	w.d.roots.cdi = "/proc/self/status";
	EXPECT(&w, "cdi folder", DOCTOR_FAIL, "Not a directory");
}

static void put_ledger(size_t damage, bool deleted)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	journal_put_header(&b, SV("boot"));
	journal_put_record(&b, 1, JOURNAL_PUT, SV("uid-one"), SV("{\"v\":1}"));
	journal_put_record(&b, 2, JOURNAL_PUT, SV("uid-two"), SV("{\"v\":2}"));
	journal_put_commit(&b, 2, 2);
	journal_put_record(&b, 3, JOURNAL_PUT, SV("uid-three"), SV("{\"v\":3}"));
	journal_put_commit(&b, 3, 1);
	if (deleted) {
		journal_put_record(&b, 4, JOURNAL_DEL, SV("uid-one"), SV_NONE);
		journal_put_commit(&b, 4, 1);
	}
	if (damage) {
		char *at = memmem(b.data + b.start, buf_len(&b), "{\"v\":1}", 7);

		assert_non_null(at);
		at[5] = '9';
	}
	assert_int_equal(fsx_replace(node_path(w.node, "kubelet/plugins/gpu.nvidia.com/ledger"),
				     buf_sv(&b), 0600, 0),
			 0);
	buf_done(&b);
}

static void test_ledger(void **state)
{
	(void)state;
	EXPECT(&w, "ledger", DOCTOR_OK, "none yet");
	world_dir(&w, "kubelet/plugins/gpu.nvidia.com");
	put_ledger(0, false);
	EXPECT(&w, "ledger", DOCTOR_OK, "3 claims");
	put_ledger(1, false);
	EXPECT(&w, "ledger", DOCTOR_WARN, "damaged records of uid-one; 3 claims");
	put_ledger(1, true); /* its claim is gone, and nobody is concerned any more */
	EXPECT(&w, "ledger", DOCTOR_OK, "2 claims");
	world_file(&w, "kubelet/plugins/gpu.nvidia.com/ledger", "something else\n");
	EXPECT(&w, "ledger", DOCTOR_FAIL, "");
}

static void process(int pid, const char *comm, const char *exe)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%d/comm", pid);
	world_file(&w, path, "%s\n", comm);
	assert_int_equal(symlink(exe, node_path(w.node, "proc/%d/exe", pid)), 0);
}

static void test_others(void **state)
{
	(void)state;
	EXPECT(&w, "device plugin", DOCTOR_OK, "none");
	world_file(&w, "kubelet/device-plugins/nvidia-gpu.sock", "socket\n");
	EXPECT(&w, "device plugin", DOCTOR_FAIL, "nvidia-gpu.sock");
	process(41, "nvidia-device-p", "/usr/bin/nvidia-device-plugin");
	EXPECT(&w, "device plugin", DOCTOR_FAIL, "pid 41");
	pretend(&w, "node object", DOCTOR_OK)->plugin_gpus = 8;
	EXPECT(&w, "device plugin", DOCTOR_FAIL, "capacity has 8 nvidia.com/gpu");
	w.o.allow_device_plugin = true;
	EXPECT(&w, "device plugin", DOCTOR_WARN, "capacity has 8");
	process(42, "gpu-kubelet-plu", "/usr/bin/tundra"); /* ours under upstream's name */
	EXPECT(&w, "other driver", DOCTOR_OK, "none");
	process(43, "gpu-kubelet-plu", "/usr/bin/gpu-kubelet-plugin");
	EXPECT(&w, "other driver", DOCTOR_FAIL, "pid 43");
}

/* Files of NVIDIA's driver, see test/unit/k8s/test_checkpoint.c. */
static void put_checkpoint(const char *name)
{
	char *to = mem_printf("%s/kubelet/plugins/gpu.nvidia.com/checkpoint.json", w.node->root);
	char *from = mem_printf(TEST_SOURCE_DIR "/fuzz/corpus/checkpoint/%s", name);

	assert_true(fsx_mkdirs(w.d.folder, 0755) >= 0);
	assert_int_equal(fsx_copy(from, to, 0600), 0);
	mem_free(from);
	mem_free(to);
}

/* What doctor says of it is what tundra node will do. */
static void test_checkpoint(void **state)
{
	static char boot_id[300];
	struct doctor_finding *f;

	(void)state;
	world_file(&w, "boot_id", "5c3f8f4e-0000-4000-8000-000000000001\n");
	snprintf(boot_id, sizeof(boot_id), "%s/boot_id", w.node->root);
	w.d.roots.boot_id = boot_id;
	put_checkpoint("empty");
	EXPECT(&w, "other driver", DOCTOR_OK, "none");
	put_checkpoint("two_and_begun");
	EXPECT(&w, "other driver", DOCTOR_OK, "2 claims of NVIDIA's driver, which tundra takes");
	put_checkpoint("mig");
	f = EXPECT(&w, "other driver", DOCTOR_FAIL, "MIG device");
	assert_non_null(strstr(f->found, "end the pods of that claim"));
	assert_non_null(strstr(f->fix, "do not remove that file"));
	world_file(&w, "kubelet/plugins/gpu.nvidia.com/checkpoint.json", "{");
	EXPECT(&w, "other driver", DOCTOR_FAIL, "cannot be taken over");
	put_checkpoint("mig");
	world_file(&w, "boot_id", "another\n");
	EXPECT(&w, "other driver", DOCTOR_OK, "claims of an earlier boot");
}

/* ---- the running node ---- */

static const char *status_text;

static void on_status(void *ctx, const char *query, struct http_reply *reply)
{
	(void)ctx;
	(void)query;
	buf_puts(reply->body, status_text);
}

static void agent_says(const char *text)
{
	char *path = mem_strdup(node_path(w.node, "tundra/status.sock"));
	const struct http_route route = { "/status", on_status, NULL };
	struct http *h;
	struct loop *l;

	if (w.peer) {
		kill(w.peer, SIGKILL);
		waitpid(w.peer, NULL, 0);
		unlink(path);
	}
	world_dir(&w, "tundra");
	w.peer = fork();
	assert_true(w.peer >= 0);
	if (w.peer == 0) {
		status_text = text;
		l = loop_new();
		h = http_new(l);
		http_add(h, &route);
		if (http_listen_unix(h, path, 0600, NULL) < 0)
			_exit(1);
		loop_run(l);
		_exit(0);
	}
	for (int i = 0; !fsx_exists(path) && i < 500; i++)
		poll(NULL, 0, 10);
	mem_free(path);
}

static void test_node_agent(void **state)
{
	(void)state;
	EXPECT(&w, "node agent", DOCTOR_UNKNOWN, "no tundra node answers");
	agent_says("{\"version\":\"9.9\",\"inventory\":{\"state\":\"ready\"},\"driver\":{"
		   "\"registered\":true,\"ledger\":{\"state\":\"open\"},\"publisher\":{\"devices\":"
		   "4}},\"api\":{\"connected\":true}}");
	EXPECT(&w, "node agent", DOCTOR_OK,
	       "tundra 9.9: devices ready, ledger open, registered, 4");
	agent_says("{\"inventory\":{\"state\":\"ready\"},\"driver\":{\"registered\":false}}");
	EXPECT(&w, "node agent", DOCTOR_WARN, "not registered");
	agent_says("{\"inventory\":{\"state\":\"trouble\"},\"driver\":{\"registered\":true}}");
	EXPECT(&w, "node agent", DOCTOR_FAIL, "devices trouble");
	agent_says("{\"inventory\":{\"state\":\"ready\"},\"conflict\":\"a plugin\",\"driver\":{"
		   "\"registered\":true}}");
	EXPECT(&w, "node agent", DOCTOR_WARN, "a plugin");
	agent_says("no json");
	EXPECT(&w, "node agent", DOCTOR_UNKNOWN, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kubelet_config, setup, done),
		cmocka_unit_test_setup_teardown(test_kubelet_folders, setup, done),
		cmocka_unit_test_setup_teardown(test_containerd, setup, done),
		cmocka_unit_test_setup_teardown(test_other_runtimes, setup, done),
		cmocka_unit_test_setup_teardown(test_disk_and_cdi, setup, done),
		cmocka_unit_test_setup_teardown(test_ledger, setup, done),
		cmocka_unit_test_setup_teardown(test_others, setup, done),
		cmocka_unit_test_setup_teardown(test_checkpoint, setup, done),
		cmocka_unit_test_setup_teardown(test_node_agent, setup, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
