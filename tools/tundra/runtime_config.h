#pragma once
/*
 * What matters for CDI in the configuration of a container runtime: containerd's config.toml and
 * CRI-O's crio.conf, both TOML. Reads only the few keys that it looks for, of any shape that those
 * programs accept; pure, no file is read. Files given one after the other add up, the last wins.
 */
#include "core/sv.h"

enum { RUNTIME_DIRS_MAX = 16, RUNTIME_PATH_MAX = 255 };

struct runtime_config {
	bool cdi_set, cdi; /* enable_cdi was said, and what */
	bool dirs_set;	   /* cdi_spec_dirs was said */
	bool cri_disabled; /* containerd: disabled_plugins names the CRI plugin */
	char dirs[RUNTIME_DIRS_MAX][RUNTIME_PATH_MAX + 1];
	size_t dirs_n;
	char imports[RUNTIME_DIRS_MAX][RUNTIME_PATH_MAX + 1]; /* patterns, of the last file */
	size_t imports_n;
};
void runtime_config_add(struct runtime_config *c, struct sv toml);
/* Whether specs in `folder` are read; /var/run and /run are one. Unset: the runtimes' default. */
bool runtime_config_reads(const struct runtime_config *c, const char *folder);
