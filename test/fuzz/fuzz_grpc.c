/* gRPC's own texts and frames: the first byte chooses, for frames also the pieces. */
#include "core/mem.h"
#include "test/fuzz/fuzz.h"
#include "transport/grpc.h"

enum { MESSAGE_MAX = 256 };

/* Messages by a reader that gets pieces equal those of one that gets everything. */
static uint64_t read_all(struct sv in, size_t step)
{
	uint64_t fold = 14695981039346656037u;
	struct grpc_reader r;
	int what = GRPC_READER_MORE;
	size_t i;

	grpc_reader_init(&r, MESSAGE_MAX);
	while (in.n && what != GRPC_READER_TOO_BIG && what != GRPC_READER_COMPRESSED) {
		struct sv piece = sv_make(in.p, MIN(step, in.n));
		size_t before = piece.n;

		what = grpc_reader_feed(&r, &piece);
		in = sv_drop(in, before - piece.n);
		must(what != GRPC_READER_MORE || !piece.n);
		if (what == GRPC_READER_MESSAGE) {
			must(buf_len(&r.message) == r.want && r.want <= MESSAGE_MAX);
			for (i = 0; i < r.want; i++)
				fold = (fold ^ (unsigned char)buf_sv(&r.message).p[i]) *
				       1099511628211u;
			fold = (fold ^ 0x100) * 1099511628211u;
		}
	}
	fold = (fold ^ (uint64_t)what ^ (grpc_reader_idle(&r) ? 0x200u : 0)) * 1099511628211u;
	grpc_reader_done(&r);
	return fold;
}

static void timeout(struct sv in)
{
	uint64_t us, again;
	char text[16];

	if (grpc_timeout_parse(in, &us) < 0)
		return;
	grpc_timeout_format(text, us / 1000);
	must(grpc_timeout_parse(sv_str(text), &again) == 0 && again <= us);
}

static void percent(struct sv in)
{
	struct buf coded, back, any;
	size_t i;

	in.n = MIN(in.n, (size_t)GRPC_TEXT_MAX);
	buf_init(&coded, 3 * GRPC_TEXT_MAX);
	buf_init(&back, 3 * GRPC_TEXT_MAX);
	buf_init(&any, 3 * GRPC_TEXT_MAX);
	grpc_percent_encode(&coded, in);
	must(!coded.full);
	for (i = 0; i < buf_len(&coded); i++)
		must(buf_sv(&coded).p[i] >= ' ' && buf_sv(&coded).p[i] <= '~');
	grpc_percent_decode(&back, buf_sv(&coded));
	must(sv_eq(buf_sv(&back), in));
	grpc_percent_decode(&any, in);
	must(buf_len(&any) <= in.n);
	buf_done(&coded);
	buf_done(&back);
	buf_done(&any);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make(data, size);

	if (!size)
		return 0;
	in = sv_drop(in, 1);
	switch (data[0] & 3) {
	case 0:
		timeout(in);
		break;
	case 1:
		percent(in);
		break;
	default:
		must(read_all(in, SIZE_MAX) == read_all(in, (data[0] >> 2) + 1u));
		break;
	}
	return 0;
}
