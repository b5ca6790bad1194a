#include "k8s/api/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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
		v = text.p[i] == '=' ? 0 : sextet(text.p[i]);
		if (v < 0 || (pad && text.p[i] != '='))
			return -EINVAL;
		pad += text.p[i] == '=';
		group = group << 6 | (uint32_t)v;
		if (++n < 4)
			continue;
		if (pad > 2)
			return -EINVAL;
		for (unsigned k = 0; k < 3 - pad; k++)
			if (!buf_putc(out, (char)(unsigned char)(group >> (16 - 8 * k))))
				return -E2BIG;
		/* After padding nothing but line breaks may follow: n stays 4 and the next fails.
		 */
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
		buf_putc(out, left > 1 ? alphabet[group >> 6 & 63] : '=');
		buf_putc(out, left > 2 ? alphabet[group & 63] : '=');
	}
}
