#include "gpu/nvidia/facts.h"

#include <errno.h>

#include "gpu/proto/tlv.h"

/* Numbers of the wire: never reuse one. */
#define SYSTEM(tag, kind, member) TLV_FIELD(tag, kind, struct nvidia_system, member)
static const struct tlv_field system_fields[] = {
	SYSTEM(1, TLV_TEXT, driver_version), SYSTEM(2, TLV_U32, cuda_version),
	SYSTEM(3, TLV_I64, cc_feature),	     SYSTEM(4, TLV_I64, cc_devtools),
	SYSTEM(5, TLV_I64, cc_multi_gpu),
};

enum { T_PEER = 32 };
#define GPU(tag, kind, member) TLV_FIELD(tag, kind, struct nvidia_gpu, member)
static const struct tlv_field gpu_fields[] = {
	GPU(1, TLV_TEXT, uuid),	       GPU(2, TLV_TEXT, name),	     GPU(3, TLV_TEXT, serial),
	GPU(4, TLV_TEXT, pci),	       GPU(5, TLV_TEXT, path),	     GPU(6, TLV_U32, brand),
	GPU(7, TLV_U32, architecture), GPU(8, TLV_U32, cc_major),    GPU(9, TLV_U32, cc_minor),
	GPU(10, TLV_I64, minor),       GPU(11, TLV_U32, index),	     GPU(12, TLV_U64, memory_total),
	GPU(13, TLV_I64, numa),	       GPU(14, TLV_I64, addressing), GPU(15, TLV_I64, ecc),
	GPU(16, TLV_I64, mig_mode),    GPU(17, TLV_BOOL, switched),  GPU(18, TLV_U32, untold),
};

void nvidia_system_put(struct buf *b, const struct nvidia_system *s)
{
	tlv_put_fields(b, system_fields, ARRAY_LEN(system_fields), s);
}

int nvidia_system_get(struct sv bytes, struct nvidia_system *s)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	memset(s, 0, sizeof(*s));
	while (r >= 0 && tlv_next(&reader, &tag, &v))
		r = tlv_get_field(system_fields, ARRAY_LEN(system_fields), tag, v, s);
	return r < 0 ? r : tlv_done(&reader);
}

void nvidia_gpu_put(struct buf *b, const struct nvidia_gpu *g)
{
	size_t i;

	must(g->peers_n <= TOPOLOGY_PEERS_MAX);
	tlv_put_fields(b, gpu_fields, ARRAY_LEN(gpu_fields), g);
	for (i = 0; i < g->peers_n; i++)
		tlv_put_str(b, T_PEER, g->peers[i]);
}

int nvidia_gpu_get(struct sv bytes, struct nvidia_gpu *g)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	memset(g, 0, sizeof(*g));
	while (r >= 0 && tlv_next(&reader, &tag, &v)) {
		if (tag != T_PEER)
			r = tlv_get_field(gpu_fields, ARRAY_LEN(gpu_fields), tag, v, g);
		else if (g->peers_n == TOPOLOGY_PEERS_MAX)
			r = -EBADMSG;
		else
			r = pci_normalise(v, g->peers[g->peers_n++]) < 0 ? -EBADMSG : 0;
	}
	return r < 0 ? r : tlv_done(&reader);
}
