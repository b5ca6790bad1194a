#pragma once
/*
 * A bare kubelet: registers the driver (GetInfo, NotifyRegistrationStatus) and calls
 * NodePrepareResources and NodeUnprepareResources, one claim a call, over one connection.
 */
#include "core/err.h"
#include "test/bench/volley.h"

struct bench_claim {
	char uid[40], name[24];
};

struct kubelet;
struct kubelet *kubelet_new(struct loop *l, const char *ns);
void kubelet_free(struct kubelet **k);
/* Confirms the registration. *us: loop_now_us() at the moment when the driver is told. */
int kubelet_register(struct kubelet *k, const char *registrar, uint64_t *us,
		     struct err *e) NODISCARD;
void kubelet_forget(struct kubelet *k); /* the driver ended; its connection with it */

/* Operation i of a volley: claims[i]. The volley's ctx is a struct kubelet_work. */
struct kubelet_work {
	struct kubelet *kubelet;
	const struct bench_claim *claims;
	bool unprepare;
};
void kubelet_start(void *ctx, struct shot *s);
