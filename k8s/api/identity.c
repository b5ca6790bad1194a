#include "k8s/api/identity.h"

#include <errno.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"

void identity_init(struct identity *i, struct loop *l, const struct api_config *c)
{
	*i = (struct identity){ .loop = l, .config = c };
	if (c->token && !c->token_file)
		i->header = mem_printf("Bearer %s", c->token);
}

static void forget(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	mem_free(*secret);
	*secret = NULL;
}

void identity_done(struct identity *i)
{
	forget(&i->header);
}

/* A token travels in a header: visible ASCII only. */
static bool token_valid(struct sv token)
{
	for (size_t k = 0; k < token.n; k++)
		if (token.p[k] <= ' ' || token.p[k] > '~')
			return false;
	return token.n > 0;
}

static int read_token(struct identity *i, struct err *e)
{
	const char *path = i->config->token_file;
	char *header = NULL;
	struct sv token;
	struct buf b;
	int r;

	i->tried = true;
	i->read_ms = loop_now_ms(i->loop);
	buf_init(&b, API_CONFIG_TOKEN_MAX + 1);
	r = fsx_read(path, API_CONFIG_TOKEN_MAX, &b);
	token = sv_trim(buf_sv(&b));
	if (r < 0)
		err_sys(e, r, "token file %s", path);
	else if (!token_valid(token))
		r = err_set(e, -EINVAL, "token file %s holds no token", path);
	else
		header = mem_printf("Bearer " SV_FMT, SV_ARG(token));
	if (header && (!i->header || strcmp(header, i->header) != 0)) {
		forget(&i->header);
		i->header = header;
		i->generation++;
	} else {
		forget(&header);
	}
	if (buf_len(&b))
		explicit_bzero(b.data + b.start, buf_len(&b));
	buf_done(&b);
	return r;
}

int identity_header(struct identity *i, struct sv *out, struct err *e)
{
	struct err why = { "" };
	bool stale = !i->tried || loop_now_ms(i->loop) - i->read_ms >= IDENTITY_REREAD_MS;
	int r = 0;

	if (i->config->token_file && (!i->header || stale))
		r = read_token(i, &why);
	if (r < 0 && !i->header)
		return err_set(e, r, "%s", why.text);
	if (r < 0)
		log_warn("token file cannot be read, the old token is kept",
			 LOG_S("error", why.text));
	*out = sv_str(i->header);
	return 0;
}

bool identity_refused(struct identity *i, uint64_t used)
{
	if (used != i->generation)
		return true;
	if (!i->config->token_file ||
	    (i->tried && loop_now_ms(i->loop) - i->read_ms < IDENTITY_FORCED_MS))
		return false;
	return read_token(i, NULL) == 0 && used != i->generation;
}
