#include "k8s/api/quiet.h"

#include "core/map.h"

bool quiet_pass(struct quiet *q, struct sv what, uint64_t now_ms, unsigned *held)
{
	uint64_t hash = map_hash(what) | 1; /* 0 marks a free slot */
	size_t oldest = 0;

	*held = 0;
	for (size_t i = 0; i < QUIET_SLOTS; i++) {
		if (q->slots[oldest].hash &&
		    (!q->slots[i].hash || q->slots[i].since_ms < q->slots[oldest].since_ms))
			oldest = i;
		if (q->slots[i].hash != hash)
			continue;
		if (now_ms - q->slots[i].since_ms < QUIET_WINDOW_MS) {
			q->slots[i].held++;
			return false;
		}
		*held = q->slots[i].held;
		oldest = i;
		break;
	}
	q->slots[oldest].hash = hash;
	q->slots[oldest].since_ms = now_ms;
	q->slots[oldest].held = 0;
	return true;
}
