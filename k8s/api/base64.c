#include "k8s/api/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
enum { PAD = 64 };

/* The value of a character, PAD for the padding, -1 for what does not belong here. */
static int sextet(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

int base64_decode(struct sv text, struct buf *out)
{
	uint32_t group = 0;
	unsigned n = 0, pad = 0; /* pad is never reset: nothing may follow it */
	int v;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' || text.p[i] == '\r')
			continue;
		v = sextet(text.p[i]);
		if (v < 0 || (pad && v != PAD))
			return -EINVAL;
		pad += v == PAD;
		group = group << 6 | (v & 63);
		if (++n < 4)
			continue;
		if (pad > 2)
			return -EINVAL;
		for (unsigned k = 0; k < 3 - pad; k++)
			if (!buf_putc(out, (char)(unsigned char)(group >> (16 - 8 * k))))
				return -E2BIG;
		n = 0;
		group = 0;
	}
	return n ? -EINVAL : 0;
}

void base64_encode(struct sv bytes, struct buf *out)
{
	uint32_t group;
	size_t left;

	for (size_t i = 0; i < bytes.n; i += 3) {
		left = bytes.n - i;
		group = (uint32_t)(unsigned char)bytes.p[i] << 16;
		if (left > 1)
			group |= (uint32_t)(unsigned char)bytes.p[i + 1] << 8;
		if (left > 2)
			group |= (unsigned char)bytes.p[i + 2];
		buf_putc(out, alphabet[group >> 18]);
		buf_putc(out, alphabet[group >> 12 & 63]);
		buf_putc(out, alphabet[left > 1 ? group >> 6 & 63 : PAD]);
		buf_putc(out, alphabet[left > 2 ? group & 63 : PAD]);
	}
}
