/*
 * The support bundle: secrets are planted in everything that it reads, in the shapes in which they
 * lie around, and the archive is searched for them. What a helper needs must still be there.
 */
#include "test/unit/tools/doctor_world.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/journal_format.h"
#include "core/log.h"
#include "test/lib/apiserver_script.h"
#include "tools/tundra/bundle.h"
#include "tools/tundra/ustar.h"
#include "transport/http.h"

#define SECRET "S3cr3tPlanted" /* begins or is part of each */
#define JWT    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0." SECRET "jwt"
#define PEM    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE" SECRET "pem\n-----END EC PRIVATE KEY-----\n"

static struct world w;
static pid_t api_pid;

static int setup(void **state)
{
	(void)state;
	log_init(LOG_ERROR, false, NULL);
	world_init(&w, node_new("--profile t4 --count 1"));
	return 0;
}

static int done(void **state)
{
	(void)state;
	if (api_pid) {
		kill(api_pid, SIGKILL);
		waitpid(api_pid, NULL, 0);
		api_pid = 0;
	}
	world_done(&w);
	return 0;
}

static void wait_for(const char *path)
{
	for (int i = 0; !fsx_exists(path) && i < 500; i++)
		poll(NULL, 0, 10);
}

/* ---- what the node and the API server answer ---- */

static void on_status(void *ctx, const char *query, struct http_reply *reply)
{
	(void)ctx;
	(void)query;
	buf_puts(reply->body, "{\"version\":\"9.9\",\"api\":{\"lastError\":\"401 for Bearer " SECRET
			      "bearer\"},\"driver\":{}}");
}

static void start_agent(void)
{
	char *path = mem_strdup(node_path(w.node, "tundra/status.sock"));
	const struct http_route route = { "/status", on_status, NULL };

	world_dir(&w, "tundra");
	w.peer = fork();
	if (w.peer == 0) {
		struct loop *l = loop_new();
		struct http *h = http_new(l);

		http_add(h, &route);
		if (http_listen_unix(h, path, 0600, NULL) == 0)
			loop_run(l);
		_exit(0);
	}
	wait_for(path);
	mem_free(path);
}

static void start_api(void)
{
	static const struct script_step steps[] = {
		{ .path = "/apis/resource.k8s.io",
		  .body = "{\"versions\":[{\"version\":\"v1\"}]}",
		  .times = SCRIPT_ALWAYS },
		{ .path = "/apis/resource.k8s.io/",
		  .body = "{\"versions\":[{\"version\":\"v1\"}]}",
		  .times = SCRIPT_ALWAYS },
		{ .path = "/apis/resource.k8s.io/v1/resourceslices*",
		  .body =
		      "{\"kind\":\"ResourceSliceList\",\"items\":[{\"metadata\":{\"name\":"
		      "\"slice-one\",\"annotations\":{\"x/api-key\":\"" SECRET "annotation\"}}}]}",
		  .times = SCRIPT_ALWAYS },
		{ .path = "/api/v1/nodes/node-1",
		  .body =
		      "{\"kind\":\"Node\",\"metadata\":{\"annotations\":{\"last\":\"{\\\"token\\"
		      "\":\\\"" SECRET "nested\\\"}\"}},\"status\":{}}",
		  .times = SCRIPT_ALWAYS },
		{ .path = "/version",
		  .body = "{\"gitVersion\":\"v1.36.0\"}",
		  .times = SCRIPT_ALWAYS },
	};
	char *path = mem_strdup(node_path(w.node, "api.sock")), *token, *key;
	char inline_token[] = SECRET "inline", pem[] = SECRET "pem key";

	api_pid = fork();
	if (api_pid == 0) {
		struct loop *l = loop_new();
		struct script *s = script_new(l, path);

		for (size_t i = 0; i < ARRAY_LEN(steps); i++)
			script_expect(s, &steps[i]);
		loop_run(l);
		_exit(0);
	}
	wait_for(path);
	world_file(&w, "token", "%s\n", SECRET "tokenfile");
	token = mem_strdup(node_path(w.node, "token"));
	world_file(&w, "key", "%s\n", SECRET "keyfile");
	key = mem_strdup(node_path(w.node, "key"));
	api_config_free(&w.d.api);
	w.d.api = api_config_copy(&(struct api_config){ .unix_path = path,
							.source = path,
							.token_file = token,
							.token = inline_token,
							.key_pem = pem,
							.key_file = key });
	mem_free(token);
	mem_free(key);
	mem_free(path);
}

