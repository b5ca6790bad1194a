#include "transport/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "certs.h"
#include "core/fsx.h"
#include "lab.h"

enum { YEAR = 365 * 24 * 3600 };

static struct cert ca, other_ca, middle, leaf, alice, mallory, expired;
static char dir[64];

static int setup(void **state)
{
	(void)state;
	ca = cert_make("ca", NULL, NULL, YEAR);
	other_ca = cert_make("other", NULL, NULL, YEAR);
	middle = cert_make("middle", NULL, &ca, YEAR);
	leaf =
	    cert_make("leaf", "DNS:kubernetes.default.svc,DNS:*.wild.test,IP:127.0.0.1,IP:fd00::1",
		      &middle, YEAR);
	alice = cert_make("alice", "DNS:alice", &ca, YEAR);
	mallory = cert_make("alice", "DNS:alice", &other_ca, YEAR);
	expired = cert_make("old", "DNS:kubernetes.default.svc", &ca, -60);
	(void)snprintf(dir, sizeof(dir), "/tmp/test_tls.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct cert *all[] = { &ca, &other_ca, &middle, &leaf, &alice, &mallory, &expired };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(all); i++)
		cert_done(all[i]);
	return rmdir(dir);
}

/* The server's chain: leaf and intermediate. */
static struct tls_server *server_of(const struct cert *c, const struct cert *above,
				    const struct cert *client_ca)
{
	char *chain = mem_printf("%s%s", c->pem, above ? above->pem : "");
	struct tls_material m = { .cert_pem = sv_str(chain), .key_pem = sv_str(c->key_pem) };
	struct tls_server *s;
	struct err e;

	if (client_ca)
		m.ca_pem = sv_str(client_ca->pem);
	if (tls_server_new(&m, &s, &e) < 0)
		fail_msg("%s", e.text);
	mem_free(chain);
	return s;
}

static struct tls_client *client_of(const struct cert *root, const char *name,
				    const struct cert *own, bool insecure)
{
	struct tls_material m = { .ca_pem = sv_str(root->pem) };
	struct tls_client *c;
	struct err e;

	if (own) {
		m.cert_pem = sv_str(own->pem);
		m.key_pem = sv_str(own->key_pem);
	}
	if (tls_client_new(&m, name, insecure, &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

struct side {
	struct tls_session *tls;
	struct buf net, plain;
	struct err e;
	int status;
};

static void side_init(struct side *s, struct tls_session *tls)
{
	*s = (struct side){ .tls = tls };
	buf_init(&s->net, 16 << 20);
	buf_init(&s->plain, 16 << 20);
}

static void side_done(struct side *s)
{
	tls_session_free(&s->tls);
	buf_done(&s->net);
	buf_done(&s->plain);
}

static void side_feed(struct side *s, struct sv in)
{
	ptrdiff_t n;

	if (s->status < 0)
		return;
	tls_session_feed(s->tls, in);
	do {
		char *p = buf_reserve(&s->plain, 1000);

		n = tls_session_read(s->tls, p, 1000, &s->net, &s->e);
		if (n > 0)
			buf_commit(&s->plain, (size_t)n);
	} while (n > 0);
	s->status = (int)n;
}

/* Moves ciphertext in pieces of `step` until both sides are quiet. */
static void talk(struct side *a, struct side *b, size_t step)
{
	struct side *from = a, *to = b, *t;
	int quiet = 0;

	while (quiet < 2) {
		quiet = buf_len(&from->net) ? 0 : quiet + 1;
		while (buf_len(&from->net)) {
			size_t n = MIN(step, buf_len(&from->net));
			char *piece = mem_dup(buf_sv(&from->net).p, n);

			buf_take(&from->net, n);
			side_feed(to, sv_make(piece, n));
			mem_free(piece);
		}
		t = from;
		from = to;
		to = t;
	}
}

static void shake(struct side *c, struct side *s, const struct tls_client *tc,
		  const struct tls_server *ts, size_t step)
{
	side_init(c, tls_client_session(tc));
	side_init(s, tls_server_session(ts));
	side_feed(c, SV_NONE);
	talk(c, s, step);
}

static void exchange(size_t step)
{
	struct tls_server *ts = server_of(&leaf, &middle, NULL);
	struct tls_client *tc = client_of(&ca, "kubernetes.default.svc", NULL, false);
	char *body = lab_body(100000);
	struct side c, s;

	shake(&c, &s, tc, ts, step);
	assert_true(tls_session_ready(c.tls) && tls_session_ready(s.tls));
	lab_eq(tls_session_alpn(c.tls), "h2");
	lab_eq(tls_session_alpn(s.tls), "h2");
	assert_int_equal(tls_session_write(c.tls, sv_make(body, 100000), &c.net, &c.e), 0);
	assert_int_equal(tls_session_write(s.tls, SV("answer"), &s.net, &s.e), 0);
	assert_int_equal(tls_session_write(s.tls, SV(""), &s.net, &s.e), 0);
	talk(&c, &s, step);
	assert_int_equal(buf_len(&s.plain), 100000);
	assert_memory_equal(buf_sv(&s.plain).p, body, 100000);
	lab_eq(buf_sv(&c.plain), "answer");
	/* The context may go while sessions live. */
	tls_client_free(&tc);
	tls_server_free(&ts);
	tls_session_shutdown(c.tls, &c.net);
	talk(&c, &s, step);
	assert_int_equal(s.status, -ESHUTDOWN);
	side_done(&c);
	side_done(&s);
	mem_free(body);
}

static void test_exchange(void **state)
{
	(void)state;
	exchange(SIZE_MAX);
	exchange(1);
	exchange(5);
	exchange(1000);
}

/* What a client with these thoughts gets from the server that presents `c`. */
static int verify(const struct cert *root, const char *name, const struct cert *c,
		  const struct cert *above, char *text)
{
	struct tls_server *ts = server_of(c, above, NULL);
	struct tls_client *tc = client_of(root, name, NULL, false);
	struct side a, b;
	int r;

	shake(&a, &b, tc, ts, SIZE_MAX);
	r = a.status;
	if (r < 0) {
		(void)snprintf(text, ERR_TEXT_MAX, "%s", a.e.text);
		assert_false(tls_session_ready(b.tls));
		assert_int_equal(b.status, -EPROTO); /* it was told */
	}
	side_done(&a);
	side_done(&b);
	tls_client_free(&tc);
	tls_server_free(&ts);
	return r;
}

static void test_verify(void **state)
{
	char text[ERR_TEXT_MAX];

	(void)state;
	assert_int_equal(verify(&ca, "kubernetes.default.svc", &leaf, &middle, text), 0);
	assert_int_equal(verify(&ca, "127.0.0.1", &leaf, &middle, text), 0);
	assert_int_equal(verify(&ca, "fd00::1", &leaf, &middle, text), 0);
	assert_int_equal(verify(&ca, "a.wild.test", &leaf, &middle, text), 0);
	assert_int_equal(verify(&middle, "127.0.0.1", &leaf, NULL, text), 0); /* as Go does */

	assert_int_equal(verify(&ca, "kubernetes.default", &leaf, &middle, text), -EPROTO);
	assert_non_null(strstr(text, "ostname mismatch"));
	assert_int_equal(verify(&ca, "127.0.0.2", &leaf, &middle, text), -EPROTO);
	assert_non_null(strstr(text, "IP address mismatch"));
	assert_int_equal(verify(&ca, "leaf", &leaf, &middle, text), -EPROTO); /* CN is no name */
	assert_int_equal(verify(&other_ca, "127.0.0.1", &leaf, &middle, text), -EPROTO);
	assert_non_null(strstr(text, "certificate"));
	assert_int_equal(verify(&ca, "127.0.0.1", &leaf, NULL, text), -EPROTO); /* gap in chain */
	assert_int_equal(verify(&ca, "kubernetes.default.svc", &expired, NULL, text), -EPROTO);
	assert_non_null(strstr(text, "expired"));
}

static void test_insecure(void **state)
{
	struct tls_server *ts = server_of(&expired, NULL, NULL);
	struct tls_client *tc = client_of(&other_ca, "any", NULL, true);
	struct side c, s;

	(void)state;
	shake(&c, &s, tc, ts, SIZE_MAX);
	assert_int_equal(c.status, 0);
	assert_true(tls_session_ready(s.tls));
	side_done(&c);
	side_done(&s);
	tls_server_free(&ts);
	/* What it fails for is told, not what it did not verify. */
	ts = server_of(&expired, NULL, &ca);
	shake(&c, &s, tc, ts, SIZE_MAX);
	assert_int_equal(c.status, -EPROTO);
	assert_non_null(strstr(c.e.text, "alert"));
	side_done(&c);
	side_done(&s);
	tls_client_free(&tc);
	tls_server_free(&ts);
}

static int client_cert(const struct cert *own)
{
	struct tls_server *ts = server_of(&leaf, &middle, &ca);
	struct tls_client *tc = client_of(&ca, "127.0.0.1", own, false);
	struct side c, s;
	int r;

	shake(&c, &s, tc, ts, SIZE_MAX);
	r = s.status;
	assert_int_equal(tls_session_ready(s.tls), r == 0);
	if (r < 0)
		assert_int_equal(c.status, -EPROTO);
	side_done(&c);
	side_done(&s);
	tls_client_free(&tc);
	tls_server_free(&ts);
	return r;
}

static void test_client_certificate(void **state)
{
	(void)state;
	assert_int_equal(client_cert(&alice), 0);
	assert_int_equal(client_cert(&mallory), -EPROTO);
	assert_int_equal(client_cert(NULL), -EPROTO);
}

/* A foreign client, by OpenSSL itself: protocol versions and ALPN. */
static int foreign(int min, int max, const char *alpn, unsigned alpn_n, char *chosen)
{
	struct tls_server *ts = server_of(&leaf, &middle, NULL);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);
	struct side s;
	char piece[4096];
	int i, n, r;

	SSL_set_security_level(ssl, 0);
	must(SSL_set_min_proto_version(ssl, min) == 1 && SSL_set_max_proto_version(ssl, max) == 1);
	if (alpn)
		must(SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, alpn_n) == 0);
	SSL_set_bio(ssl, in, out);
	side_init(&s, tls_server_session(ts));
	for (i = 0; i < 10; i++) {
		r = SSL_connect(ssl);
		while ((n = BIO_read(out, piece, sizeof(piece))) > 0)
			side_feed(&s, sv_make(piece, (size_t)n));
		if (buf_len(&s.net))
			must(BIO_write(in, buf_sv(&s.net).p, (int)buf_len(&s.net)) > 0);
		buf_clear(&s.net);
	}
	if (chosen)
		(void)snprintf(chosen, 16, SV_FMT, SV_ARG(tls_session_alpn(s.tls)));
	r = s.status < 0 ? s.status : r == 1 ? 0 : -1;
	side_done(&s);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	tls_server_free(&ts);
	return r;
}

static void test_versions_and_alpn(void **state)
{
	char chosen[16];

	(void)state;
	assert_int_equal(foreign(TLS1_3_VERSION, TLS1_3_VERSION, "\2h2", 3, chosen), 0);
	assert_string_equal(chosen, "h2");
	assert_int_equal(foreign(TLS1_2_VERSION, TLS1_2_VERSION, "\10http/1.1\2h2", 12, chosen), 0);
	assert_string_equal(chosen, "h2");
	assert_int_equal(foreign(TLS1_1_VERSION, TLS1_1_VERSION, "\2h2", 3, NULL), -EPROTO);
	assert_int_equal(foreign(TLS1_3_VERSION, TLS1_3_VERSION, "\10http/1.1", 9, NULL), -EPROTO);
	/* Without ALPN the handshake stands; the stream's owner refuses. */
	assert_int_equal(foreign(TLS1_3_VERSION, TLS1_3_VERSION, NULL, 0, chosen), 0);
	assert_string_equal(chosen, "");
}

/* A client of TLS 1.2 that wants to negotiate anew is told no, and costs no handshake. */
static void test_renegotiation(void **state)
{
	struct tls_server *ts = server_of(&leaf, &middle, NULL);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);
	struct side s;
	char piece[4096];
	int i, n;

	(void)state;
	must(SSL_set_max_proto_version(ssl, TLS1_2_VERSION) == 1);
	must(SSL_set_alpn_protos(ssl, (const unsigned char *)"\2h2", 3) == 0);
	SSL_set_bio(ssl, in, out);
	side_init(&s, tls_server_session(ts));
	SSL_set_connect_state(ssl);
	for (i = 0; i < 20; i++) {
		if (i == 10) {
			assert_true(tls_session_ready(s.tls) && SSL_is_init_finished(ssl));
			must(SSL_renegotiate(ssl) == 1);
		}
		(void)SSL_do_handshake(ssl);
		while ((n = BIO_read(out, piece, sizeof(piece))) > 0)
			side_feed(&s, sv_make(piece, (size_t)n));
		if (i >= 10)
			assert_true(buf_len(&s.net) < 100); /* an alert, no certificates */
		if (buf_len(&s.net))
			must(BIO_write(in, buf_sv(&s.net).p, (int)buf_len(&s.net)) > 0);
		buf_clear(&s.net);
	}
	assert_false(SSL_is_init_finished(ssl));
	side_done(&s);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	tls_server_free(&ts);
	ERR_clear_error();
}

static const char *file(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *p = paths[next++ % 4];

	(void)snprintf(p, 128, "%s/%s", dir, name);
	return p;
}

static void put_file(const char *name, const char *text)
{
	assert_int_equal(fsx_replace(file(name), sv_str(text), 0600, 0), 0);
}

static void test_reload(void **state)
{
	struct tls_material m = { .ca_file = file("ca"),
				  .cert_file = file("crt"),
				  .key_file = file("key") };
	struct tls_material sm = { .cert_file = file("crt") };
	struct tls_client *c;
	struct tls_server *s;
	struct err e;

	(void)state;
	assert_int_equal(tls_client_new(&m, "x", false, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/ca"));
	put_file("ca", ca.pem);
	put_file("crt", alice.pem);
	put_file("key", alice.key_pem);
	assert_int_equal(tls_client_new(&m, "x", false, &c, &e), 0);
	assert_int_equal(tls_client_reload(c, &e), 0);
	put_file("ca", ca.pem); /* another file, the same text */
	assert_int_equal(tls_client_reload(c, &e), 0);
	put_file("ca", other_ca.pem);
	assert_int_equal(tls_client_reload(c, &e), 1);
	assert_int_equal(tls_client_reload(c, &e), 0);
	/* Half of a rotation is refused, keeps the old, and is tried again. */
	put_file("crt", mallory.pem);
	assert_int_equal(tls_client_reload(c, &e), -EINVAL);
	assert_int_equal(tls_client_reload(c, &e), -EINVAL);
	put_file("key", mallory.key_pem);
	assert_int_equal(tls_client_reload(c, &e), 1);
	put_file("ca", "garbage");
	assert_int_equal(tls_client_reload(c, &e), -EINVAL);
	put_file("ca", other_ca.pem);
	assert_int_equal(tls_client_reload(c, &e), 1);
	assert_int_equal(unlink(file("ca")), 0);
	assert_int_equal(tls_client_reload(c, &e), -ENOENT);
	tls_client_free(&c);

	sm.key_file = file("key");
	sm.cert_file = file("crt");
	assert_int_equal(tls_server_new(&sm, &s, &e), 0);
	assert_int_equal(tls_server_reload(s, &e), 0);
	put_file("crt", alice.pem);
	put_file("key", alice.key_pem);
	assert_int_equal(tls_server_reload(s, &e), 1);
	tls_server_free(&s);
	assert_int_equal(unlink(file("crt")), 0);
	assert_int_equal(unlink(file("key")), 0);
}

static int bad_client(struct sv ca_pem, struct sv cert, struct sv key, const char *text)
{
	struct tls_material m = { .ca_pem = ca_pem, .cert_pem = cert, .key_pem = key };
	struct tls_client *c = NULL;
	struct err e = { "" };
	int r = tls_client_new(&m, "x", false, &c, &e);

	if (r < 0 && !strstr(e.text, text))
		fail_msg("%s is not in: %s", text, e.text);
	tls_client_free(&c);
	return r;
}

static void test_bad_material(void **state)
{
	struct sv good = sv_str(ca.pem), crt = sv_str(alice.pem), key = sv_str(alice.key_pem);
	char *broken =
	    mem_printf("%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ca.pem);
	struct tls_material none = { .ca_file = NULL };
	EVP_PKEY *k = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());
	struct tls_server *s;
	struct err e;
	char *locked;

	(void)state;
	must(PEM_write_bio_PrivateKey(b, k, EVP_aes_128_cbc(), (const unsigned char *)"pw", 2, NULL,
				      NULL) == 1);
	locked = bio_text(b);
	assert_int_equal(bad_client(good, crt, key, ""), 0);
	assert_int_equal(bad_client(good, SV_NONE, SV_NONE, ""), 0);
	assert_int_equal(bad_client(SV("x"), SV_NONE, SV_NONE, "CA certificates"), -EINVAL);
	assert_int_equal(bad_client(sv_str(broken), SV_NONE, SV_NONE, "CA certificates"), -EINVAL);
	assert_int_equal(bad_client(good, crt, SV_NONE, "go together"), -EINVAL);
	assert_int_equal(bad_client(good, SV_NONE, key, "go together"), -EINVAL);
	assert_int_equal(bad_client(good, SV("x"), key, "certificate"), -EINVAL);
	assert_int_equal(bad_client(good, crt, SV("x"), "private key"), -EINVAL);
	assert_int_equal(bad_client(good, crt, sv_str(mallory.key_pem), "key"), -EINVAL);
	/* A pass phrase is never asked for. */
	assert_int_equal(bad_client(good, crt, sv_str(locked), "private key"), -EINVAL);
	{
		char *longest = lab_body(300);
		struct tls_client *c;

		longest[300] = '\0';
		assert_int_equal(tls_client_new(&none, longest, false, &c, &e), -EINVAL);
		assert_int_equal(tls_client_new(&none, "", false, &c, &e), -EINVAL);
		mem_free(longest);
	}
	assert_int_equal(tls_server_new(&none, &s, &e), -EINVAL);
	assert_non_null(strstr(e.text, "needs a certificate"));
	mem_free(locked);
	mem_free(broken);
	EVP_PKEY_free(k);
}

/* Any byte of garbage in any place ends in an error, not in a crash or a loop. */
static void test_garbage(void **state)
{
	struct tls_server *ts = server_of(&leaf, &middle, NULL);
	struct tls_client *tc = client_of(&ca, "127.0.0.1", NULL, false);
	struct side c, s;
	size_t i, n;

	(void)state;
	side_init(&c, tls_client_session(tc));
	side_feed(&c, SV_NONE);
	n = buf_len(&c.net);
	for (i = 0; i < n; i++) {
		char *hello = mem_dup(buf_sv(&c.net).p, n);

		hello[i] = (char)(hello[i] ^ 0x5a);
		side_init(&s, tls_server_session(ts));
		side_feed(&s, sv_make(hello, n));
		side_feed(&s, sv_make(hello, n));
		side_done(&s);
		mem_free(hello);
	}
	side_init(&s, tls_server_session(ts));
	side_feed(&s, SV("GET / HTTP/1.1\r\n\r\n"));
	assert_int_equal(s.status, -EPROTO);
	side_done(&s);
	side_done(&c);
	tls_client_free(&tc);
	tls_server_free(&ts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),	  cmocka_unit_test(test_verify),
		cmocka_unit_test(test_insecure),	  cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_versions_and_alpn), cmocka_unit_test(test_reload),
		cmocka_unit_test(test_renegotiation),	  cmocka_unit_test(test_bad_material),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
