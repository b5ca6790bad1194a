/* Pods and claims come and go. */
#include "test/sim/sim.h"

enum { BUSY = 14 }; /* pods; with more of them the node only waits */

static struct sim_pod *pod_new(struct sim *s)
{
	struct sim_pod *pod = &s->pods[s->pods_n];

	if (s->pods_n == SIM_PODS_MAX)
		return NULL;
	s->pods_n++;
	*pod = (struct sim_pod){ .owns_claim = true };
	snprintf(pod->name, sizeof(pod->name), "pod-%u", ++s->serial);
	snprintf(pod->claim, sizeof(pod->claim), "claim-%u", s->serial);
	return pod;
}

void pods_new_of(struct sim *s, unsigned gpus, bool second)
{
	struct sim_pod *pod = pod_new(s);
	char claims[64];

	must(pod);
	sim_note(s, "%s asks for %u GPUs%s", pod->name, gpus, second ? ", twice" : "");
	lab_claim_wish(s->lab, pod->claim, LAB_DRIVER, gpus);
	snprintf(claims, sizeof(claims), "%s", pod->claim);
	if (second) {
		snprintf(pod->second, sizeof(pod->second), "claim-%u-b", s->serial);
		lab_claim_wish(s->lab, pod->second, LAB_DRIVER, gpus);
		snprintf(claims, sizeof(claims), "%s,%s", pod->claim, pod->second);
	}
	lab_pod(s->lab, pod->name, claims, 0);
}

static void new_one(struct sim *s)
{
	struct sim_pod *pod = pod_new(s);
	unsigned gpus = 1 + (unsigned)(sim_dice(s, 3) == 0), seconds;

	seconds = sim_dice(s, 4) ? 0 : 5 + (unsigned)sim_dice(s, 30);
	if (!pod)
		return;
	sim_note(s, "%s asks for %u GPUs%s", pod->name, gpus, seconds ? ", for a while" : "");
	lab_claim_wish(s->lab, pod->claim, LAB_DRIVER, gpus);
	lab_pod(s->lab, pod->name, pod->claim, seconds);
}

static void end_pod(struct sim *s, size_t i, bool force)
{
	struct sim_pod *pod = &s->pods[i];

	sim_note(s, "%s is deleted%s", pod->name, force ? " by force" : "");
	lab_pod_delete(s->lab, pod->name, force);
	if (pod->owns_claim)
		lab_claim_end(s->lab, pod->claim);
	if (*pod->second)
		lab_claim_end(s->lab, pod->second);
	*pod = s->pods[--s->pods_n];
}

void pods_new(struct sim *s)
{
	if (s->pods_n < BUSY)
		new_one(s);
	else
		pods_delete(s);
}

void pods_new_sharer(struct sim *s)
{
	size_t i = s->pods_n ? sim_dice(s, s->pods_n) : 0;
	struct sim_pod *pod;

	if (!s->pods_n || s->pods_n >= BUSY || !s->pods[i].owns_claim)
		return;
	pod = pod_new(s);
	pod->owns_claim = false;
	snprintf(pod->claim, sizeof(pod->claim), "%s", s->pods[i].claim);
	sim_note(s, "%s shares %s", pod->name, pod->claim);
	lab_pod(s->lab, pod->name, pod->claim, 0);
}

void pods_new_monitor(struct sim *s)
{
	struct sim_pod *pod = s->pods_n < BUSY ? pod_new(s) : NULL;

	if (!pod)
		return;
	sim_note(s, "%s watches every GPU", pod->name);
	store_put_text(s->lab->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
		       "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},\"spec\":{"
		       "\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{"
		       "\"deviceClassName\":\"" LAB_DRIVER "\",\"allocationMode\":\"All\","
		       "\"adminAccess\":true}}]}}}",
		       pod->claim);
	lab_pod(s->lab, pod->name, pod->claim, 0);
}

void pods_delete(struct sim *s)
{
	if (s->pods_n)
		end_pod(s, sim_dice(s, s->pods_n), false);
}

void pods_delete_first(struct sim *s)
{
	end_pod(s, 0, false);
}

void pods_delete_by_force(struct sim *s)
{
	if (s->pods_n)
		end_pod(s, sim_dice(s, s->pods_n), true);
}

void pods_fill(struct sim *s)
{
	while (s->pods_n < SIM_GPUS + 3)
		new_one(s);
}

void pods_end_all(struct sim *s)
{
	while (s->pods_n)
		end_pod(s, s->pods_n - 1, false);
}
