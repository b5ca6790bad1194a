/* Whatever text: bounded work, nothing read outside it, and what was known by value is gone. */
#include "test/fuzz/fuzz.h"
#include "tools/tundra/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redact r;
	struct buf out;

	redact_init(&r);
	redact_know(&r, SV("knownsecret"));
	buf_init(&out, 32 << 20);
	redact_text(&r, sv_make(data, size), &out);
	must(!out.full);
	must(!buf_len(&out) || !memmem(buf_sv(&out).p, buf_len(&out), "knownsecret", 11));
	buf_done(&out);
	redact_done(&r);
	return 0;
}
