#include "k8s/registration.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/backoff.h"
#include "core/fswatch.h"
#include "core/log.h"
#include "core/mem.h"
#include "third_party/kubelet/registration.pb-c.h"
#include "transport/grpc_server.h"

/*
 * An old kubelet does not try a refused plugin again; a socket made anew is a fresh attempt. Slow,
 * since a newer one tries by itself, with a backoff of its own up to 2 minutes.
 */
#define REFUSED_FIRST_MS 30000u
#define REFUSED_CAP_MS	 300000u
/* The folder is gone (the kubelet is being reinstalled): it comes back with the kubelet. */
#define RELISTEN_MS 200u
#define MESSAGE_MAX 4096

struct registration {
	struct loop *loop;
	struct registration_conf conf;
	char *driver, *endpoint, *socket, *folder, *name;
	struct grpc_server *server;
	struct grpc_service service;
	struct fswatch *watch;
	struct loop_timer retry;
	struct backoff backoff;
	enum registration_state state;
	uint64_t confirmed_ms;
	struct err reason;
};

static void set_state(struct registration *r, enum registration_state s)
{
	r->state = s;
	r->conf.on_state(r->conf.arg, s);
}

/* ---- service ---- */

static const char *const versions[] = { "v1.DRAPlugin", "v1beta1.DRAPlugin" };

static void on_get_info(void *ctx, struct grpc_call *call, struct sv message)
{
	struct registration *r = ctx;
	Pluginregistration__PluginInfo m = PLUGINREGISTRATION__PLUGIN_INFO__INIT;
	char type[] = "DRAPlugin", *supported[ARRAY_LEN(versions)];
	uint8_t out[MESSAGE_MAX];

	(void)message;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		supported[i] = (char *)(uintptr_t)versions[i];
	m.type = type;
	m.name = r->driver;
	m.endpoint = r->endpoint;
	m.n_supported_versions = ARRAY_LEN(versions);
	m.supported_versions = supported;
	must(pluginregistration__plugin_info__get_packed_size(&m) <= sizeof(out));
	grpc_call_reply(call, sv_make(out, pluginregistration__plugin_info__pack(&m, out)));
}

static void refused(struct registration *r, const char *text)
{
	err_set(&r->reason, 0, "the kubelet refused the registration: %s", text);
	log_error("registration refused by the kubelet", LOG_S("driver", r->driver),
		  LOG_S("error", text));
	loop_timer_set(&r->retry, backoff_next(&r->backoff, r->loop));
	set_state(r, REGISTRATION_REFUSED);
}

static void on_notify(void *ctx, struct grpc_call *call, struct sv message)
{
	struct registration *r = ctx;
	Pluginregistration__RegistrationStatus *m = pluginregistration__registration_status__unpack(
	    NULL, message.n, (const uint8_t *)message.p);

	if (!m) {
		grpc_call_fail(call, GRPC_INVALID_ARGUMENT, "NotifyRegistrationStatus: no message");
		return;
	}
	grpc_call_reply(call, SV_NONE);
	if (!m->plugin_registered) {
		refused(r, m->error ? m->error : "without a reason");
	} else {
		loop_timer_stop(&r->retry);
		backoff_reset(&r->backoff);
		r->confirmed_ms = loop_now_ms(r->loop);
		log_info("registered by the kubelet", LOG_S("driver", r->driver));
		set_state(r, REGISTRATION_DONE);
	}
	pluginregistration__registration_status__free_unpacked(m, NULL);
}

static const struct grpc_method methods[] = {
	{ "/pluginregistration.Registration/GetInfo", false, on_get_info },
	{ "/pluginregistration.Registration/NotifyRegistrationStatus", false, on_notify },
};

/* ---- the socket ---- */

static int listen_anew(struct registration *r, struct err *e)
{
	grpc_server_free(&r->server);
	r->server = grpc_server_new(r->loop, &grpc_limits_default);
	grpc_server_add(r->server, &r->service);
	return grpc_server_listen_unix(r->server, r->socket, 0600, e);
}

static void on_retry(void *arg)
{
	struct registration *r = arg;
	struct err e = { 0 };

	if (listen_anew(r, &e) >= 0)
		return;
	/* Without the folder there is no kubelet to talk to; the watch tells when it is back. */
	err_set(&r->reason, 0, "%s", err_text(&e));
	log_warn("registration socket cannot be made", LOG_S("error", err_text(&e)));
	loop_timer_set(&r->retry, backoff_next(&r->backoff, r->loop));
}

static bool socket_there(const struct registration *r)
{
	struct stat st;

	return !lstat(r->socket, &st) && S_ISSOCK(st.st_mode);
}

static void on_folder(void *arg, const char *name)
{
	struct registration *r = arg;

	if (name && !sv_eqs(sv_str(name), r->name))
		return;
	if (socket_there(r))
		return;
	log_warn("registration socket vanished, made anew", LOG_S("socket", r->socket));
	err_set(&r->reason, 0, "the kubelet has not registered the driver yet");
	set_state(r, REGISTRATION_WAITING);
	loop_timer_set(&r->retry, RELISTEN_MS);
}

/* ---- public ---- */

int registration_new(struct loop *l, const struct registration_conf *conf,
		     struct registration **out, struct err *e)
{
	struct registration *r = MEM_NEW(struct registration);
	const char *slash = strrchr(conf->socket, '/');
	int code;

	must(slash);
	r->loop = l;
	r->conf = *conf;
	r->driver = mem_strdup(conf->driver);
	r->endpoint = mem_strdup(conf->endpoint);
	r->socket = mem_strdup(conf->socket);
	r->folder = mem_strndup(conf->socket, (size_t)(slash - conf->socket));
	r->name = mem_strdup(slash + 1);
	r->service = (struct grpc_service){ methods, ARRAY_LEN(methods), r };
	backoff_init(&r->backoff, REFUSED_FIRST_MS, REFUSED_CAP_MS);
	loop_timer_init(&r->retry, l, on_retry, r);
	err_set(&r->reason, 0, "the kubelet has not registered the driver yet");
	code = listen_anew(r, e);
	if (!code) {
		code = fswatch_new(l, r->folder, on_folder, r, &r->watch);
		if (code < 0)
			code = err_sys(e, code, "cannot watch %s", r->folder);
	}
	if (code < 0) {
		registration_free(&r);
		return code;
	}
	*out = r;
	return 0;
}

void registration_free(struct registration **rp)
{
	struct registration *r = *rp;

	if (!r)
		return;
	fswatch_free(&r->watch); /* first: our own removal of the socket is no news */
	loop_timer_stop(&r->retry);
	grpc_server_free(&r->server);
	mem_free(r->driver);
	mem_free(r->endpoint);
	mem_free(r->socket);
	mem_free(r->folder);
	mem_free(r->name);
	mem_free(r);
	*rp = NULL;
}

enum registration_state registration_state(const struct registration *r)
{
	return r->state;
}

const char *registration_reason(const struct registration *r)
{
	return r->state == REGISTRATION_DONE ? "" : err_text(&r->reason);
}

uint64_t registration_confirmed_ms(const struct registration *r)
{
	return r->confirmed_ms;
}
