#pragma once
/*
 * FNV-1a, 64 bit, folded over parts: the same in every process and version, since results are kept
 * on disk. Not against an attacker: what it compares comes from the API server or from us. A part
 * ends with a byte that no text holds, so that parts cannot run together.
 */
#include "core/sv.h"

#define DIGEST_START 0xcbf29ce484222325u

uint64_t digest_bytes(uint64_t h, struct sv part);
uint64_t digest_str(uint64_t h, const char *part); /* NULL is another part than "" */
