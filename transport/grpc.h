#pragma once
/*
 * What gRPC adds to HTTP/2, as pure functions and one small parser: message framing, timeouts,
 * percent coding, codes.
 */
#include "core/buf.h"
#include "core/sv.h"

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};
const char *grpc_code_name(int code); /* "DeadlineExceeded"; "Code(99)" style is not made up */
enum grpc_code grpc_code_of_http(int status); /* an answer that is not gRPC */
enum grpc_code grpc_code_of_reset(uint32_t h2_code);

enum { GRPC_PREFIX = 5 };
/* The five bytes in front of a message. */
void grpc_prefix(unsigned char out[GRPC_PREFIX], size_t message_n);

/*
 * Takes a stream of DATA apart into messages. Embedded. Holds at most one message; memory grows
 * with what arrived, never with what a length prefix promises.
 */
struct grpc_reader {
	unsigned char prefix[GRPC_PREFIX];
	unsigned prefix_n;
	uint32_t want; /* bytes of the message, once the prefix is whole */
	size_t max;
	struct buf message;
};
enum { GRPC_READER_MORE, GRPC_READER_MESSAGE, GRPC_READER_COMPRESSED, GRPC_READER_TOO_BIG };
void grpc_reader_init(struct grpc_reader *r, size_t max);
void grpc_reader_done(struct grpc_reader *r);
/*
 * Takes bytes off *in. MESSAGE: r->message is whole and r->want long; the next call begins anew.
 * MORE: *in is used up. COMPRESSED, TOO_BIG: broken for good, r->want says how big.
 */
int grpc_reader_feed(struct grpc_reader *r, struct sv *in) NODISCARD;
bool grpc_reader_idle(const struct grpc_reader *r); /* between two messages */

/* "<1 to 8 digits><HMSmun>" in microseconds, rounded up. -EINVAL. */
int grpc_timeout_parse(struct sv s, uint64_t *us) NODISCARD;
void grpc_timeout_format(char out[16], uint64_t ms);

enum { GRPC_TEXT_MAX = 4096 }; /* bytes of a grpc-message before coding */
void grpc_percent_encode(struct buf *out, struct sv text);
void grpc_percent_decode(struct buf *out, struct sv text);
