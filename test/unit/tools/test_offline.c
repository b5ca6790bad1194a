/* The commands that work without a driver: claims, export, unprepare; on a node of fake GPUs. */
#include "test/unit/worker/node.h"

#include <errno.h>
#include <fcntl.h>

#include "core/fsx.h"
#include "k8s/checkpoint.h"
#include "k8s/ledger_file.h"
#include "tools/tundra/command.h"
#include "transport/sock.h"

enum { ARGS_MAX = 32 };
#define DRIVER "gpu.nvidia.com"

struct place {
	struct fake_node *node;
	char *plugins, *registry, *cdi, *run, *folder, *ledger, *checkpoint;
	char uuid[64], boot_id[64];
	struct sock_listener listener;
	int code;
	struct buf said; /* on stdout and stderr by the last command */
};

static char *in(struct place *p, const char *path)
{
	return mem_strdup(node_path(p->node, "%s", path));
}

/* The UUID of the GPU with minor number 0. */
static int find_uuid(void *arg, const char *name)
{
	struct place *p = arg;
	char *path = in(p, "proc/driver/nvidia/gpus"),
	     *file = mem_printf("%s/%s/information", path, name);
	struct buf text;
	char *at;

	buf_init(&text, 8192);
	assert_int_equal(fsx_read(file, 8192, &text), 0);
	at = strstr(buf_cstr(&text), "GPU UUID:");
	if (strstr(buf_cstr(&text), "Device Minor: \t 0") && at)
		assert_int_equal(sscanf(at, "GPU UUID: %63s", p->uuid), 1);
	buf_done(&text);
	mem_free(path);
	mem_free(file);
	return 0;
}

static int setup(void **state)
{
	struct place *p = MEM_NEW(struct place);
	char *gpus;

	p->node = node_new("--profile h100 --count 2");
	p->plugins = in(p, "plugins");
	p->registry = in(p, "registry");
	p->cdi = in(p, "cdi");
	p->run = in(p, "run/tundra");
	p->folder = in(p, "plugins/" DRIVER);
	p->ledger = in(p, "plugins/" DRIVER "/ledger");
	p->checkpoint = in(p, "plugins/" DRIVER "/checkpoint.json");
	p->listener.fd = -1;
	buf_init(&p->said, 1 << 20);
	gpus = in(p, "proc/driver/nvidia/gpus");
	assert_int_equal(fsx_list(gpus, find_uuid, p), 0);
	assert_true(*p->uuid);
	mem_free(gpus);
	assert_int_equal(fsx_mkdirs(p->registry, 0755), 0);
	assert_int_equal(fsx_mkdirs(p->cdi, 0755), 0);
	assert_int_equal(fsx_line("/proc/sys/kernel/random/boot_id", p->boot_id, 64), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	sock_listener_done(&p->listener);
	node_free(p->node);
	mem_free(p->plugins);
	mem_free(p->registry);
	mem_free(p->cdi);
	mem_free(p->run);
	mem_free(p->folder);
	mem_free(p->ledger);
	mem_free(p->checkpoint);
	buf_done(&p->said);
	mem_free(p);
	return 0;
}

/* ---- what is there ---- */

static void put(struct place *p, const char *path, struct sv content)
{
	char *whole = in(p, path), *folder = mem_strdup(whole);

	*strrchr(folder, '/') = '\0';
	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	assert_int_equal(fsx_replace(whole, content, 0644, 0), 0);
	mem_free(folder);
	mem_free(whole);
}

static bool there(struct place *p, const char *path)
{
	return fsx_exists(node_path(p->node, "%s", path));
}

static void put_claim(struct place *p, const char *uid, const char *device, const char *uuid)
{
	struct ledger_device d = { .request = (char *)(uintptr_t) "gpu",
				   .pool = (char *)(uintptr_t) "node-1",
				   .device = (char *)(uintptr_t)device,
				   .identity = (char *)(uintptr_t)uuid };
	struct ledger_claim c = { .uid = (char *)(uintptr_t)uid,
				  .namespace = (char *)(uintptr_t) "default",
				  .name = (char *)(uintptr_t) "train",
				  .boot_id = p->boot_id,
				  .devices = &d,
				  .devices_n = 1 };
	const struct ledger_claim *claims = &c;
	char *spec = mem_printf("cdi/k8s." DRIVER "-claim_%s.yaml", uid);
	struct ledger_file *f;
	struct err e = { "" };

	assert_true(fsx_mkdirs(p->folder, 0750) >= 0);
	assert_int_equal(ledger_file_open(p->ledger, p->boot_id, NULL, &f, &e), 0);
	assert_int_equal(ledger_file_put(f, &claims, 1, &e), 0);
	ledger_file_free(&f);
	put(p, spec, SV("{}"));
	mem_free(spec);
}

static void put_two(struct place *p)
{
	put_claim(p, "uid-a", "gpu-0", p->uuid);
	put_claim(p, "uid-b", "gpu-1", "GPU-b");
}

static size_t records(struct place *p)
{
	struct ledger_file *f;
	struct err e = { "" };
	size_t n;

	assert_int_equal(ledger_file_read(p->ledger, &f, &e), 0);
	n = f->claims_n + f->corrupt_n;
	ledger_file_free(&f);
	return n;
}

static void damage(struct place *p, const char *what)
{
	struct buf bytes;
	char *at;

	buf_init(&bytes, 1 << 20);
	assert_int_equal(fsx_read(p->ledger, 1 << 20, &bytes), 0);
	at = memmem(bytes.data + bytes.start, buf_len(&bytes), what, strlen(what));
	assert_non_null(at);
	*at ^= 1;
	assert_int_equal(fsx_replace(p->ledger, buf_sv(&bytes), 0600, 0), 0);
	buf_done(&bytes);
}

/* A host whose processes can all be seen; one of them has GPU 0 open. */
static void put_processes(struct place *p, bool holder)
{
	char *dev = in(p, "dev/nvidia0"), *fd = in(p, "proc/4711/fd/3");

	put(p, "proc/2/comm", SV("kthreadd\n"));
	put(p, "proc/4711/comm", SV("python3\n"));
	put(p, "proc/4711/stat", SV("4711 (python3) S 1 1\n"));
	put(p, "proc/4711/fd/x", SV(""));
	if (holder)
		assert_int_equal(symlink(dev, fd), 0);
	mem_free(dev);
	mem_free(fd);
}

/* ---- running a command ---- */

static int redirect(const char *path, int fd)
{
	int to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), saved = dup(fd);

	assert_true(to >= 0 && saved >= 0 && dup2(to, fd) == fd);
	close(to);
	return saved;
}

