#pragma once
/*
 * The state file of NVIDIA's driver, <plugins>/gpu.nvidia.com/checkpoint.json: read and written as
 * that driver does, so that a node changes drivers with pods running. Pure: text in, text out;
 * k8s/takeover does what must happen on the disk.
 *
 * {"checksum":N,"v1":{...},"v2":{"checksum":N,...},"v3":{...}}: the newest version in it counts,
 * older ones are there for a downgrade. A checksum covers Go's spelling of its object (members in
 * the order of the struct, no spaces), with itself 0 and without the versions that came after v1;
 * so it is taken over the text as it stands, white space aside.
 */
#include "k8s/ledger.h"

enum {
	CHECKPOINT_MAX = 64 << 20, /* bytes; 10 000 claims take 15 MB */
	CHECKPOINT_VALUES = 2000000,
	CHECKPOINT_MEMORY = 256 << 20, /* while it is read; 10 000 claims need 70 MB */
};

struct checkpoint_conf {
	const char *driver, *pool; /* of this node; another driver's results are passed over */
	const char *boot_id;	   /* of this boot */
	uint64_t wall_ms;	   /* now: since when the records hold */
};
struct checkpoint {
	unsigned version; /* the one that counted; 0: none, as in "{}" */
	/* Written in another boot: pods and device state went with it, and the kubelet prepares
	 * anew what still runs. Nothing but `stale_n`, the claims it had, is filled in. */
	bool stale;
	size_t stale_n;
	/* PrepareCompleted, in byte order of UID, each a record of the ledger. Their name is ""
	 * where the driver kept none: the kubelet's next call tells it. */
	struct ledger_claim **claims;
	size_t claims_n;
	/* PrepareStarted: no pod runs with them and full GPUs keep nothing, but a CDI file may be
	 * there. */
	char **started;
	size_t started_n;
};
/*
 * -EBADMSG: not readable, or a checksum differs. -ENOTSUP: a claim in it cannot be taken over; the
 * text says which, its pod where it is known, and why. Texts do not say what to do.
 */
int checkpoint_decode(struct sv text, const struct checkpoint_conf *conf, struct checkpoint **out,
		      struct err *e) NODISCARD;
void checkpoint_free(struct checkpoint **c);

struct checkpoint_format {
	/* Builds between 0.4.0 and August 2026 leave an empty mpsControlDaemonID out; releases
	 * write it, and each takes the other's spelling for a damaged file. */
	bool without_mps_id;
};
/*
 * Versions 1 and 2, all claims prepared. -EINVAL with a text: a claim has a name that Go would
 * spell otherwise, or the file would be larger than CHECKPOINT_MAX.
 */
int checkpoint_encode(const struct ledger_claim *const *claims, size_t n, const char *driver,
		      const char *boot_id, const struct checkpoint_format *format, struct buf *out,
		      struct err *e) NODISCARD;
/* Of exactly these bytes, as Kubernetes' checkpoint manager computes it. */
uint32_t checkpoint_checksum(struct sv text);
