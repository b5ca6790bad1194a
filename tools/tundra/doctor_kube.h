#pragma once
/* Blocking use of the API client, for commands: make calls, then wait for all of them. */
#include "k8s/api/client.h"
#include "tools/tundra/doctor.h"

struct kube {
	struct loop *loop;
	struct api *api;
	struct doctor_finding *f;
	uint32_t timeout_ms; /* of one call: below the check's own limit */
	size_t open;	     /* calls */
};
/* Lives until kube_wait() returned. */
struct kube_call {
	struct kube *kube;
	api_fn fn;
	void *arg;
};

/* Negative: f says why there is no client; nothing to close. */
int kube_open(const struct doctor *d, struct kube *k, struct doctor_finding *f) NODISCARD;
void kube_close(struct kube *k);
/* Begins a call; its fn is c->fn, within kube_wait(). Deadline and callback of `r` are set here. */
void kube_call(struct kube *k, struct kube_call *c, struct api_request *r);
void kube_wait(struct kube *k); /* until all calls have their answers */