/* ---- files ---- */

static void plant_files(void)
{
	world_file(
	    &w, "host/etc/containerd/config.toml",
	    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth]\n"
	    "  username = \"keepme\"\n  password = \"%s\"\n  auth = \"%s==\"\n",
	    SECRET "toml", SECRET "auth");
	world_file(&w, "host/etc/crio/crio.conf.d/1.conf", "[crio]\nx = \"https://me:%s@proxy\"\n",
		   SECRET "url");
	world_file(&w, "host/var/lib/kubelet/config.yaml",
		   "kind: KubeletConfiguration\nbootstrapToken: %s\nstaticKey: |\n  %s\n  more\n"
		   "clusterDNS: [10.0.0.10]\n",
		   SECRET "yaml", SECRET "block");
	world_file(
	    &w, "host/var/log/pods/gpu_tundra-x_uid/plugin/0.log",
	    "Nov 29 started claim=default/one\nAuthorization: Bearer %s\n%s --token %s x\n%s\n%s"
	    "plain %s, %s, %s, %s\n",
	    SECRET "header", JWT, SECRET "flag", "nvapi-" SECRET "0123456789abcdef", PEM,
	    SECRET "tokenfile", SECRET "inline", SECRET "pem key", SECRET "keyfile");
	world_file(
	    &w, "cdi/k8s.gpu.nvidia.com-claim_u1.yaml",
	    "{\"containerEdits\":{\"env\":[\"API_TOKEN=%s\",\"NVIDIA_VISIBLE_DEVICES=void\"]}}",
	    SECRET "cdienv");
	world_file(&w, "proc/cmdline", "root=/dev/sda1 crypt.passphrase=%s quiet\n",
		   SECRET "cmdline");
	world_file(&w, "proc/driver/nvidia/registry", "LicenseToken: \"%s\"\n", SECRET "registry");
	world_file(&w, "kubelet/plugins/gpu.nvidia.com/x", "not read\n");
}

static void plant_ledger(void)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	journal_put_header(&b, SV("boot"));
	journal_put_record(
	    &b, 1, JOURNAL_PUT, SV("uid-one"),
	    SV("{\"v\":1,\"namespace\":\"default\",\"name\":\"claim-one\","
	       "\"allocation\":\"00000000000000aa\",\"bootID\":\"b\",\"since\":5,\"devices\":[{"
	       "\"request\":\"r\",\"pool\":\"p\",\"device\":\"gpu-0\",\"identity\":"
	       "\"GPU-1\"}],\"password\":\"" SECRET "ledger\"}"));
	journal_put_commit(&b, 1, 1);
	assert_int_equal(fsx_replace(node_path(w.node, "kubelet/plugins/gpu.nvidia.com/ledger"),
				     buf_sv(&b), 0600, 0),
			 0);
	buf_done(&b);
}

static void make(struct buf *out, const char *const *environment)
{
	struct bundle b = { .d = &w.d, .now_s = 1700000000 };

	redact_init(&b.redact);
	bundle_know(&b, environment);
	bundle_make(&b, out);
	redact_done(&b.redact);
}

static bool has(const struct buf *b, const char *text)
{
	struct sv all = buf_sv(b);

	return memmem(all.p, all.n, text, strlen(text)) != NULL;
}

