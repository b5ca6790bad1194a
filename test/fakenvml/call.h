#pragma once
/*
 * What every NVML function of the fake does around its own few lines: is the library initialised,
 * is the handle alive, does a fault strike, who holds the lock. A function reads
 *
 *	rc = call_gpu(&c, FN_nvmlX, device, 0);
 *	if (rc != NVML_SUCCESS)
 *		return rc;
 *	... c.gpu, c.model, with the state locked ...
 *	return call_end(&c, rc, out, sizeof(*out));
 *
 * Between a successful begin and call_end the state is locked, so nothing in there may return
 * early or sleep.
 */
#include "test/fakenvml/model.h"
#include "test/fakenvml/state.h"

enum call_flags {
	CALL_WRITE = 1,	 /* changes the state: NO_PERMISSION on a read-only mapping */
	CALL_MIG_OK = 2, /* the handle may be a MIG device's */
	CALL_ROOT = 4,	 /* privileged users only */
	CALL_LOST_OK = 8,
};

/* Handles are numbers in a pointer's clothes: [magic 16][session 16][kind 4][gpu 4][gi 4][ci 4]
 * [incarnation 16]. Checking one is arithmetic, so a stale one is an error, never a crash. */
enum { HANDLE_BYTES = 8 };

enum handle_kind { HANDLE_GPU = 1, HANDLE_MIG, HANDLE_GI, HANDLE_CI, HANDLE_SET };

struct call {
	enum state_fn fn;
	struct state *st;
	struct state_gpu *gpu;
	const struct model *model;
	struct state_gi *gi; /* of a GI, CI or MIG device handle */
	struct state_ci *ci; /* of a CI or MIG device handle */
	uint32_t slot;	     /* of gpu */
	uint64_t handle;     /* as given; looked at again after a sleep */
	enum handle_kind kind;
	bool wrong;
	unsigned char byte;
};

uint64_t handle_make(enum handle_kind kind, uint32_t gpu, uint32_t gi, uint32_t ci,
		     uint32_t incarnation);
void *handle_ptr(uint64_t h);

nvmlReturn_t call_init(enum state_fn fn, unsigned int flags);
nvmlReturn_t call_shutdown(void);

/* call_begin is call_enter (locks) and call_admit (the fault; unlocks on failure). Whoever finds
 * the GPU by other means than a handle sets c->slot and c->gpu between them. */
nvmlReturn_t call_enter(struct call *c, enum state_fn fn, unsigned int flags);
nvmlReturn_t call_admit(struct call *c, unsigned int flags);
nvmlReturn_t call_begin(struct call *c, enum state_fn fn, unsigned int flags);
nvmlReturn_t call_gpu(struct call *c, enum state_fn fn, nvmlDevice_t device, unsigned int flags);
nvmlReturn_t call_gi(struct call *c, enum state_fn fn, nvmlGpuInstance_t gi, unsigned int flags);
nvmlReturn_t call_ci(struct call *c, enum state_fn fn, nvmlComputeInstance_t ci,
		     unsigned int flags);

/* Unlocks; on success with a WRONG fault overwrites the n bytes at out first. */
nvmlReturn_t call_end(struct call *c, nvmlReturn_t rc, void *out, size_t n);
/* Copies s under NVML's rules for (buffer, length) and ends the call. */
nvmlReturn_t call_end_str(struct call *c, const char *s, char *out, unsigned int length);

/* GPUs seen at init, in NVML's order. */
uint32_t call_visible(void);
nvmlReturn_t call_slot_by_index(uint32_t index, uint32_t *slot);
bool call_index_of_slot(uint32_t slot, uint32_t *index);
nvmlReturn_t call_gpu_access(uint32_t slot);
nvmlDevice_t call_gpu_handle(uint32_t slot);

/* The mapping, for parts that write the fake /proc and /dev. Valid while locked. */
const struct state_map *call_map(void);
/* Alive and of this session? For parts that sleep and must look again. */
bool call_session_alive(uint32_t session);
uint32_t call_session(void);
/* Lets other calls in while sleeping; the caller holds nothing else. */
void call_unlock(struct call *c);
void call_relock(struct call *c);
