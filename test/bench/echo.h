#pragma once
/*
 * The floor of talking to another process: a byte there and back over a socketpair. A prepare does
 * it twice (kubelet and driver, driver and disk worker); waking a processor that sleeps is most of
 * it.
 */
#include <sys/types.h>

#include "core/err.h"

struct echo {
	pid_t pid;
	int fd;
};
int echo_start(struct echo *x, struct err *e) NODISCARD;
void echo_done(struct echo *x);
int echo_once(const struct echo *x, struct err *e) NODISCARD; /* blocks until the byte is back */
