#pragma once
/* Certificates made on the spot: a CA and what it signs, as PEM text. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/mem.h"

struct cert {
	X509 *x;
	EVP_PKEY *key;
	char *pem, *key_pem;
};

static inline char *bio_text(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	char *text = mem_strndup(p, (size_t)n);

	BIO_free(b);
	return text;
}

static inline void cert_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	must(e);
	must(X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

/* `san` such as "DNS:x,IP:127.0.0.1", NULL for a CA; signer NULL = itself; lasts `seconds`. */
static inline struct cert cert_make(const char *name, const char *san, const struct cert *signer,
				    long seconds)
{
	static long serial = 1;
	struct cert c = { .x = X509_new(), .key = EVP_EC_gen("P-256") };
	X509_NAME *n = X509_get_subject_name(c.x);
	BIO *b;

	must(c.x && c.key);
	must(X509_set_version(c.x, X509_VERSION_3) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(c.x), serial++) == 1);
	X509_gmtime_adj(X509_getm_notBefore(c.x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c.x), seconds);
	must(X509_set_pubkey(c.x, c.key) == 1);
	must(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
					0) == 1);
	must(X509_set_issuer_name(c.x, signer ? X509_get_subject_name(signer->x) : n) == 1);
	if (san) {
		cert_extend(c.x, signer ? signer->x : c.x, NID_subject_alt_name, san);
	} else {
		cert_extend(c.x, signer ? signer->x : c.x, NID_basic_constraints,
			    "critical,CA:TRUE");
		cert_extend(c.x, signer ? signer->x : c.x, NID_key_usage,
			    "critical,keyCertSign,cRLSign");
	}
	must(X509_sign(c.x, signer ? signer->key : c.key, EVP_sha256()) > 0);
	b = BIO_new(BIO_s_mem());
	must(PEM_write_bio_X509(b, c.x) == 1);
	c.pem = bio_text(b);
	b = BIO_new(BIO_s_mem());
	must(PEM_write_bio_PrivateKey(b, c.key, NULL, NULL, 0, NULL, NULL) == 1);
	c.key_pem = bio_text(b);
	return c;
}

static inline void cert_done(struct cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	mem_free(c->pem);
	mem_free(c->key_pem);
}
