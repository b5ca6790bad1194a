#include "gpu/proto/messages.h"

#include <errno.h>

#include "gpu/proto/tlv.h"

/* Numbers of the wire: never reuse one. */
enum { T_VERSION = 1, T_WATCH, T_SEEN, T_EDITS, T_FACTS, T_STATE, T_COUNT, T_TEXT, T_INDEX };
enum { T_FOLDER = 1, T_PREFIX, T_PCI, T_UUID, T_MINOR };
enum { T_Q_PCI = 16, T_Q_UUID, T_Q_MINOR };

static const struct tlv_field open_fields[] = {
	TLV_FIELD(T_STATE, TLV_U32, struct gpu_msg_open, state),
	TLV_FIELD(T_COUNT, TLV_U32, struct gpu_msg_open, count),
	TLV_FIELD(T_TEXT, TLV_TEXT, struct gpu_msg_open, text),
};
static const struct tlv_field watch_fields[] = {
	TLV_FIELD(T_FOLDER, TLV_TEXT, struct gpu_watch, folder),
	TLV_FIELD(T_PREFIX, TLV_TEXT, struct gpu_watch, prefix),
};
static const struct tlv_field seen_fields[] = {
	TLV_FIELD(T_PCI, TLV_TEXT, struct gpu_seen, pci),
	TLV_FIELD(T_UUID, TLV_TEXT, struct gpu_seen, uuid),
	TLV_FIELD(T_MINOR, TLV_I64, struct gpu_seen, minor),
};
static const struct tlv_field query_fields[] = {
	TLV_FIELD(T_STATE, TLV_U32, struct gpu_msg_query, state),
	TLV_FIELD(T_TEXT, TLV_TEXT, struct gpu_msg_query, text),
	TLV_FIELD(T_Q_PCI, TLV_TEXT, struct gpu_msg_query, pci),
	TLV_FIELD(T_Q_UUID, TLV_TEXT, struct gpu_msg_query, uuid),
	TLV_FIELD(T_Q_MINOR, TLV_I64, struct gpu_msg_query, minor),
};

void gpu_msg_put_index(struct buf *b, uint32_t index)
{
	tlv_put_u64(b, T_INDEX, index);
}

int gpu_msg_get_index(struct sv bytes, uint32_t *out)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint64_t v = UINT64_MAX;
	struct sv value;
	uint16_t tag;

	while (tlv_next(&reader, &tag, &value))
		if (tag == T_INDEX && tlv_u64(value, &v) < 0)
			return -EBADMSG;
	if (tlv_done(&reader) < 0 || v >= GPU_MSG_GPUS_MAX)
		return -EBADMSG;
	*out = (uint32_t)v;
	return 0;
}

/* All of a sub-struct's fields; unknown ones are a newer peer's. */
static int gpu_msg_get_fields(struct sv bytes, const struct tlv_field *table, size_t n, void *into)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	while (r >= 0 && tlv_next(&reader, &tag, &v))
		r = tlv_get_field(table, n, tag, v, into);
	return r < 0 ? r : tlv_done(&reader);
}

static int gpu_msg_get_version(struct sv v)
{
	uint64_t version;

	return tlv_u64(v, &version) < 0 || version != GPU_MSG_VERSION ? -EBADMSG : 0;
}

static void gpu_msg_put_nested(struct buf *b, uint16_t tag, const struct tlv_field *table, size_t n,
			       const void *from)
{
	size_t mark = tlv_open(b, tag);

	tlv_put_fields(b, table, n, from);
	tlv_close(b, mark);
}

static void gpu_msg_put_tail(struct buf *b, const struct gpu_edits *edits, struct sv facts)
{
	size_t mark = tlv_open(b, T_EDITS);

	edits_put(b, edits);
	tlv_close(b, mark);
	tlv_put(b, T_FACTS, facts);
}

