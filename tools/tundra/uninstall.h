#pragma once
/* Removes what tundra leaves on a node when nothing is prepared any more. Blocks. */
#include "core/err.h"

struct uninstall_conf {
	const char *folder, *registry, *cdi, *run; /* folder: of the driver */
};
/*
 * Says on stdout what it removes and what it leaves, since it is not ours: the files of another
 * driver, and with its checkpoint.json also CDI specs that no record of ours names. The ledger and
 * its lock go last. Negative with a text: something could not be removed; the rest is gone all the
 * same.
 */
int uninstall_run(const struct uninstall_conf *conf, struct err *e) NODISCARD;
