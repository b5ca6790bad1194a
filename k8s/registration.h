#pragma once
/*
 * pluginregistration v1: tells the kubelet who we are and hears whether it took us. The socket
 * appears in the kubelet's folder only when the service socket listens already; it is made anew
 * when the file or its folder vanished (kubelet restart, an emptied folder) and when the kubelet
 * said no.
 */
#include "core/err.h"
#include "core/loop.h"

struct registration;
enum registration_state { REGISTRATION_WAITING, REGISTRATION_DONE, REGISTRATION_REFUSED };
struct registration_conf {
	const char *driver;
	const char *endpoint; /* service socket, absolute, as the kubelet sees it */
	const char *socket;   /* ours, inside the kubelet's registry folder */
	void (*on_state)(void *arg, enum registration_state s);
	void *arg;
};
/* Makes the socket: listen at `endpoint` before. Negative with a text. */
int registration_new(struct loop *l, const struct registration_conf *conf,
		     struct registration **out, struct err *e) NODISCARD;
void registration_free(struct registration **r); /* removes the socket */
enum registration_state registration_state(const struct registration *r);
const char *registration_reason(
    const struct registration *r); /* the kubelet's words when refused */
uint64_t registration_confirmed_ms(const struct registration *r); /* loop time, 0 = never */
