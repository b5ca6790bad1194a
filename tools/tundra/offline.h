#pragma once
/* What the commands that work without a running driver have in common. They block. */
#include "core/buf.h"
#include "k8s/ledger_file.h"

char *offline_folder(const char *plugins); /* the driver's; caller frees */
int offline_boot_id(char *out, size_t size, struct err *e) NODISCARD;
/*
 * -EBUSY with a text: a driver of this name serves the node, ours or another, since it listens on a
 * socket in one of the two folders.
 */
int offline_check_stopped(const char *folder, const char *registry, struct err *e) NODISCARD;
/*
 * -ENOENT with a text: claims were prepared since the last boot, and not one has its CDI spec in
 * `cdi`. Then that is another folder than the driver's, and what is done with the claims would be
 * wrong.
 */
int offline_check_cdi(const struct ledger_file *f, const char *cdi, const char *boot_id,
		      struct err *e) NODISCARD;
char *offline_spec(const char *cdi, const char *uid); /* path of a claim's CDI spec; caller frees */
/* "namespace/name", or "-" without one. */
const char *offline_name(const struct ledger_claim *c, char *out, size_t size);
/* "gpu-0,gpu-1 (admin)". */
void offline_devices(const struct ledger_claim *c, struct buf *out);
