#include "test/lib/pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/mem.h"

enum { YESTERDAY_S = -86400, TEN_YEARS_S = 315360000 };

static char *text_of(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	char *text = mem_strndup(p, (size_t)n);

	BIO_free(b);
	return text;
}

static char *cert_text(X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());

	must(PEM_write_bio_X509(b, x) == 1);
	return text_of(b);
}

static char *key_text(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());

	must(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
	return text_of(b);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	must(e && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static X509 *certificate(const char *name, long serial, EVP_PKEY *key, X509 *issuer,
			 EVP_PKEY *issuer_key, const char *san)
{
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);

	must(X509_set_version(x, X509_VERSION_3) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(x), serial) == 1);
	X509_gmtime_adj(X509_getm_notBefore(x), YESTERDAY_S);
	X509_gmtime_adj(X509_getm_notAfter(x), TEN_YEARS_S);
	must(X509_set_pubkey(x, key) == 1);
	must(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
					0) == 1);
	must(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : n) == 1);
	if (san) {
		extend(x, issuer, NID_subject_alt_name, san);
	} else {
		extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
		extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	must(X509_sign(x, issuer ? issuer_key : key, EVP_sha256()) > 0);
	return x;
}

void pki_make(struct pki *p, const char *san)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca, *cert;

	must(ca_key && key);
	ca = certificate("tundra-dev CA", 1, ca_key, NULL, NULL, NULL);
	cert = certificate("tundra-dev API server", 2, key, ca, ca_key, san);
	p->ca = cert_text(ca);
	p->cert = cert_text(cert);
	p->key = key_text(key);
	X509_free(ca);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

void pki_done(struct pki *p)
{
	mem_free(p->ca);
	mem_free(p->cert);
	mem_free(p->key);
	*p = (struct pki){ NULL, NULL, NULL };
}
