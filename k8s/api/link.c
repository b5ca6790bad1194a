#include "k8s/api/link.h"

#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/version.h"
#include "k8s/api/answer.h"
#include "transport/h2_client.h"
#include "transport/tls.h"

enum { BURST = 10 }; /* as client-go, when only kube-api-qps is given */

uint64_t link_pace_ms(struct link *k)
{
	double now = (double)loop_now_ms(k->loop), start;

	if (k->interval_ms <= 0)
		return 0;
	start = MAX(k->next_ms, now - k->allowance_ms);
	k->next_ms = start + k->interval_ms;
	return start > now ? (uint64_t)(start - now) + 1 : 0;
}

void link_warn(struct link *k, struct sv header)
{
	char text[256];
	uint64_t hash;

	if (!answer_warning(header, text, sizeof(text)))
		return;
	hash = map_hash(sv_str(text));
	for (unsigned i = 0; i < MIN(k->warned_n, LINK_WARNINGS_MAX); i++)
		if (k->warned[i] == hash)
			return;
	/* A ring; the count stays between one and two rounds once it is full. */
	k->warned[k->warned_n++ % LINK_WARNINGS_MAX] = hash;
	if (k->warned_n == 2 * LINK_WARNINGS_MAX)
		k->warned_n = LINK_WARNINGS_MAX;
	log_warn("api server warns", LOG_S("warning", text));
}

/* A new certificate of ours or a new CA: the next handshakes use it. */
static bool reload_tls(struct link *k)
{
	struct err e = { "" };
	unsigned held;
	int r;

	if (!k->tls)
		return false;
	r = tls_client_reload(k->tls, &e);
	if (r < 0 && quiet_pass(&k->quiet, SV("tls"), loop_now_ms(k->loop), &held))
		log_warn("api server credentials cannot be read, the old ones are kept",
			 LOG_S("error", e.text));
	k->certificate += r > 0;
	return r > 0;
}

bool link_refused(struct link *k, uint64_t token, uint64_t certificate)
{
	if (identity_refused(&k->identity, token) || certificate != k->certificate)
		return true;
	if (!k->config->cert_file || !reload_tls(k))
		return false;
	h2_client_renew(k->h2);
	return true;
}

static void link_on_state(void *arg, enum h2_client_state s)
{
	struct link *k = arg;
	const char *told = h2_client_stats(k->h2)->last_error;
	const char *why = *told ? told : "the server ends new connections at once";
	unsigned held;

	/* Before the next handshake; what failed may have failed because of it. */
	if (s != H2_CLIENT_UP)
		(void)reload_tls(k);
	if (s == H2_CLIENT_WAITING &&
	    quiet_pass(&k->quiet, sv_str(why), loop_now_ms(k->loop), &held)) {
		k->troubled = true;
		log_warn("api server is not reachable", LOG_S("error", why), LOG_I("held", held));
	}
	if (s == H2_CLIENT_UP && k->troubled) {
		k->troubled = false;
		log_info("api server is reachable again");
	}
}

static int make_tls(struct link *k, struct err *e)
{
	const struct api_config *c = k->config;
	struct tls_material m = {
		.ca_file = c->ca_file,
		.cert_file = c->cert_file,
		.key_file = c->key_file,
		.ca_pem = sv_str(c->ca_pem),
		.cert_pem = sv_str(c->cert_pem),
		.key_pem = sv_str(c->key_pem),
	};

	if (!c->tls)
		return 0;
	return tls_client_new(&m, c->server_name, c->insecure_skip_verify, &k->tls, e);
}

static void make_connection(struct link *k)
{
	struct h2_client_conf conf = {
		.host = k->config->host,
		.port = k->config->port,
		.unix_path = k->config->unix_path,
		.tls = k->tls,
	};

	k->h2 = h2_client_new(k->loop, &conf);
	h2_client_on_state(k->h2, link_on_state, k);
}

int link_new(struct loop *l, const struct api_conf *conf, struct link **out, struct err *e)
{
	struct link *k = MEM_NEW(struct link);
	int r;

	k->loop = l;
	k->config = api_config_copy(conf->config);
	k->user_agent = conf->user_agent ? mem_strdup(conf->user_agent)
					 : mem_printf("tundra/%s", version_string());
	identity_init(&k->identity, l, k->config);
	if (conf->qps > 0) {
		k->interval_ms = 1000.0 / conf->qps;
		k->allowance_ms = k->interval_ms * ((conf->burst ? conf->burst : BURST) - 1);
		k->next_ms = (double)loop_now_ms(l) - k->allowance_ms;
	}
	r = make_tls(k, e);
	if (r < 0)
		link_free(&k);
	else
		make_connection(k);
	*out = k;
	return r;
}

void link_free(struct link **k)
{
	struct link *x = *k;

	if (!x)
		return;
	*k = NULL;
	h2_client_free(&x->h2);
	tls_client_free(&x->tls);
	identity_done(&x->identity);
	mem_free(x->user_agent);
	api_config_free(&x->config);
	mem_free(x);
}