static void test_no_secret_leaves(void **state)
{
	static const char *const environment[] = { "DB_PASSWORD=" SECRET "environment",
						   "HOME=/root", NULL };
	static const char *const kept[] = {
		"README.txt",  "doctor.json",	 "status.json",
		"ledger.json", "node.json",	 "cdi/k8s.gpu",
		"runtime/",    "logs/0-",	 "kmsg.txt",
		"slice-one",   "keepme",	 "claim-one",
		"10.0.0.10",   "started claim=", "NVIDIA_VISIBLE_DEVICES=void",
		"580.65.06",   "quiet",		 "Tesla T4",
	};
	struct buf out;
	struct sv all;
	const char *found;

	(void)state;
	setenv("IMAGE_NAME", "https://u:" SECRET "imageenv@registry/x", 1);
	setenv("NAMESPACE", SECRET "environment", 1);
	start_agent();
	start_api();
	plant_files();
	plant_ledger();
	for (size_t i = 0; i < doctor_checks_n; i++)
		pretend(&w, doctor_checks[i].name, DOCTOR_OK);
	snprintf(w.d.findings[3].found, 200, "password: %s", SECRET "finding");
	buf_init(&out, BUNDLE_TOTAL_MAX);
	make(&out, environment);
	all = buf_sv(&out);
	found = memmem(all.p, all.n, SECRET, strlen(SECRET));
	if (found)
		fail_msg("a secret is in the archive: %.60s", found);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (!has(&out, kept[i]))
			fail_msg("\"%s\" is missing in the archive", kept[i]);
	assert_false(has(&out, "NOT WHOLE"));
	assert_int_equal(ustar_whole(all), all.n - 2 * USTAR_BLOCK);
	buf_done(&out);
	unsetenv("IMAGE_NAME");
	unsetenv("NAMESPACE");
}

/* A node agent that takes the connection and never answers costs its part and no more. */
static void test_hanging_part(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct buf out;

	(void)state;
	world_dir(&w, "tundra");
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
		 node_path(w.node, "tundra/status.sock"));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	w.d.limit_ms = 1500;
	buf_init(&out, BUNDLE_TOTAL_MAX);
	make(&out, NULL);
	assert_true(has(&out, "runs here  -- NOT WHOLE: took too long"));
	assert_true(has(&out, "580.65.06"));
	buf_done(&out);
	close(fd);
}

static FILE *open_log(int n)
{
	FILE *log;

	world_file(&w, "host/var/log/pods/gpu_tundra-x_uid/plugin/0.log", "x");
	log = fopen(node_path(w.node, "host/var/log/pods/gpu_tundra-x_uid/plugin/%d.log", n), "w");
	assert_non_null(log);
	return log;
}

/* The end of a log that is too long begins in a line whose beginning said what it is. */
static void test_cut_log(void **state)
{
	enum { SECRETS = 1000 };
	FILE *log = open_log(0);
	struct buf out;

	(void)state;
	fprintf(log, "password: ");
	for (int i = 0; i < SECRETS; i++)
		fprintf(log, SECRET);
	fprintf(log, "\nsecond line\n");
	for (int i = 0; i < BUNDLE_FILE_MAX - (int)strlen(SECRET) * SECRETS / 2; i++)
		fputc('x', log);
	assert_int_equal(fclose(log), 0);
	buf_init(&out, BUNDLE_TOTAL_MAX);
	make(&out, NULL);
	assert_false(has(&out, SECRET));
	assert_true(has(&out, "second line"));
	buf_done(&out);
}

/* What does not fit is told, and the archive ends as an archive. */
static void test_full(void **state)
{
	struct buf out;
	size_t all;

	(void)state;
	w.d.limit_ms = 120000; /* 24 MiB under a sanitizer */
	for (int i = 0; i < 8; i++) {
		FILE *log = open_log(i);

		for (int k = 0; k < BUNDLE_FILE_MAX; k++)
			fputc(k % 64 ? '.' : '\n', log);
		assert_int_equal(fclose(log), 0);
	}
	buf_init(&out, BUNDLE_TOTAL_MAX);
	make(&out, NULL);
	assert_true(has(&out, "container logs  -- NOT WHOLE: not all of it fits"));
	buf_done(&out);
	buf_init(&out, BUNDLE_END_MAX + (256 << 10));
	make(&out, NULL);
	all = buf_len(&out);
	assert_true(has(&out, "no room for logs: the archive is full"));
	assert_true(has(&out, "doctor.json"));
	assert_int_equal(ustar_whole(buf_sv(&out)), all - 2 * USTAR_BLOCK);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_secret_leaves, setup, done),
		cmocka_unit_test_setup_teardown(test_hanging_part, setup, done),
		cmocka_unit_test_setup_teardown(test_cut_log, setup, done),
		cmocka_unit_test_setup_teardown(test_full, setup, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