void gpu_msg_put_open(struct buf *b, const struct gpu_msg_open *m)
{
	size_t i;

	must(m->watch_n <= GPU_MSG_WATCH_MAX && m->seen_n <= GPU_MSG_GPUS_MAX);
	tlv_put_u64(b, T_VERSION, GPU_MSG_VERSION);
	tlv_put_fields(b, open_fields, ARRAY_LEN(open_fields), m);
	for (i = 0; i < m->watch_n; i++)
		gpu_msg_put_nested(b, T_WATCH, watch_fields, ARRAY_LEN(watch_fields), &m->watch[i]);
	for (i = 0; i < m->seen_n; i++)
		gpu_msg_put_nested(b, T_SEEN, seen_fields, ARRAY_LEN(seen_fields), &m->seen[i]);
	gpu_msg_put_tail(b, &m->edits, m->facts);
}

static int gpu_msg_get_seen(struct sv v, struct gpu_seen *seen)
{
	int r = gpu_msg_get_fields(v, seen_fields, ARRAY_LEN(seen_fields), seen);

	return r == 0 && (seen->minor < -1 || seen->minor > INT32_MAX) ? -EBADMSG : r;
}

static int gpu_msg_get_open_field(struct gpu_msg_open *m, uint16_t tag, struct sv v)
{
	switch (tag) {
	case T_WATCH:
		if (m->watch_n == GPU_MSG_WATCH_MAX)
			return -EBADMSG;
		return gpu_msg_get_fields(v, watch_fields, ARRAY_LEN(watch_fields),
					  &m->watch[m->watch_n++]);
	case T_SEEN:
		if (m->seen_n == GPU_MSG_GPUS_MAX)
			return -EBADMSG;
		return gpu_msg_get_seen(v, &m->seen[m->seen_n++]);
	case T_EDITS:
		return edits_get(v, &m->edits);
	case T_FACTS:
		m->facts = v;
		return 0;
	default:
		return tlv_get_field(open_fields, ARRAY_LEN(open_fields), tag, v, m);
	}
}

int gpu_msg_get_open(struct sv bytes, struct gpu_msg_open *m)
{
	struct tlv_reader reader = tlv_read(bytes);
	bool versioned = false;
	uint16_t tag;
	struct sv v;
	int r = 0;

	memset(m, 0, sizeof(*m));
	while (r >= 0 && tlv_next(&reader, &tag, &v)) {
		r = tag == T_VERSION ? gpu_msg_get_version(v) : gpu_msg_get_open_field(m, tag, v);
		versioned |= tag == T_VERSION;
	}
	if (r >= 0)
		r = tlv_done(&reader);
	if (r == 0 && (!versioned || m->state > GPU_OPEN_TROUBLE || m->count > GPU_MSG_GPUS_MAX))
		r = -EBADMSG;
	if (r < 0)
		gpu_msg_open_done(m);
	return r;
}

void gpu_msg_open_done(struct gpu_msg_open *m)
{
	edits_done(&m->edits);
}

void gpu_msg_put_query(struct buf *b, const struct gpu_msg_query *m)
{
	tlv_put_u64(b, T_VERSION, GPU_MSG_VERSION);
	tlv_put_fields(b, query_fields, ARRAY_LEN(query_fields), m);
	gpu_msg_put_tail(b, &m->edits, m->facts);
}

int gpu_msg_get_query(struct sv bytes, struct gpu_msg_query *m)
{
	struct tlv_reader reader = tlv_read(bytes);
	bool versioned = false;
	uint16_t tag;
	struct sv v;
	int r = 0;

	memset(m, 0, sizeof(*m));
	while (r >= 0 && tlv_next(&reader, &tag, &v)) {
		if (tag == T_VERSION)
			r = gpu_msg_get_version(v);
		else if (tag == T_EDITS)
			r = edits_get(v, &m->edits);
		else if (tag == T_FACTS)
			m->facts = v;
		else
			r = tlv_get_field(query_fields, ARRAY_LEN(query_fields), tag, v, m);
		versioned |= tag == T_VERSION;
	}
	if (r >= 0)
		r = tlv_done(&reader);
	if (r == 0 &&
	    (!versioned || m->state > GPU_QUERY_SESSION || m->minor < -1 || m->minor > INT32_MAX))
		r = -EBADMSG;
	if (r < 0)
		gpu_msg_query_done(m);
	return r;
}

void gpu_msg_query_done(struct gpu_msg_query *m)
{
	edits_done(&m->edits);
}