static void call(struct place *p, int (*command)(int argc, char **argv), char **argv, int argc)
{
	char *path = in(p, "said");
	int out, err;

	fflush(NULL);
	(void)unlink(path);
	out = redirect(path, STDOUT_FILENO);
	err = redirect(path, STDERR_FILENO);
	p->code = command(argc, argv);
	fflush(NULL);
	assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
	close(out);
	close(err);
	buf_clear(&p->said);
	assert_int_equal(fsx_read(path, 1 << 20, &p->said), 0);
	mem_free(path);
}

enum { ALL_FOLDERS = 1, GPUS = 2 };
/* `args` end with NULL; `flags`: which folders the command is told as well. */
static int run(struct place *p, int (*command)(int argc, char **argv), const char *name,
	       const char *const *args, unsigned flags)
{
	const char *const more[] = { "--kubelet-plugins-directory-path",
				     p->plugins,
				     "--kubelet-registrar-directory-path",
				     p->registry,
				     "--cdi-root",
				     p->cdi,
				     "--run-directory",
				     p->run,
				     "--dev-root",
				     p->node->dev,
				     "--proc-root",
				     p->node->proc,
				     "--sys-root",
				     p->node->sys,
				     "--container-driver-root",
				     p->node->root,
				     "--worker-path",
				     TEST_BINARY_DIR "/bin/tundra-worker" };
	size_t n = flags & GPUS ? ARRAY_LEN(more) : flags & ALL_FOLDERS ? 6 : 2;
	char *argv[ARGS_MAX] = { (char *)(uintptr_t)name };
	int argc = 1;

	for (; *args; args++)
		argv[argc++] = (char *)(uintptr_t)*args;
	for (size_t i = 0; i < n; i++)
		argv[argc++] = (char *)(uintptr_t)more[i];
	call(p, command, argv, argc);
	return p->code;
}

