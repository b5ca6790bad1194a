#pragma once
/*
 * Where the API server is and who we are: from the pod (in-cluster) or from a kubeconfig file.
 * Only reads; what rotates (token file, CA, client certificate) stays a path and is read again by
 * the client. Plugins that would run a program or need a browser are refused by name.
 */
#include "core/err.h"
#include "core/sv.h"

#define API_CONFIG_IN_CLUSTER "/var/run/secrets/kubernetes.io/serviceaccount"

enum {
	API_CONFIG_MAX = 1 << 20,	 /* bytes of a kubeconfig: real ones are 2 to 50 kB */
	API_CONFIG_TOKEN_MAX = 64 << 10, /* bytes of a token; it travels in a header */
};

/* Owned by its holder; read-only for others. Strings are NULL when unset. */
struct api_config {
	char *host; /* name or address, without brackets */
	uint16_t port;
	char *unix_path; /* instead of host and port: the development cluster and tests */
	char *prefix;	 /* path before /api and /apis, without a last slash; "" usually */
	bool tls, insecure_skip_verify;
	char *server_name; /* the certificate must be for this; never NULL with tls */
	/* Inline data wins over a file, a token file over a token, as in client-go. */
	char *ca_file, *cert_file, *key_file, *token_file;
	char *ca_pem, *cert_pem, *key_pem, *token;
	char *ns;     /* namespace of the pod or context; NULL if not told */
	char *source; /* for messages: "in-cluster" or the file's name */
};

/*
 * From KUBERNETES_SERVICE_HOST and _PORT and `folder` (token, ca.crt, namespace).
 * -ENOENT: not in a pod. -EINVAL. `env` is injected: returns the value or NULL.
 */
int api_config_in_cluster(const char *(*env)(const char *name), const char *folder,
			  struct api_config **out, struct err *e) NODISCARD;
/* `context` NULL = current-context. Relative paths count from the file's folder. */
int api_config_file(const char *path, const char *context, struct api_config **out,
		    struct err *e) NODISCARD;
/* The same from text; reads no file. -EINVAL, -ENOTSUP (exec, auth-provider, proxy, ...). */
int api_config_text(struct sv text, const char *folder, const char *context,
		    struct api_config **out, struct err *e) NODISCARD;
struct api_config *api_config_copy(const struct api_config *c);
void api_config_free(struct api_config **c);
