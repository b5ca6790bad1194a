#pragma once
/*
 * YAML turned into JSON text, so that one set of typed getters reads both (kubeconfig, manifests,
 * CDI files of others). Aliases are refused: nobody needs them there and they make bombs. Plain
 * scalars are typed as Kubernetes' tools do: YAML 1.1 without sexagesimals and without "y"/"n".
 */
#include "core/buf.h"
#include "core/err.h"

enum {
	YAML_DEPTH_MAX = 28,	  /* kubeconfig needs 6, a CRD's schema about 25 */
	YAML_EVENTS_MAX = 200000, /* nodes; a list of 1000 kubeconfig entries needs 30 000 */
	YAML_TEXT_MAX = 4 << 20,  /* bytes of the input */
};

/* One document; a second one, or none, is -EINVAL. -ENOTSUP: aliases, foreign tags. -E2BIG. */
int yaml_to_json(struct sv text, struct buf *out, struct err *e) NODISCARD;
/* Any number of documents as one JSON array; empty ones are null. */
int yaml_all_to_json(struct sv text, struct buf *out, struct err *e) NODISCARD;
