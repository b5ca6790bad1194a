#include "test/scale/registrar.h"

#include "core/mem.h"
#include "third_party/kubelet/registration.pb-c.h"
#include "transport/grpc_client.h"
#include "transport/h2_client.h"

enum {
	CALL_MS = 60000,
	LOOK_MS = 250, /* the kubelet's plugin manager looks once a second */
};

struct registrar {
	struct loop *loop;
	struct h2_client *driver;
	struct grpc_client_call *call;
	struct loop_timer again;
};

static void on_message(void *arg, struct sv message)
{
	(void)arg;
	(void)message;
}

static void ask(struct registrar *r, const char *method, struct sv message, grpc_end_fn fn)
{
	char *path _mem_free_ = mem_printf("/pluginregistration.Registration/%s", method);

	r->call = grpc_client_call(r->driver, path, message, CALL_MS, on_message, fn, r);
}

static void on_told(void *arg, int code, const char *text)
{
	struct registrar *r = arg;

	(void)text;
	r->call = NULL;
	if (code)
		loop_timer_set(&r->again, LOOK_MS);
}

static void on_info(void *arg, int code, const char *text)
{
	Pluginregistration__RegistrationStatus ok = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
	struct registrar *r = arg;
	uint8_t message[16];

	(void)text;
	r->call = NULL;
	if (code) {
		loop_timer_set(&r->again, LOOK_MS);
		return;
	}
	ok.has_plugin_registered = ok.plugin_registered = 1;
	ask(r, "NotifyRegistrationStatus",
	    sv_make(message, pluginregistration__registration_status__pack(&ok, message)), on_told);
}

static void begin(void *arg)
{
	ask(arg, "GetInfo", SV_NONE, on_info);
}

struct registrar *registrar_new(struct loop *l, const char *socket)
{
	struct registrar *r = MEM_NEW(struct registrar);
	const struct h2_client_conf conf = { .unix_path = socket,
					     .authority = "localhost",
					     .backoff_first_ms = LOOK_MS,
					     .backoff_cap_ms = LOOK_MS };

	r->loop = l;
	r->driver = h2_client_new(l, &conf);
	loop_timer_init(&r->again, l, begin, r);
	begin(r);
	return r;
}

void registrar_free(struct registrar **rp)
{
	struct registrar *r = *rp;

	if (!r)
		return;
	if (r->call)
		grpc_client_cancel(r->call);
	loop_timer_stop(&r->again);
	h2_client_free(&r->driver);
	mem_free(r);
	*rp = NULL;
}
