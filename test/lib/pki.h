#pragma once
/* A certificate authority and a server's certificate, made on the spot, as PEM text. */
#include "core/err.h"

struct pki {
	char *ca, *cert, *key; /* key: of cert; the CA's own is forgotten */
};
/* san: "IP:127.0.0.1,DNS:localhost". Valid from yesterday for ten years. */
void pki_make(struct pki *p, const char *san);
void pki_done(struct pki *p);
