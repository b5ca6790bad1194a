#pragma once
/* Little-endian integers at any address, for formats that leave the process. */
#include "core/base.h"

static inline void le_put16(void *p, uint16_t v)
{
	unsigned char *b = p;

	b[0] = (unsigned char)(v & 0xff);
	b[1] = (unsigned char)(v >> 8);
}

static inline void le_put32(void *p, uint32_t v)
{
	le_put16(p, (uint16_t)(v & 0xffff));
	le_put16((unsigned char *)p + 2, (uint16_t)(v >> 16));
}

static inline void le_put64(void *p, uint64_t v)
{
	le_put32(p, (uint32_t)(v & 0xffffffff));
	le_put32((unsigned char *)p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t le_get16(const void *p)
{
	const unsigned char *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t le_get32(const void *p)
{
	return le_get16(p) | (uint32_t)le_get16((const unsigned char *)p + 2) << 16;
}

static inline uint64_t le_get64(const void *p)
{
	return le_get32(p) | (uint64_t)le_get32((const unsigned char *)p + 4) << 32;
}
