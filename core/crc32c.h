#pragma once
/* CRC-32C (Castagnoli), as in iSCSI, ext4 and Btrfs: crc32c(0, "123456789") is e3069283. */
#include "core/sv.h"

/* Continues from `crc`, the result for what came before; 0 at the start. */
uint32_t crc32c(uint32_t crc, struct sv bytes);
