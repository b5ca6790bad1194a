#pragma once
/* What the other parts need to know about MIG: names, handles, and the capability files that the
 * kernel module keeps for every instance. */
#include "test/fakenvml/call.h"

enum { MIG_UUID_LEN = 48 };

/* "MIG-..." of this incarnation; a re-created instance gets another one. */
void mig_uuid(const struct state_gpu *g, const struct state_gi *gi, const struct state_ci *ci,
	      char out[MIG_UUID_LEN]);

/* The MIG device of c->gi and c->ci. */
nvmlDevice_t mig_handle(const struct call *c);

/* Capability file and device node of an instance appear and go, as the kernel module does it;
 * ci NULL: of the GI. Best effort: a test that only speaks NVML has no such folders. */
void caps_add(const struct state_map *m, const struct state_gpu *g, const struct state_gi *gi,
	      const struct state_ci *ci);
void caps_remove(const struct state_map *m, const struct state_gpu *g, const struct state_gi *gi,
		 const struct state_ci *ci);
