#pragma once
/*
 * Whole drivers on a lab, a kubelet beside them and a scheduler above: pods run, as far as a driver
 * can tell.
 */
#include "k8s/node.h"
#include "test/lib/kubelet.h"
#include "test/lib/node/lab.h"

struct lab_node {
	struct lab *lab;
	struct lab_disk *disk;
	struct driver *driver;
	struct roots roots;
	char *own[3]; /* of roots, with own_paths */
	char *name, *instance;
	bool drained;
	int in_use; /* what a scan for users of a GPU answers */
};

/* The kubelet and the control plane begin; sync_ms: how soon a failed pod is tried again. */
struct kubelet *lab_kubelet(struct lab *l, uint64_t sync_ms);
/* The same, heard: store, node and registry of `conf` are set here. */
struct kubelet *lab_kubelet_heard(struct lab *l, struct kubelet_conf conf);
/* instance NULL: upstream's socket names. 0 or a negative errno. */
int lab_node_start(struct lab_node *n, struct lab *l, const char *driver, const char *instance,
		   struct err *e) NODISCARD;
/* SIGTERM: drains and ends, by itself or killed; false when it took longer than `ms`. */
bool lab_node_stop(struct lab_node *n, uint64_t ms);
void lab_node_kill(struct lab_node *n);				 /* SIGKILL, its disk worker too */
int lab_node_again(struct lab_node *n, struct err *e) NODISCARD; /* the same, after its end */
void lab_node_name(struct lab_node *n, const char *instance);	 /* of its next start */
void lab_node_done(struct lab_node *n);
bool lab_node_ready(struct lab_node *n);

/* A class "gpu" for the driver's devices, named as the driver. */
void lab_class(struct lab *l, const char *driver);
/* An unallocated claim for `count` devices of a class. */
void lab_claim_wish(struct lab *l, const char *name, const char *class, unsigned count);
/* A pod that uses claims "a,b"; seconds 0: until it is deleted. */
void lab_pod(struct lab *l, const char *name, const char *claims, unsigned seconds);
void lab_pod_delete(struct lab *l, const char *name, bool force);
/* "Pending", "Running", "Succeeded", "" = no such pod. */
const char *lab_pod_phase(struct lab *l, const char *name);
bool lab_pod_until(struct lab *l, const char *name, const char *phase, uint64_t ms);