static int claims(struct place *p, const char *output)
{
	const char *const args[] = { "-o", output, NULL };

	return run(p, cmd_claims, "claims", args, 0);
}

static int export(struct place *p)
{
	const char *const args[] = { "--upstream", NULL };

	return run(p, cmd_export, "export", args, ALL_FOLDERS);
}

static int unprepare(struct place *p, const char *a, const char *b, const char *c)
{
	const char *const args[] = { a, b, c, NULL };

	return run(p, cmd_unprepare, "unprepare", args, GPUS);
}

static void expect_said(struct place *p, const char *words)
{
	if (!strstr(buf_cstr(&p->said), words))
		fail_msg("\"%s\" lacks \"%s\"", buf_cstr(&p->said), words);
}

static void expect_code(struct place *p, int code)
{
	if (p->code != code)
		fail_msg("exit code %d: %s", p->code, buf_cstr(&p->said));
}

/* ---- claims ---- */

static void claims_are_listed(void **state)
{
	struct place *p = *state;

	assert_int_equal(claims(p, "table"), 1);
	expect_said(p, p->ledger);
	put_two(p);
	damage(p, "GPU-b");
	claims(p, "table");
	expect_code(p, 0);
	expect_said(p, "uid-a");
	expect_said(p, "default/train");
	expect_said(p, "gpu-0");
	expect_said(p, "uid-b                                  (its record is damaged");
	claims(p, "json");
	expect_code(p, 0);
	expect_said(p, "\"uid\":\"uid-a\",\"namespace\":\"default\",\"name\":\"train\"");
	expect_said(p, "\"damaged\":[\"uid-b\"]");
}

/* Who asks for JSON and gets half of it on a full disk must be told. */
static void an_answer_that_cannot_be_written(void **state)
{
	static const char *const outputs[] = { "json", "table" };
	struct place *p = *state;
	char command[600];

	put_two(p);
	for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
		snprintf(command, sizeof(command),
			 "%s/bin/tundra claims -o %s --kubelet-plugins-directory-path %s "
			 "2>&1 >/dev/full | grep -q 'cannot write the answer: No space'",
			 TEST_BINARY_DIR, outputs[i], p->plugins);
		assert_int_equal(system(command), 0);
	}
}

static void no_claims(void **state)
{
	struct ledger_file *f;
	struct place *p = *state;
	struct err e = { "" };

	assert_true(fsx_mkdirs(p->folder, 0750) >= 0);
	assert_int_equal(ledger_file_open(p->ledger, p->boot_id, NULL, &f, &e), 0);
	claims(p, "table"); /* while another has the lock */
	expect_code(p, 0);
	expect_said(p, "no claim is prepared");
	ledger_file_free(&f);
}

/* ---- export ---- */

static void expect_exported(struct place *p)
{
	const struct checkpoint_conf conf = { .driver = DRIVER,
					      .pool = "node-1",
					      .boot_id = p->boot_id };
	struct checkpoint *c;
	struct buf text;
	struct err e = { "" };

	buf_init(&text, 1 << 20);
	assert_int_equal(fsx_read(p->checkpoint, 1 << 20, &text), 0);
	assert_int_equal(checkpoint_decode(buf_sv(&text), &conf, &c, &e), 0);
	assert_false(c->stale);
	assert_int_equal(c->claims_n, 2);
	assert_string_equal(c->claims[0]->uid, "uid-a");
	assert_string_equal(c->claims[0]->devices[0].identity, p->uuid);
	checkpoint_free(&c);
	buf_done(&text);
}

static void what_is_prepared_goes_back(void **state)
{
	struct place *p = *state;

	put_two(p);
	export(p);
	expect_code(p, 0);
	expect_said(p, "exported claim uid-a default/train: gpu-0");
	expect_exported(p);
	assert_false(fsx_exists(p->ledger));
	assert_true(there(p, "plugins/" DRIVER "/ledger.exported"));
	assert_true(there(p, "cdi/k8s." DRIVER "-claim_uid-a.yaml"));
	assert_int_equal(export(p), 1);
	expect_said(p, "nothing to export");
}

