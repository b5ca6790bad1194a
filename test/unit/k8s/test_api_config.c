#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/api/config.h"

#define CLUSTER                                                                                    \
	"current-context: c\n"                                                                     \
	"contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]\n"                 \
	"clusters:\n- name: k\n  cluster:\n    server: https://api.example:6443/prefix/\n"
#define USER "users:\n- name: u\n  user:\n"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strncpy(folder, "/tmp/tundra-config-XXXXXX", sizeof(folder) - 1);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(void *arg, const char *name)
{
	char *path = mem_printf("%s/%s", (const char *)arg, name);
	int r = fsx_remove(path);

	mem_free(path);
	return r;
}

static int remove_folder(void **state)
{
	(void)state;
	assert_int_equal(fsx_list(folder, remove_entry, folder), 0);
	return rmdir(folder);
}

static char *put_file(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);

	assert_int_equal(fsx_replace(path, sv_str(text), 0600, 0), 0);
	return path;
}

static struct api_config *must_read(const char *text)
{
	struct api_config *c = NULL;
	struct err e = { "" };

	if (api_config_text(sv_str(text), "/etc/kube", NULL, &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static void refuse(const char *text, int code, const char *why)
{
	struct api_config *c = NULL;
	struct err e = { "" };
	int r = api_config_text(sv_str(text), "/etc/kube", NULL, &c, &e);

	if (r != code || !strstr(e.text, why))
		fail_msg("expected %d \"%s\", got %d \"%s\"", code, why, r, e.text);
	assert_null(c);
}

static void test_token(void **state)
{
	struct api_config *c = must_read(CLUSTER USER "    token: abc\n");

	(void)state;
	assert_string_equal(c->host, "api.example");
	assert_int_equal(c->port, 6443);
	assert_string_equal(c->prefix, "/prefix");
	assert_string_equal(c->server_name, "api.example");
	assert_string_equal(c->ns, "team");
	assert_string_equal(c->token, "abc");
	assert_true(c->tls);
	assert_false(c->insecure_skip_verify);
	api_config_free(&c);
	assert_null(c);
	api_config_free(&c);
}

static void test_files_are_relative_to_the_kubeconfig(void **state)
{
	struct api_config *c = must_read(CLUSTER "    certificate-authority: pki/ca.crt\n"
						 "    tls-server-name: kubernetes\n" USER
						 "    client-certificate: me.crt\n"
						 "    client-key: /abs/me.key\n"
						 "    tokenFile: token\n");
	struct api_config *copy = api_config_copy(c);

	(void)state;
	api_config_free(&c);
	assert_string_equal(copy->ca_file, "/etc/kube/pki/ca.crt");
	assert_string_equal(copy->cert_file, "/etc/kube/me.crt");
	assert_string_equal(copy->key_file, "/abs/me.key");
	assert_string_equal(copy->token_file, "/etc/kube/token");
	assert_string_equal(copy->server_name, "kubernetes");
	api_config_free(&copy);
}

static void test_inline_data_wins(void **state)
{
	struct api_config *c = must_read(CLUSTER "    certificate-authority: ca.crt\n"
						 "    certificate-authority-data: Q0E=\n" USER
						 "    client-certificate: a\n"
						 "    client-certificate-data: Q0VSVA==\n"
						 "    client-key: b\n"
						 "    client-key-data: S0VZ\n"
						 "    token: t\n    tokenFile: f\n");

	(void)state;
	assert_string_equal(c->ca_pem, "CA");
	assert_null(c->ca_file);
	assert_string_equal(c->cert_pem, "CERT");
	assert_null(c->cert_file);
	assert_string_equal(c->key_pem, "KEY");
	assert_null(c->key_file);
	assert_string_equal(c->token_file, "/etc/kube/f");
	assert_null(c->token);
	api_config_free(&c);
}

static void test_json_and_other_context(void **state)
{
	static const char text[] =
	    "{\"current-context\":\"a\",\"contexts\":["
	    "{\"name\":\"a\",\"context\":{\"cluster\":\"missing\"}},"
	    "{\"name\":\"b\",\"context\":{\"cluster\":\"k\"}}],"
	    "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"http://[fd00::1]:8080\"}}]}";
	struct api_config *c = NULL;
	struct err e = { "" };

	(void)state;
	assert_int_equal(api_config_text(sv_str(text), "", "b", &c, &e), 0);
	assert_string_equal(c->host, "fd00::1");
	assert_int_equal(c->port, 8080);
	assert_false(c->tls);
	assert_null(c->server_name);
	assert_null(c->token);
	api_config_free(&c);
	assert_int_equal(api_config_text(sv_str(text), "", NULL, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "missing"));
	assert_int_equal(api_config_text(sv_str(text), "", "z", &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "\"z\""));
}

static void test_refused(void **state)
{
	(void)state;
	refuse(CLUSTER USER "    exec: {command: aws}\n", -ENOTSUP, "\"exec\"");
	refuse(CLUSTER USER "    auth-provider: {name: gcp}\n", -ENOTSUP, "\"auth-provider\"");
	refuse(CLUSTER USER "    username: a\n    password: b\n", -ENOTSUP, "\"username\"");
	refuse(CLUSTER USER "    as: admin\n    token: t\n", -ENOTSUP, "\"as\"");
	refuse(CLUSTER "    proxy-url: http://p\n" USER "    token: t\n", -ENOTSUP, "proxy-url");
	refuse(CLUSTER USER "    client-certificate: a\n", -EINVAL, "without its key");
	refuse(CLUSTER USER "    client-key-data: S0VZ\n", -EINVAL, "without its certificate");
	refuse(CLUSTER USER "    client-certificate: a\n    client-key-data: S0VZ\n", -ENOTSUP,
	       "both be files");
	refuse(CLUSTER USER "    client-key-data: '!'\n", -EINVAL, "base64");
	refuse(CLUSTER USER "    client-key-data: AA==\n", -EINVAL, "base64");
	refuse(CLUSTER USER "    token: 12\n", -EINVAL, "token must be a string");
	refuse(CLUSTER USER "    token: \"a b\"\n", -EINVAL, "white space");
	refuse(CLUSTER "    insecure-skip-tls-verify: \"yes\"\n" USER "    token: t\n", -EINVAL,
	       "true or false");
	refuse(CLUSTER "    insecure-skip-tls-verify: true\n    certificate-authority: x\n" USER
		       "    token: t\n",
	       -EINVAL, "exclude");
	refuse("kind: Config\n", -EINVAL, "current-context");
	refuse("current-context: x\n", -EINVAL, "contexts");
	refuse("[1]", -EINVAL, "kubeconfig");
	refuse("", -EINVAL, "empty");
	refuse("a: {a: 1, a: 2}\n", -EINVAL, "");
	/* A bomb of aliases: ten times ten times ... */
	refuse("a: &a [x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n", -ENOTSUP, "aliases");
}

static void test_servers(void **state)
{
	static const char *const bad[] = { "api.example",   "ftp://x",	    "https://",
					   "https://u@h",   "https://h:0",  "https://h:65536",
					   "https://h:a",   "https://[::1", "https://[::1]x",
					   "https://h/a b", "https://h/?q", "https:///x" };
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(text, sizeof(text),
			       "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
			       "clusters: [{name: k, cluster: {server: \"%s\"}}]\n",
			       bad[i]);
		refuse(text, -EINVAL, "server");
	}
}

static void test_file(void **state)
{
	char *path = put_file("config", CLUSTER USER "    tokenFile: tok\n"), *want;
	struct api_config *c = NULL;
	struct err e = { "" };
	struct buf big;

	(void)state;
	assert_int_equal(api_config_file(path, NULL, &c, &e), 0);
	want = mem_printf("%s/tok", folder);
	assert_string_equal(c->token_file, want);
	assert_string_equal(c->source, path);
	api_config_free(&c);
	mem_free(want);
	mem_free(path);

	assert_int_equal(api_config_file("/nowhere/config", NULL, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere/config"));
	buf_init(&big, 4 << 20);
	while (buf_len(&big) <= API_CONFIG_MAX)
		buf_puts(&big, "# 0123456789012345678901234567890123456789012345678901234567\n");
	path = put_file("big", buf_cstr(&big));
	assert_int_equal(api_config_file(path, NULL, &c, &e), -EFBIG);
	buf_done(&big);
	mem_free(path);
}

/* Every piece of a good file: an error or a configuration, never a crash. */
static void test_every_prefix(void **state)
{
	static const char text[] = CLUSTER "    certificate-authority-data: Q0E=\n" USER
					   "    client-certificate-data: Q0VSVA==\n"
					   "    client-key-data: S0VZ\n    token: \"t\"\n";
	struct api_config *c;
	int r;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		r = api_config_text(sv_make(text, n), "", NULL, &c, NULL);
		assert_int_equal(r == 0, c != NULL);
		api_config_free(&c);
	}
}

static const char *env_host, *env_port;

static const char *fake_env(const char *name)
{
	if (strcmp(name, "KUBERNETES_SERVICE_HOST") == 0)
		return env_host;
	return strcmp(name, "KUBERNETES_SERVICE_PORT") == 0 ? env_port : NULL;
}

static void test_in_cluster(void **state)
{
	struct api_config *c = NULL;
	struct err e = { "" };
	char *token, *ca, *ns;

	(void)state;
	env_host = "[fd00::1]";
	env_port = "443";
	assert_int_equal(api_config_in_cluster(fake_env, folder, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "automountServiceAccountToken"));
	assert_null(c);
	token = put_file("token", "t\n");
	ca = put_file("ca.crt", "ca");
	assert_int_equal(api_config_in_cluster(fake_env, folder, &c, &e), 0);
	assert_string_equal(c->host, "fd00::1");
	assert_string_equal(c->server_name, "fd00::1");
	assert_string_equal(c->token_file, token);
	assert_string_equal(c->ca_file, ca);
	assert_null(c->ns);
	assert_true(c->tls);
	api_config_free(&c);
	ns = put_file("namespace", "tundra-system\n");
	env_host = "10.96.0.1";
	assert_int_equal(api_config_in_cluster(fake_env, folder, &c, &e), 0);
	assert_string_equal(c->host, "10.96.0.1");
	assert_string_equal(c->ns, "tundra-system");
	api_config_free(&c);
	env_port = "https";
	assert_int_equal(api_config_in_cluster(fake_env, folder, &c, &e), -EINVAL);
	env_host = NULL;
	assert_int_equal(api_config_in_cluster(fake_env, folder, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "not in a pod"));
	mem_free(token);
	mem_free(ca);
	mem_free(ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_files_are_relative_to_the_kubeconfig),
		cmocka_unit_test(test_inline_data_wins),
		cmocka_unit_test(test_json_and_other_context),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_servers),
		cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test_setup_teardown(test_in_cluster, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
