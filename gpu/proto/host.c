#include "gpu/proto/host.h"

#include <errno.h>

#include "gpu/proto/tlv.h"

/* Numbers of the wire: never reuse one. */
enum { T_DEVICE = 1, T_COMPLETE, T_HOLDER };

static const struct tlv_field device_fields[] = {
	TLV_FIELD(1, TLV_U32, struct host_device, major),
	TLV_FIELD(2, TLV_U32, struct host_device, minor),
};
static const struct tlv_field holder_fields[] = {
	TLV_FIELD(1, TLV_I64, struct host_holder, pid),
	TLV_FIELD(2, TLV_TEXT, struct host_holder, name),
};

static int host_get_fields(struct sv bytes, const struct tlv_field *table, size_t n, void *into)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	while (r >= 0 && tlv_next(&reader, &tag, &v))
		r = tlv_get_field(table, n, tag, v, into);
	return r < 0 ? r : tlv_done(&reader);
}

void host_put_devices(struct buf *b, const struct host_device *devices, size_t n)
{
	size_t i, mark;

	must(n <= HOST_DEVICES_MAX);
	for (i = 0; i < n; i++) {
		mark = tlv_open(b, T_DEVICE);
		tlv_put_fields(b, device_fields, ARRAY_LEN(device_fields), &devices[i]);
		tlv_close(b, mark);
	}
}

int host_get_devices(struct sv bytes, struct host_device *out, size_t *n)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	*n = 0;
	while (r >= 0 && tlv_next(&reader, &tag, &v)) {
		if (tag != T_DEVICE)
			continue;
		if (*n == HOST_DEVICES_MAX)
			return -EBADMSG;
		out[*n] = (struct host_device){ 0 };
		r = host_get_fields(v, device_fields, ARRAY_LEN(device_fields), &out[(*n)++]);
	}
	return r < 0 ? r : tlv_done(&reader);
}

void host_put_holders(struct buf *b, const struct host_holders *h)
{
	size_t i, mark;

	must(h->n <= HOST_HOLDERS_MAX);
	if (h->complete)
		tlv_put_u64(b, T_COMPLETE, 1);
	for (i = 0; i < h->n; i++) {
		mark = tlv_open(b, T_HOLDER);
		tlv_put_fields(b, holder_fields, ARRAY_LEN(holder_fields), &h->list[i]);
		tlv_close(b, mark);
	}
}

static int host_get_holder(struct host_holders *h, struct sv v)
{
	if (h->n == HOST_HOLDERS_MAX)
		return -EBADMSG;
	return host_get_fields(v, holder_fields, ARRAY_LEN(holder_fields), &h->list[h->n++]);
}

int host_get_holders(struct sv bytes, struct host_holders *h)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint64_t complete = 0;
	uint16_t tag;
	struct sv v;
	int r = 0;

	memset(h, 0, sizeof(*h));
	while (r >= 0 && tlv_next(&reader, &tag, &v)) {
		if (tag == T_COMPLETE)
			r = tlv_u64(v, &complete);
		else if (tag == T_HOLDER)
			r = host_get_holder(h, v);
	}
	h->complete = complete != 0;
	return r < 0 ? r : tlv_done(&reader);
}
