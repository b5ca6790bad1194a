#include "transport/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/fsx.h"
#include "core/mem.h"

enum {
	PEM_MAX = 1024 * 1024, /* the system's whole bundle has 220 kB */
	NAME_MAX_ = 254,       /* of DNS, with the end of the string */
};

/* RFC 9113 9.2.2 forbids the rest of TLS 1.2 for HTTP/2; every API server has these. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* One of CA, certificate, key: where it comes from and what was read last. */
struct pem {
	char *file;
	struct buf text;
};
enum { PEM_CA, PEM_CERT, PEM_KEY, PEM_NR };

struct tls_side {
	struct pem pem[PEM_NR];
	SSL_CTX *ctx;
};
struct tls_client {
	struct tls_side side;
	char *name; /* what the peer must prove to be */
	bool insecure;
};
struct tls_server {
	struct tls_side side;
};

struct tls_session {
	SSL *ssl;
	struct sv in;	 /* ciphertext not yet read; the caller's */
	struct buf *net; /* only during a call */
};

/* Errors */

/* The first error of OpenSSL's queue names the cause; the rest is its way up. */
static int fail_ssl(struct err *e, int code, const char *what)
{
	unsigned long n = ERR_get_error();
	const char *reason = n ? ERR_reason_error_string(n) : NULL;

	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, reason ? reason : "malformed");
}

/* Material */

/* It may be a key. */
static void forget(struct buf *text)
{
	if (text->data)
		OPENSSL_cleanse(text->data, text->size);
	buf_done(text);
}

static void pem_done(struct pem *p)
{
	mem_free(p->file);
	p->file = NULL;
	forget(&p->text);
}

static void pem_init(struct pem *p, const char *file, struct sv text)
{
	*p = (struct pem){ .file = mem_strdup(file) };
	buf_init(&p->text, PEM_MAX);
	if (!file)
		buf_put_sv(&p->text, text);
}

/* 0: same text; 1: changed. */
static int pem_read(struct pem *p, struct err *e)
{
	struct buf now;
	int r;

	if (!p->file)
		return 0;
	buf_init(&now, PEM_MAX);
	r = fsx_read(p->file, PEM_MAX, &now);
	if (r < 0) {
		buf_done(&now);
		return err_sys(e, r, "%s", p->file);
	}
	if (p->text.data && sv_eq(buf_sv(&now), buf_sv(&p->text))) {
		forget(&now);
		return 0;
	}
	forget(&p->text);
	p->text = now;
	return 1;
}

static void side_init(struct tls_side *s, const struct tls_material *m)
{
	*s = (struct tls_side){ .ctx = NULL };
	pem_init(&s->pem[PEM_CA], m->ca_file, m->ca_pem);
	pem_init(&s->pem[PEM_CERT], m->cert_file, m->cert_pem);
	pem_init(&s->pem[PEM_KEY], m->key_file, m->key_pem);
}

static void side_done(struct tls_side *s)
{
	size_t i;

	for (i = 0; i < PEM_NR; i++)
		pem_done(&s->pem[i]);
	SSL_CTX_free(s->ctx);
	s->ctx = NULL;
}

static BIO *bio_of(const struct pem *p)
{
	struct sv s = buf_sv(&p->text);
	BIO *b = BIO_new_mem_buf(s.n ? s.p : "", (int)s.n);

	must(b);
	return b;
}

/* A key with a pass phrase is refused; OpenSSL's own answer is to ask on the terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type. */
static int no_pass_phrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

/* PEM reading ends with an "error"; "no start line" is the one that means the end. */
static int pem_ended(struct err *e, const char *what)
{
	unsigned long n = ERR_peek_last_error();

	if (ERR_GET_LIB(n) != ERR_LIB_PEM || ERR_GET_REASON(n) != PEM_R_NO_START_LINE)
		return fail_ssl(e, -EINVAL, what);
	ERR_clear_error();
	return 0;
}