/* The CDI folder went with the reboot: that driver has to prepare it, not to believe it. */
static void a_claim_of_an_earlier_boot(void **state)
{
	struct place *p = *state;
	char *now = mem_strdup(p->boot_id);

	put_two(p);
	sv_copy(p->boot_id, sizeof(p->boot_id), SV("before"));
	put_claim(p, "uid-c", "gpu-2", "GPU-c"); /* prepared again since */
	put_claim(p, "uid-d", "gpu-3", "GPU-d");
	sv_copy(p->boot_id, sizeof(p->boot_id), sv_str(now));
	assert_int_equal(unlink(node_path(p->node, "cdi/k8s." DRIVER "-claim_uid-d.yaml")), 0);
	export(p);
	expect_code(p, 0);
	expect_said(p, "left out claim uid-d");
	expect_said(p, "exported claim uid-c");
	expect_said(p, "(3 claims)");
	mem_free(now);
}

/* Killed between record and spec: that driver must not take it for prepared, it has no file. */
static void a_prepare_that_was_cut_short(void **state)
{
	struct place *p = *state;

	put_two(p);
	assert_int_equal(unlink(node_path(p->node, "cdi/k8s." DRIVER "-claim_uid-b.yaml")), 0);
	export(p);
	expect_code(p, 0);
	expect_said(p, "left out claim uid-b: it has no CDI spec");
	expect_said(p, "exported claim uid-a");
	expect_said(p, "(1 claims)");
}

/* /var/run of a host that is mounted at /host leads to the container's own /run. */
static void the_cdi_folder_is_another_one(void **state)
{
	struct place *p = *state;
	char *right = p->cdi;

	put_two(p);
	put_processes(p, false);
	p->cdi = in(p, "elsewhere");
	export(p);
	expect_code(p, 1);
	expect_said(p, "is --cdi-root right?");
	assert_int_equal(records(p), 2);
	assert_false(fsx_exists(p->checkpoint));
	unprepare(p, "--all", NULL, NULL);
	expect_code(p, 1);
	expect_said(p, "is --cdi-root right?");
	assert_int_equal(records(p), 2);
	unprepare(p, "--all", "--force", NULL);
	expect_code(p, 0);
	assert_false(fsx_exists(p->ledger));
	mem_free(p->cdi);
	p->cdi = right;
}

static void an_export_that_was_cut_short(void **state)
{
	struct place *p = *state;

	put_two(p);
	export(p);
	assert_int_equal(
	    rename(node_path(p->node, "plugins/" DRIVER "/ledger.exported"), p->ledger),
	    0); /* the file was written, the ledger not yet set aside */
	export(p);
	expect_code(p, 0);
	expect_exported(p);
	assert_false(fsx_exists(p->ledger));
}

static void no_export_over_claims_of_that_driver(void **state)
{
	/* Prepared ones, and one that was only begun: its pod is about to ask for it again. */
	static const char *const files[] = { "no_boot", "begun" };
	struct place *p = *state;

	put_two(p);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *from _mem_free_ =
		    mem_printf("%s/fuzz/corpus/checkpoint/%s", TEST_SOURCE_DIR, files[i]);

		assert_int_equal(fsx_copy(from, p->checkpoint, 0600), 0);
		assert_int_equal(export(p), 1);
		expect_said(p, "holds claims");
		assert_int_equal(records(p), 2);
	}
}

static void no_export_of_what_is_not_known(void **state)
{
	struct place *p = *state;

	put_two(p);
	damage(p, "GPU-b");
	assert_int_equal(export(p), 1);
	expect_said(p, "uid-b");
	expect_said(p, "damaged");
	assert_false(fsx_exists(p->checkpoint));
	assert_int_equal(records(p), 2);
}

static void no_export_of_other_devices(void **state)
{
	struct place *p = *state;

	put_claim(p, "uid-a", "gpu-0-mig-1g10gb-19-0", p->uuid);
	assert_int_equal(export(p), 1);
	expect_said(p, "only full GPUs");
	assert_false(fsx_exists(p->checkpoint));
}

/* ---- while a driver runs ---- */

