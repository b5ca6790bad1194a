#pragma once
/*
 * The little of a kubelet without which a driver publishes nothing: its registration. GetInfo, then
 * NotifyRegistrationStatus(true), as soon as the driver's registration socket answers; tried again
 * until it has worked.
 */
#include "core/loop.h"

struct registrar;
struct registrar *registrar_new(struct loop *l, const char *socket);
void registrar_free(struct registrar **r);
