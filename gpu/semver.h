#pragma once
/*
 * Versions as the Kubernetes API takes them: strict semver, three numbers without leading zeros.
 * Drivers print "580.65.06" or "13.0"; publishing that would make the API server refuse the slice
 * with all its devices.
 */
#include "core/sv.h"

enum { SEMVER_TEXT_MAX = 63 };
/*
 * "570.158.01" -> "570.158.1", "535.104" -> "535.104.0", "9" -> "9.0.0". A fourth number and a
 * suffix after '-', '+' or a space are left out. -EINVAL when it does not begin with a number.
 */
int semver_normalise(struct sv text, char out[SEMVER_TEXT_MAX + 1]) NODISCARD;