static void nothing_while_a_driver_listens(void **state)
{
	static const char *const sockets[] = { "plugins/" DRIVER "/dra-pod-1.sock",
					       "registry/" DRIVER "-reg.sock" };
	struct place *p = *state;
	struct err e = { "" };

	put_two(p);
	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		char *path = in(p, sockets[i]);

		assert_int_equal(sock_listen_unix(&p->listener, path, 0600, &e), 0);
		assert_int_equal(export(p), 1);
		expect_said(p, path);
		assert_int_equal(unprepare(p, "--all", "--force", NULL), 1);
		expect_said(p, path);
		sock_listener_done(&p->listener);
		assert_int_equal(records(p), 2);
		mem_free(path);
	}
}

static void nothing_while_a_driver_has_the_lock(void **state)
{
	struct place *p = *state;
	struct ledger_file *f;
	struct err e = { "" };

	put_two(p);
	assert_int_equal(ledger_file_open(p->ledger, p->boot_id, NULL, &f, &e), 0);
	assert_int_equal(export(p), 1);
	expect_said(p, "ledger.lock");
	assert_int_equal(unprepare(p, "--all", "--force", NULL), 1);
	expect_said(p, "ledger.lock");
	ledger_file_free(&f);
	assert_int_equal(records(p), 2);
}

/* ---- unprepare ---- */