static int load_ca(SSL_CTX *ctx, const struct pem *p, struct err *e)
{
	const char *what = p->file ? p->file : "CA certificates";
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *b = bio_of(p);
	X509 *x;
	int n = 0;

	while ((x = PEM_read_bio_X509(b, NULL, no_pass_phrase, NULL))) {
		n++;
		must(X509_STORE_add_cert(store, x) == 1);
		X509_free(x);
	}
	BIO_free(b);
	return n ? pem_ended(e, what) : fail_ssl(e, -EINVAL, what);
}

static int load_chain(SSL_CTX *ctx, const struct pem *p, struct err *e)
{
	const char *what = p->file ? p->file : "certificate";
	BIO *b = bio_of(p);
	X509 *x = PEM_read_bio_X509(b, NULL, no_pass_phrase, NULL);
	int r = 0;

	if (!x || SSL_CTX_use_certificate(ctx, x) != 1)
		r = fail_ssl(e, -EINVAL, what);
	X509_free(x);
	while (r == 0 && (x = PEM_read_bio_X509(b, NULL, no_pass_phrase, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			r = fail_ssl(e, -EINVAL, what);
		}
	BIO_free(b);
	return r < 0 ? r : pem_ended(e, what);
}

static int load_key(SSL_CTX *ctx, const struct pem *p, struct err *e)
{
	const char *what = p->file ? p->file : "private key";
	BIO *b = bio_of(p);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, no_pass_phrase, NULL);
	int r = 0;

	if (!k || SSL_CTX_use_PrivateKey(ctx, k) != 1)
		r = fail_ssl(e, -EINVAL, what);
	else if (SSL_CTX_check_private_key(ctx) != 1)
		r = fail_ssl(e, -EINVAL, "the key is not the certificate's");
	EVP_PKEY_free(k);
	BIO_free(b);
	return r;
}

static int load_identity(SSL_CTX *ctx, const struct tls_side *s, struct err *e)
{
	bool cert = buf_len(&s->pem[PEM_CERT].text) > 0, key = buf_len(&s->pem[PEM_KEY].text) > 0;
	int r;

	if (!cert && !key)
		return 0;
	if (!cert || !key)
		return err_set(e, -EINVAL, "a certificate and its key go together");
	r = load_chain(ctx, &s->pem[PEM_CERT], e);
	return r < 0 ? r : load_key(ctx, &s->pem[PEM_KEY], e);
}

static SSL_CTX *new_ctx(const SSL_METHOD *method)
{
	SSL_CTX *ctx;

	/* No config file: nothing outside of this program loads code into it. */
	must(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
	ctx = SSL_CTX_new(method);
	must(ctx);
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	must(SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
				     SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Buffers of 16 kB each way only while a record is in work. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* One long connection each: remembered sessions would only grow. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* As Go does: an intermediate that was given as CA is a root. */
	(void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return ctx;
}

/* Reads the files and calls `make`; keeps the present context unless a new one stands. */
static int side_load(struct tls_side *s,
		     int (*make)(struct tls_side *s, void *arg, SSL_CTX **ctx, struct err *e),
		     void *arg, struct err *e)
{
	bool changed = !s->ctx;
	SSL_CTX *ctx;
	size_t i;
	int r;

	for (i = 0; i < PEM_NR; i++) {
		r = pem_read(&s->pem[i], e);
		if (r < 0)
			goto failed;
		changed |= r > 0;
	}
	if (!changed)
		return 0;
	r = make(s, arg, &ctx, e);
	if (r < 0)
		goto failed;
	SSL_CTX_free(s->ctx);
	s->ctx = ctx;
	return 1;
failed:
	/* Half of a rotation: the next call reads and tries all again, whatever changed. */
	for (i = 0; i < PEM_NR; i++)
		if (s->pem[i].file)
			forget(&s->pem[i].text);
	return r;
}

/* Client */

static int make_client(struct tls_side *s, void *arg, SSL_CTX **out, struct err *e)
{
	const struct tls_client *t = arg;
	SSL_CTX *ctx = new_ctx(TLS_client_method());
	int r = 0;

	SSL_CTX_set_verify(ctx, t->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (buf_len(&s->pem[PEM_CA].text))
		r = load_ca(ctx, &s->pem[PEM_CA], e);
	else if (!t->insecure && SSL_CTX_set_default_verify_paths(ctx) != 1)
		r = fail_ssl(e, -EINVAL, "the system's CA certificates");
	if (r == 0)
		r = load_identity(ctx, s, e);
	must(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3) == 0);
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return r;
}

int tls_client_new(const struct tls_material *m, const char *server_name, bool insecure_skip_verify,
		   struct tls_client **out, struct err *e)
{
	struct tls_client *t;
	int r;

	must(server_name || insecure_skip_verify);
	if (server_name && (!*server_name || strlen(server_name) >= NAME_MAX_))
		return err_set(e, -EINVAL, "the server's name is empty or too long");
	t = MEM_NEW(struct tls_client);
	side_init(&t->side, m);
	t->name = mem_strdup(server_name);
	t->insecure = insecure_skip_verify;
	r = side_load(&t->side, make_client, t, e);
	if (r < 0) {
		tls_client_free(&t);
		return r;
	}
	*out = t;
	return 0;
}

int tls_client_reload(struct tls_client *t, struct err *e)
{
	return side_load(&t->side, make_client, t, e);
}

void tls_client_free(struct tls_client **tp)
{
	struct tls_client *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	side_done(&t->side);
	mem_free(t->name);
	mem_free(t);
}

/* Server */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
		       const unsigned char *in, unsigned in_n, void *arg)
{
	unsigned i;

	(void)ssl;
	(void)arg;
	for (i = 0; i < in_n && i + 1 + in[i] <= in_n; i += 1u + in[i])
		if (in[i] == 2 && memcmp(in + i + 1, "h2", 2) == 0) {
			*out = in + i + 1;
			*out_n = 2;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int make_server(struct tls_side *s, void *arg, SSL_CTX **out, struct err *e)
{
	SSL_CTX *ctx = new_ctx(TLS_server_method());
	int r = 0;

	(void)arg;
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	if (!buf_len(&s->pem[PEM_CERT].text))
		r = err_set(e, -EINVAL, "a TLS server needs a certificate");
	if (r == 0)
		r = load_identity(ctx, s, e);
	if (r == 0 && buf_len(&s->pem[PEM_CA].text)) {
		r = load_ca(ctx, &s->pem[PEM_CA], e);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return r;
}

int tls_server_new(const struct tls_material *m, struct tls_server **out, struct err *e)
{
	struct tls_server *t = MEM_NEW(struct tls_server);
	int r;

	side_init(&t->side, m);
	r = side_load(&t->side, make_server, NULL, e);
	if (r < 0) {
		tls_server_free(&t);
		return r;
	}
	*out = t;
	return 0;
}

int tls_server_reload(struct tls_server *t, struct err *e)
{
	return side_load(&t->side, make_server, NULL, e);
}

void tls_server_free(struct tls_server **tp)
{
	struct tls_server *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	side_done(&t->side);
	mem_free(t);
}

/* Sessions: a BIO that reads the caller's view and writes the caller's buffer, nothing between */

static int bio_read(BIO *b, char *to, int n)
{
	struct tls_session *s = BIO_get_data(b);
	size_t take = MIN(s->in.n, (size_t)n);

	BIO_clear_retry_flags(b);
	if (!take) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(to, s->in.p, take);
	s->in = sv_drop(s->in, take);
	return (int)take;
}

static int bio_write(BIO *b, const char *from, int n)
{
	struct tls_session *s = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	must(s->net);
	return buf_put(s->net, from, (size_t)n) ? n : -1;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return cmd == BIO_CTRL_FLUSH;
}

/* Constant once made; lives as long as the process, since sessions outlive their contexts. */
static const BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m;

	if (m)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "views");
	must(m);
	must(BIO_meth_set_read(m, bio_read) == 1 && BIO_meth_set_write(m, bio_write) == 1 &&
	     BIO_meth_set_ctrl(m, bio_ctrl) == 1);
	return m;
}

static struct tls_session *session_new(SSL_CTX *ctx)
{
	struct tls_session *s = MEM_NEW(struct tls_session);
	BIO *b = BIO_new(bio_method());

	must(b);
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	s->ssl = SSL_new(ctx);
	must(s->ssl);
	SSL_set_bio(s->ssl, b, b);
	return s;
}

/* An address is proven by an IP entry of the certificate and is not sent as SNI (RFC 6066). */
static void expect_name(SSL *ssl, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1);
		return;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	must(SSL_set1_host(ssl, name) == 1);
	/* SSL_set_tlsext_host_name(), whose macro casts const away. */
	must(SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		      (void *)(uintptr_t)name) == 1);
}

struct tls_session *tls_client_session(const struct tls_client *t)
{
	struct tls_session *s = session_new(t->side.ctx);

	SSL_set_connect_state(s->ssl);
	if (t->name)
		expect_name(s->ssl, t->name);
	return s;
}

struct tls_session *tls_server_session(const struct tls_server *t)
{
	struct tls_session *s = session_new(t->side.ctx);

	SSL_set_accept_state(s->ssl);
	return s;
}

void tls_session_free(struct tls_session **sp)
{
	struct tls_session *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	SSL_free(s->ssl);
	mem_free(s);
}

void tls_session_feed(struct tls_session *s, struct sv in)
{
	must(!s->in.n);
	s->in = in;
}

static int session_error(struct tls_session *s, int r, struct err *e)
{
	long verify;

	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return err_set(e, -ESHUTDOWN, "the peer ended the TLS session");
	default:
		break;
	}
	s->in = SV_NONE;
	verify = SSL_get_verify_result(s->ssl);
	/* Who verifies nothing has a result too, and it is not why this failed. */
	if (verify == X509_V_OK || SSL_get_verify_mode(s->ssl) == SSL_VERIFY_NONE)
		return fail_ssl(e, -EPROTO, "TLS");
	ERR_clear_error();
	return err_set(e, -EPROTO, "TLS: certificate: %s", X509_verify_cert_error_string(verify));
}

ptrdiff_t tls_session_read(struct tls_session *s, void *p, size_t n, struct buf *net, struct err *e)
{
	size_t got = 0;
	int r;

	ERR_clear_error();
	s->net = net;
	r = SSL_read_ex(s->ssl, p, n, &got);
	r = r == 1 ? 0 : session_error(s, r, e);
	s->net = NULL;
	if (r < 0)
		s->in = SV_NONE;
	/* A record without content leaves input behind, but never asks for more. */
	must(r < 0 || got || !s->in.n);
	return r < 0 ? r : (ptrdiff_t)got;
}

bool tls_session_ready(const struct tls_session *s)
{
	return SSL_is_init_finished(s->ssl) != 0;
}

int tls_session_write(struct tls_session *s, struct sv plain, struct buf *net, struct err *e)
{
	size_t n;
	int r = 1;

	must(tls_session_ready(s));
	if (!plain.n)
		return 0;
	ERR_clear_error();
	s->net = net;
	r = SSL_write_ex(s->ssl, plain.p, plain.n, &n);
	s->net = NULL;
	if (r != 1)
		return fail_ssl(e, -EPROTO, "TLS");
	must(n == plain.n);
	return 0;
}

void tls_session_shutdown(struct tls_session *s, struct buf *net)
{
	ERR_clear_error();
	if (!tls_session_ready(s))
		return;
	s->net = net;
	(void)SSL_shutdown(s->ssl);
	s->net = NULL;
	ERR_clear_error();
}

struct sv tls_session_alpn(const struct tls_session *s)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(s->ssl, &p, &n);
	return p ? sv_make(p, n) : SV_NONE;
}
