#pragma once
/* Standard base64 (RFC 4648, padded), as Kubernetes puts bytes into JSON and kubeconfig. */
#include "core/buf.h"

/* Appends the bytes; line breaks are passed over. -EINVAL, -E2BIG (beyond the cap of out). */
int base64_decode(struct sv text, struct buf *out) NODISCARD;
void base64_encode(struct sv bytes, struct buf *out);
