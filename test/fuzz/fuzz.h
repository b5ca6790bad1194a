#pragma once
/* What every fuzz target defines; libFuzzer's or replay.c's main() calls it. */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
