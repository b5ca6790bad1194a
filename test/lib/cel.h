#pragma once
/*
 * A little of CEL: what selectors of device classes and claims say about a device.
 *
 *   device.driver == 'd'
 *   device.attributes['d'].name == 'x'                     also != < <= > >= in
 *   device.attributes['d'].driverVersion.isGreaterThan(semver('580.0.0'))
 *   device.capacity['d'].memory.compareTo(quantity('40Gi')) >= 0
 *   has(device.attributes['d'].name)                       or 'name' in device.attributes['d']
 *   .startsWith() .endsWith() .contains() .matches() .lowerAscii() .isLessThan()
 *   && || ! ( ) [ 'a', 'b' ] true 12
 *
 * Not here: arithmetic, ternaries, macros such as exists(), cel.bind, lists in attributes.
 */
#include "test/lib/jx.h"

/*
 * 1 true, 0 false, -EINVAL with a text: not understood, or a runtime error such as a missing
 * attribute (which the real scheduler too tells as an error of the claim). device: as in v1.
 */
int cel_matches(const char *expression, const char *driver, const json_t *device,
		struct err *e) NODISCARD;

/* Quantities in thousandths, exact for every one that a device has. -EINVAL. */
int cel_quantity(struct sv text, __int128 *milli) NODISCARD;
/* "1.2.3" against "1.2.4": <0, 0, >0. */
int cel_semver_cmp(struct sv a, struct sv b);
