#pragma once
/* The floor of everything durable: append to a file and fdatasync(), nothing else. */
#include "core/err.h"

struct disk {
	int fd;
	size_t bytes;
	char *path;
};

/* A file of its own in `folder`, removed by disk_done(). `bytes`: of one append. */
int disk_init(struct disk *d, const char *folder, size_t bytes, struct err *e) NODISCARD;
void disk_done(struct disk *d);
int disk_append(struct disk *d, struct err *e) NODISCARD;
