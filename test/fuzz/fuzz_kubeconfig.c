/* A kubeconfig is refused with a reason, or gives a configuration that can be used as it is. */
#include "k8s/api/config.h"
#include "test/fuzz/fuzz.h"

static void check(const struct api_config *c)
{
	must(c->host && *c->host && c->port && c->prefix && c->source);
	must(!c->tls || (c->server_name && *c->server_name));
	must(!(c->ca_file && c->ca_pem) && !(c->token && c->token_file));
	must((c->cert_file != NULL) == (c->key_file != NULL));
	must((c->cert_pem != NULL) == (c->key_pem != NULL));
	must(!c->token || !strpbrk(c->token, "\r\n "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_config *c = NULL, *copy;
	struct err e = { "" };

	if (api_config_text(sv_make(data, size), "/folder", NULL, &c, &e) < 0) {
		must(!c && e.text[0]);
		return 0;
	}
	check(c);
	copy = api_config_copy(c);
	api_config_free(&c);
	check(copy);
	api_config_free(&copy);
	return 0;
}
