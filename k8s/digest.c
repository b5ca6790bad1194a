#include "k8s/digest.h"

uint64_t digest_bytes(uint64_t h, struct sv part)
{
	for (size_t i = 0; i < part.n; i++)
		h = (h ^ (unsigned char)part.p[i]) * 0x100000001b3u;
	return (h ^ 0xffu) * 0x100000001b3u;
}

uint64_t digest_str(uint64_t h, const char *part)
{
	return digest_bytes(h, part ? sv_str(part) : SV("\001"));
}
