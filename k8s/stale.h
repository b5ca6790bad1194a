#pragma once
/*
 * Sockets that instances left which were killed and are not coming back. The kubelet takes each
 * registration socket for a plugin and dials it every 5 s, for as long as the file is there.
 */
#include <stddef.h>

/*
 * Removes the sockets in `folder` named <name><suffix> or <name>-...<suffix> at which nobody
 * listens, and returns their number. One that is being made is never taken for dead: it gets its
 * name when it listens (sock_listen_unix()).
 */
size_t stale_sockets_remove(const char *folder, const char *name, const char *suffix);
