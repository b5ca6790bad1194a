#pragma once
/* Edits as text, one line each, for golden comparisons. */
#include <stdio.h>

#include "core/buf.h"
#include "gpu/edits.h"

static inline void edits_print(const struct gpu_edits *e, struct buf *out)
{
	size_t i, j;

	for (i = 0; i < e->nodes_n; i++)
		buf_printf(out, "node %s %lld:%lld %o gid %u%s%s\n", e->nodes[i].path,
			   (long long)e->nodes[i].major, (long long)e->nodes[i].minor,
			   e->nodes[i].mode, e->nodes[i].gid, e->nodes[i].host ? " host " : "",
			   e->nodes[i].host ? e->nodes[i].host : "");
	for (i = 0; i < e->mounts_n; i++) {
		buf_printf(out, "mount %s", e->mounts[i].path);
		if (strcmp(e->mounts[i].host, e->mounts[i].path) != 0)
			buf_printf(out, " host %s", e->mounts[i].host);
		for (j = 0; e->mounts[i].options[j]; j++)
			buf_printf(out, "%c%s", j ? ',' : ' ', e->mounts[i].options[j]);
		buf_puts(out, "\n");
	}
	for (i = 0; i < e->env_n; i++)
		buf_printf(out, "env %s\n", e->env[i]);
	for (i = 0; i < e->hooks_n; i++) {
		buf_puts(out, "hook");
		for (j = 0; e->hooks[i].args[j]; j++)
			buf_printf(out, " %s", e->hooks[i].args[j]);
		buf_puts(out, "\n");
	}
	for (i = 0; i < e->gids_n; i++)
		buf_printf(out, "gid %u\n", e->gids[i]);
}
