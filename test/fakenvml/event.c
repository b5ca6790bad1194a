/*
 * Event sets. Events lie in the shared ring; a set keeps, per GPU, from which one on it was asked
 * for, so nothing is taken out of the ring and any number of processes see every event. Sets live
 * in the process and die with its session.
 */
#include <time.h>

#include "test/fakenvml/call.h"

enum { SETS = 15 }; /* a handle has four bits for it */

static struct event_set {
	bool used;
	uint32_t session;
	uint16_t incarnation;
	uint64_t mask[STATE_GPUS];
	uint64_t next[STATE_GPUS]; /* first seq not looked at yet */
} sets[SETS];

static const uint64_t supported =
    nvmlEventTypeSingleBitEccError | nvmlEventTypeDoubleBitEccError | nvmlEventTypePState |
    nvmlEventTypeXidCriticalError | nvmlEventTypeClock | nvmlEventMigConfigChange |
    nvmlEventTypeSingleBitEccErrorStorm | nvmlEventTypeDramRetirementEvent |
    nvmlEventTypeDramRetirementFailure | nvmlEventTypeNonFatalPoisonError |
    nvmlEventTypeFatalPoisonError;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct event_set *set_find(nvmlEventSet_t handle)
{
	uint64_t h = (uint64_t)(uintptr_t)handle;
	uint32_t i = (uint32_t)(h >> 24 & 0xf);

	if (i >= SETS || !sets[i].used || sets[i].session != call_session() ||
	    handle != handle_ptr(handle_make(HANDLE_SET, i, 0, 0, sets[i].incarnation)))
		return NULL;
	return &sets[i];
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlEventSetCreate, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (set == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	for (i = 0; i < SETS; i++)
		if (!sets[i].used || sets[i].session != call_session())
			break;
	if (i == SETS)
		return call_end(&c, NVML_ERROR_MEMORY, NULL, 0);
	sets[i] = (struct event_set){ .used = true,
				      .session = call_session(),
				      .incarnation = (uint16_t)(sets[i].incarnation + 1) };
	*set = handle_ptr(handle_make(HANDLE_SET, i, 0, 0, sets[i].incarnation));
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
	struct event_set *s;
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlEventSetFree, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	s = set_find(set);
	if (s == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	s->used = false;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *eventTypes)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetSupportedEventTypes, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (eventTypes == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*eventTypes = supported;
	return call_end(&c, rc, eventTypes, sizeof(*eventTypes));
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes,
				      nvmlEventSet_t set)
{
	struct event_set *s;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceRegisterEvents, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	s = set_find(set);
	if (s == NULL || eventTypes == 0)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if ((eventTypes & ~supported) != 0)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	if (s->mask[c.slot] == 0)
		s->next[c.slot] = c.st->next_event; /* what happened before is not delivered */
	s->mask[c.slot] |= eventTypes;
	return call_end(&c, rc, NULL, 0);
}

/* The oldest event the set has not seen, or that a GPU of it is gone; TIMEOUT: nothing yet. */
static nvmlReturn_t set_poll(const struct call *c, struct event_set *s, struct state_event *out)
{
	const struct state_event *e;
	uint64_t first = c->st->next_event > STATE_EVENTS ? c->st->next_event - STATE_EVENTS : 1;
	uint64_t seq;
	uint32_t i;

	for (seq = first; seq < c->st->next_event; seq++) {
		e = &c->st->event[seq % STATE_EVENTS];
		if (e->gpu >= STATE_GPUS || (s->mask[e->gpu] & e->type) == 0 ||
		    seq < s->next[e->gpu])
			continue;
		s->next[e->gpu] = seq + 1;
		*out = *e;
		return NVML_SUCCESS;
	}
	for (i = 0; i < c->st->gpu_count; i++)
		if (s->mask[i] != 0 && (c->st->gpu[i].lost || !c->st->gpu[i].present))
			return NVML_ERROR_GPU_IS_LOST;
	return NVML_ERROR_TIMEOUT;
}

static nvmlReturn_t set_wait(enum state_fn fn, nvmlEventSet_t set, nvmlEventData_t *data,
			     unsigned int timeoutms, bool v2)
{
	struct state_event e = { 0 };
	struct event_set *s;
	uint64_t end = now_ms() + timeoutms;
	uint64_t now;
	uint32_t session;
	uint32_t seen;
	struct call c;
	nvmlReturn_t rc = call_begin(&c, fn, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	session = call_session();
	for (;;) {
		s = set_find(set);
		if (s == NULL || data == NULL)
			return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
		seen = state_seen(c.st);
		rc = set_poll(&c, s, &e);
		now = now_ms();
		if (rc != NVML_ERROR_TIMEOUT || now >= end)
			break;
		call_unlock(&c);
		state_sleep(c.st, seen, end - now);
		call_relock(&c);
		if (!call_session_alive(session))
			return call_end(&c, NVML_ERROR_UNINITIALIZED, NULL, 0);
	}
	if (rc == NVML_SUCCESS) {
		data->device = call_gpu_handle(e.gpu);
		data->eventType = e.type;
		data->eventData = e.data;
		if (v2) { /* the first version does not know these fields */
			data->gpuInstanceId = e.gi;
			data->computeInstanceId = e.ci;
		}
	}
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	return set_wait(FN_nvmlEventSetWait, set, data, timeoutms, false);
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	return set_wait(FN_nvmlEventSetWait_v2, set, data, timeoutms, true);
}