static void wrong_usage(void **state)
{
	struct place *p = *state;

	assert_int_equal(unprepare(p, NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(unprepare(p, "--all", "--claim=uid-a", NULL), EXIT_USAGE);
	assert_int_equal(unprepare(p, "uid-a", NULL, NULL), EXIT_USAGE);
	assert_int_equal(run(p, cmd_export, "export", (const char *const[]){ NULL }, ALL_FOLDERS),
			 EXIT_USAGE);
}

static void not_while_a_process_has_a_gpu(void **state)
{
	struct place *p = *state;

	put_claim(p, "uid-a", "gpu-0", p->uuid);
	put_processes(p, true);
	assert_int_equal(unprepare(p, "--all", NULL, NULL), 1);
	expect_said(p, "4711 (python3)");
	expect_said(p, "--force");
	assert_int_equal(unprepare(p, "--claim=uid-a", NULL, NULL), 1);
	expect_said(p, "4711 (python3)");
	assert_int_equal(records(p), 1);
	assert_true(there(p, "cdi/k8s." DRIVER "-claim_uid-a.yaml"));
	unprepare(p, "--all", "--force", NULL);
	expect_code(p, 0);
	assert_false(fsx_exists(p->folder));
}

static void not_when_nobody_can_tell(void **state)
{
	struct place *p = *state;

	put_two(p); /* the GPU of uid-b is not on this node */
	put_processes(p, false);
	assert_int_equal(unprepare(p, "--all", NULL, NULL), 1);
	expect_said(p, "cannot be told");
	unprepare(p, "--claim=uid-a", NULL, NULL);
	expect_code(p, 0);
	expect_said(p, "unprepared claim uid-a default/train: gpu-0");
	assert_int_equal(records(p), 1);
	assert_false(there(p, "cdi/k8s." DRIVER "-claim_uid-a.yaml"));
	assert_true(there(p, "cdi/k8s." DRIVER "-claim_uid-b.yaml"));
	assert_int_equal(unprepare(p, "--claim=uid-a", NULL, NULL), 1);
	expect_said(p, "no claim uid-a");
}

/* The vendor's driver went first: then no process can have a GPU. */
static void without_a_driver_in_the_kernel(void **state)
{
	struct place *p = *state;

	put_two(p);
	node_do(p->node, "unload");
	put(p, "proc/devices", SV("Character devices:\n  1 mem\n"));
	unprepare(p, "--all", NULL, NULL);
	expect_code(p, 0);
	assert_false(fsx_exists(p->folder));
}

static void nothing_is_left(void **state)
{
	struct place *p = *state;
	struct err e = { "" };
	char *path;

	put_claim(p, "uid-a", "gpu-0", p->uuid);
	put_claim(p, "uid-b", "gpu-0", p->uuid);
	damage(p, "\"since\"");
	put_processes(p, false);
	put(p, "plugins/" DRIVER "/tundra-cdi-hook", SV("x"));
	put(p, "plugins/" DRIVER "/ledger.handover", SV("x"));
	put(p, "plugins/" DRIVER "/checkpoint.json.taken-over", SV("x"));
	put(p, "plugins/" DRIVER "/.0123456789abcdef.tmp", SV("x"));
	put(p, "plugins/other.example.com/ledger", SV("x"));
	put(p, "registry/other.example.com-reg.sock", SV("x"));
	put(p, "run/tundra/status.sock", SV("x"));
	put(p, "run/tundra/state.json", SV("{}"));
	put(p, "cdi/.0123456789abcdef.tmp", SV("{"));
	put(p, "plugins/" DRIVER "/.ra-gone.sock", SV("x")); /* killed between bind and listen */
	put(p, "registry/.pu.nvidia.com-gone-reg.sock", SV("x"));
	put(p, "cdi/k8s." DRIVER "-claim_orphan.yaml", SV("{}"));
	put(p, "cdi/k8s.other.example.com-claim_x.yaml", SV("{}"));
	path = in(p, "registry/" DRIVER "-pod-reg.sock"); /* of one that was killed */
	assert_int_equal(sock_listen_unix(&p->listener, path, 0600, &e), 0);
	sock_close(&p->listener.fd);
	unprepare(p, "--all", NULL, NULL);
	expect_code(p, 0);
	expect_said(p, "unprepared claim uid-a");
	expect_said(p, path);
	assert_false(fsx_exists(path));
	assert_false(fsx_exists(p->folder));
	assert_false(fsx_exists(p->run));
	assert_true(there(p, "plugins/other.example.com/ledger"));
	assert_true(there(p, "registry/other.example.com-reg.sock"));
	assert_false(there(p, "registry/.pu.nvidia.com-gone-reg.sock"));
	assert_false(there(p, "cdi/.0123456789abcdef.tmp"));
	assert_true(there(p, "cdi/k8s.other.example.com-claim_x.yaml"));
	assert_false(there(p, "cdi/k8s." DRIVER "-claim_orphan.yaml"));
	assert_false(there(p, "cdi/k8s." DRIVER "-claim_uid-a.yaml"));
	unprepare(p, "--all", NULL, NULL);
	expect_code(p, 0);
	expect_said(p, "no claim was prepared");
	mem_free(path);
}

static void what_is_not_ours_stays(void **state)
{
	struct place *p = *state;

	put_claim(p, "uid-a", "gpu-0", p->uuid);
	put_processes(p, false);
	put(p, "plugins/" DRIVER "/checkpoint.json", SV("{}"));
	put(p, "plugins/" DRIVER "/nvidia-cdi-hook", SV("x"));
	put(p, "cdi/k8s." DRIVER "-claim_theirs.yaml", SV("{}"));
	unprepare(p, "--all", NULL, NULL);
	expect_code(p, 0);
	expect_said(p, "not ours: checkpoint.json, nvidia-cdi-hook");
	expect_said(p, "left the CDI specs");
	assert_true(there(p, "plugins/" DRIVER "/nvidia-cdi-hook"));
	assert_true(there(p, "cdi/k8s." DRIVER "-claim_theirs.yaml"));
	assert_false(there(p, "cdi/k8s." DRIVER "-claim_uid-a.yaml"));
	assert_false(fsx_exists(p->ledger));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(claims_are_listed),
		TEST(an_answer_that_cannot_be_written),
		TEST(no_claims),
		TEST(what_is_prepared_goes_back),
		TEST(a_claim_of_an_earlier_boot),
		TEST(a_prepare_that_was_cut_short),
		TEST(the_cdi_folder_is_another_one),
		TEST(an_export_that_was_cut_short),
		TEST(no_export_over_claims_of_that_driver),
		TEST(no_export_of_what_is_not_known),
		TEST(no_export_of_other_devices),
		TEST(nothing_while_a_driver_listens),
		TEST(nothing_while_a_driver_has_the_lock),
		TEST(wrong_usage),
		TEST(not_while_a_process_has_a_gpu),
		TEST(not_when_nobody_can_tell),
		TEST(without_a_driver_in_the_kernel),
		TEST(nothing_is_left),
		TEST(what_is_not_ours_stays),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
