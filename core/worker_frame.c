#include "core/worker_frame.h"

#include <errno.h>

#include "core/le.h"
#include "core/worker.h"

bool worker_frame_put(struct buf *out, struct worker_frame f, struct sv body)
{
	char *p;

	if (body.n > WORKER_FRAME_MAX - WORKER_HEADER)
		return false;
	p = buf_reserve(out, WORKER_HEADER + body.n);
	if (!p)
		return false;
	le_put32(p, (uint32_t)body.n);
	le_put32(p + 4, f.id);
	le_put16(p + 8, f.method);
	le_put16(p + 10, f.status);
	le_put32(p + 12, f.deadline_ms);
	if (body.n)
		memcpy(p + WORKER_HEADER, body.p, body.n);
	buf_commit(out, WORKER_HEADER + body.n);
	return true;
}

int64_t worker_frame_peek(const struct buf *in, struct worker_frame *f, struct sv *body)
{
	struct sv have = buf_sv(in);

	if (have.n < WORKER_HEADER)
		return 0;
	*f = (struct worker_frame){
		.length = le_get32(have.p),
		.id = le_get32(have.p + 4),
		.method = le_get16(have.p + 8),
		.status = le_get16(have.p + 10),
		.deadline_ms = le_get32(have.p + 12),
	};
	if (f->length > WORKER_FRAME_MAX - WORKER_HEADER)
		return -EBADMSG;
	if (have.n - WORKER_HEADER < f->length)
		return 0;
	*body = sv_make(have.p + WORKER_HEADER, f->length);
	return WORKER_HEADER + (int64_t)f->length;
}
