#include "gpu/edits.h"

#include <errno.h>

#include "core/buf.h"
#include "gpu/proto/tlv.h"

/* Room for one more element. Arrays double inside the arena; what they leave behind is counted. */
static void *edits_grow(struct gpu_edits *e, void *array, size_t n, size_t size)
{
	void *more;

	if (!e->arena)
		e->arena = arena_new(EDITS_BYTES_MAX);
	if (n && (n & (n - 1)) != 0)
		return array;
	more = arena_alloc(e->arena, (n ? 2 * n : 1) * size);
	if (more && n)
		memcpy(more, array, n * size);
	return more;
}

static int edits_copy(struct gpu_edits *e, const char *s, const char **out)
{
	*out = s ? arena_strdup(e->arena, sv_str(s)) : NULL;
	return s && !*out ? -E2BIG : 0;
}

static int edits_copy_list(struct gpu_edits *e, const char *const *list, const char *const **out)
{
	const char **copy;
	size_t n, i;
	int r = 0;

	*out = NULL;
	if (!list)
		return 0;
	for (n = 0; list[n]; n++)
		;
	copy = arena_alloc(e->arena, (n + 1) * sizeof(*copy));
	if (!copy)
		return -E2BIG;
	for (i = 0; i < n && r == 0; i++)
		r = edits_copy(e, list[i], &copy[i]);
	*out = copy;
	return r;
}

void edits_init(struct gpu_edits *e)
{
	*e = (struct gpu_edits){ 0 };
}

void edits_done(struct gpu_edits *e)
{
	arena_free(&e->arena);
	edits_init(e);
}

int edits_add_node(struct gpu_edits *e, const struct gpu_edit_node *n)
{
	struct gpu_edit_node *nodes = edits_grow(e, e->nodes, e->nodes_n, sizeof(*nodes));
	struct gpu_edit_node copy = *n;

	if (!nodes)
		return -E2BIG;
	e->nodes = nodes;
	if (edits_copy(e, n->path, &copy.path) < 0 || edits_copy(e, n->host, &copy.host) < 0)
		return -E2BIG;
	nodes[e->nodes_n++] = copy;
	return 0;
}

int edits_add_mount(struct gpu_edits *e, const struct gpu_edit_mount *m)
{
	struct gpu_edit_mount *mounts = edits_grow(e, e->mounts, e->mounts_n, sizeof(*mounts));
	struct gpu_edit_mount copy;

	if (!mounts)
		return -E2BIG;
	e->mounts = mounts;
	if (edits_copy(e, m->host, &copy.host) < 0 || edits_copy(e, m->path, &copy.path) < 0 ||
	    edits_copy_list(e, m->options, &copy.options) < 0)
		return -E2BIG;
	mounts[e->mounts_n++] = copy;
	return 0;
}

int edits_add_env(struct gpu_edits *e, const char *assignment)
{
	const char **env = edits_grow(e, e->env, e->env_n, sizeof(*env));
	const char *copy;

	if (!env)
		return -E2BIG;
	e->env = env;
	if (edits_copy(e, assignment, &copy) < 0)
		return -E2BIG;
	env[e->env_n++] = copy;
	return 0;
}

int edits_add_hook(struct gpu_edits *e, const char *const *args)
{
	struct gpu_edit_hook *hooks = edits_grow(e, e->hooks, e->hooks_n, sizeof(*hooks));
	struct gpu_edit_hook copy;

	if (!hooks)
		return -E2BIG;
	e->hooks = hooks;
	if (edits_copy_list(e, args, &copy.args) < 0)
		return -E2BIG;
	hooks[e->hooks_n++] = copy;
	return 0;
}

int edits_add_gid(struct gpu_edits *e, unsigned gid)
{
	unsigned *gids;
	size_t i;

	for (i = 0; i < e->gids_n; i++)
		if (e->gids[i] == gid)
			return 0;
	gids = edits_grow(e, e->gids, e->gids_n, sizeof(*gids));
	if (!gids)
		return -E2BIG;
	e->gids = gids;
	gids[e->gids_n++] = gid;
	return 0;
}

int edits_add_all(struct gpu_edits *e, const struct gpu_edits *from)
{
	size_t i;
	int r = 0;

	for (i = 0; i < from->nodes_n && r == 0; i++)
		r = edits_add_node(e, &from->nodes[i]);
	for (i = 0; i < from->mounts_n && r == 0; i++)
		r = edits_add_mount(e, &from->mounts[i]);
	for (i = 0; i < from->env_n && r == 0; i++)
		r = edits_add_env(e, from->env[i]);
	for (i = 0; i < from->hooks_n && r == 0; i++)
		r = edits_add_hook(e, from->hooks[i].args);
	for (i = 0; i < from->gids_n && r == 0; i++)
		r = edits_add_gid(e, from->gids[i]);
	return r;
}

static int edits_cmp_path(const char *a, const char *b)
{
	size_t deep_a = 0, deep_b = 0;
	const char *c;

	for (c = a; *c; c++)
		deep_a += *c == '/';
	for (c = b; *c; c++)
		deep_b += *c == '/';
	return deep_a != deep_b ? (deep_a < deep_b ? -1 : 1) : strcmp(a, b);
}

static int edits_cmp_node(const void *a, const void *b)
{
	const struct gpu_edit_node *x = a, *y = b;

	return edits_cmp_path(x->path, y->path);
}

static int edits_cmp_mount(const void *a, const void *b)
{
	const struct gpu_edit_mount *x = a, *y = b;

	return edits_cmp_path(x->path, y->path);
}

void edits_sort(struct gpu_edits *e)
{
	if (e->nodes_n)
		qsort(e->nodes, e->nodes_n, sizeof(*e->nodes), edits_cmp_node);
	if (e->mounts_n)
		qsort(e->mounts, e->mounts_n, sizeof(*e->mounts), edits_cmp_mount);
}

/* ---- hash: FNV-1a over lengths and bytes; unseeded, since it is compared across processes ---- */

static uint64_t edits_mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *c = p;
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ c[i]) * 0x100000001b3u;
	return h;
}

static uint64_t edits_mix_u64(uint64_t h, uint64_t v)
{
	unsigned char bytes[8];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(v >> (8 * i));
	return edits_mix(h, bytes, sizeof(bytes));
}

static uint64_t edits_mix_str(uint64_t h, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	return edits_mix(edits_mix_u64(h, s ? n + 1 : 0), s ? s : "", n);
}

static uint64_t edits_mix_list(uint64_t h, const char *const *list)
{
	size_t n;

	for (n = 0; list && list[n]; n++)
		h = edits_mix_str(h, list[n]);
	return edits_mix_u64(h, n);
}

uint64_t edits_hash(const struct gpu_edits *e)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < e->nodes_n; i++) {
		h = edits_mix_str(edits_mix_str(h, e->nodes[i].path), e->nodes[i].host);
		h = edits_mix_u64(edits_mix_u64(h, (uint64_t)e->nodes[i].major),
				  (uint64_t)e->nodes[i].minor);
		h = edits_mix_u64(edits_mix_u64(h, e->nodes[i].mode), e->nodes[i].gid);
	}
	h = edits_mix_u64(h, e->nodes_n);
	for (i = 0; i < e->mounts_n; i++) {
		h = edits_mix_str(edits_mix_str(h, e->mounts[i].host), e->mounts[i].path);
		h = edits_mix_list(h, e->mounts[i].options);
	}
	h = edits_mix_u64(h, e->mounts_n);
	for (i = 0; i < e->env_n; i++)
		h = edits_mix_str(h, e->env[i]);
	h = edits_mix_u64(h, e->env_n);
	for (i = 0; i < e->hooks_n; i++)
		h = edits_mix_list(h, e->hooks[i].args);
	h = edits_mix_u64(h, e->hooks_n);
	for (i = 0; i < e->gids_n; i++)
		h = edits_mix_u64(h, e->gids[i]);
	return edits_mix_u64(h, e->gids_n);
}

/* ---- as message fields ---- */

enum { T_NODE = 1, T_MOUNT, T_ENV, T_HOOK, T_GID };
enum { T_PATH = 1, T_HOST, T_MAJOR, T_MINOR, T_MODE, T_NODE_GID, T_OPTION, T_ARG };
/* Words of one mount's options or one hook's arguments: a --link per library and some. */
enum { EDITS_WORDS_MAX = 1024 };

static void edits_put_list(struct buf *b, uint16_t tag, const char *const *list)
{
	size_t i;

	for (i = 0; list && list[i]; i++)
		tlv_put_str(b, tag, list[i]);
}

void edits_put(struct buf *b, const struct gpu_edits *e)
{
	size_t i, mark;

	for (i = 0; i < e->nodes_n; i++) {
		mark = tlv_open(b, T_NODE);
		tlv_put_str(b, T_PATH, e->nodes[i].path);
		tlv_put_str(b, T_HOST, e->nodes[i].host);
		tlv_put_i64(b, T_MAJOR, e->nodes[i].major);
		tlv_put_i64(b, T_MINOR, e->nodes[i].minor);
		tlv_put_u64(b, T_MODE, e->nodes[i].mode);
		tlv_put_u64(b, T_NODE_GID, e->nodes[i].gid);
		tlv_close(b, mark);
	}
	for (i = 0; i < e->mounts_n; i++) {
		mark = tlv_open(b, T_MOUNT);
		tlv_put_str(b, T_HOST, e->mounts[i].host);
		tlv_put_str(b, T_PATH, e->mounts[i].path);
		edits_put_list(b, T_OPTION, e->mounts[i].options);
		tlv_close(b, mark);
	}
	for (i = 0; i < e->env_n; i++)
		tlv_put_str(b, T_ENV, e->env[i]);
	for (i = 0; i < e->hooks_n; i++) {
		mark = tlv_open(b, T_HOOK);
		edits_put_list(b, T_ARG, e->hooks[i].args);
		tlv_close(b, mark);
	}
	for (i = 0; i < e->gids_n; i++)
		tlv_put_u64(b, T_GID, e->gids[i]);
}

/* A view as a C string of the scratch arena; NULL for a NUL inside or when the arena is full. */
static const char *edits_word(struct arena *a, struct sv v)
{
	if (v.n && memchr(v.p, 0, v.n))
		return NULL;
	return arena_strdup(a, v);
}

struct edits_scratch {
	struct arena *arena;
	const char *path, *host;
	const char *words[EDITS_WORDS_MAX + 1];
	size_t words_n;
	struct gpu_edit_node node;
};

static int edits_get_u32(struct sv v, unsigned *out)
{
	uint64_t n;

	if (tlv_u64(v, &n) < 0 || n > UINT32_MAX)
		return -EBADMSG;
	*out = (unsigned)n;
	return 0;
}

static int edits_get_part(struct edits_scratch *s, uint16_t tag, struct sv v)
{
	switch (tag) {
	case T_PATH:
		s->path = edits_word(s->arena, v);
		return s->path ? 0 : -EBADMSG;
	case T_HOST:
		s->host = edits_word(s->arena, v);
		return s->host ? 0 : -EBADMSG;
	case T_MAJOR:
		return tlv_i64(v, &s->node.major);
	case T_MINOR:
		return tlv_i64(v, &s->node.minor);
	case T_MODE:
		return edits_get_u32(v, &s->node.mode);
	case T_NODE_GID:
		return edits_get_u32(v, &s->node.gid);
	case T_OPTION:
	case T_ARG:
		if (s->words_n == EDITS_WORDS_MAX)
			return -EBADMSG;
		s->words[s->words_n] = edits_word(s->arena, v);
		return s->words[s->words_n++] ? 0 : -EBADMSG;
	default:
		return 0; /* of a newer peer */
	}
}

static int edits_get_parts(struct edits_scratch *s, struct sv bytes)
{
	struct tlv_reader reader = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int r = 0;

	arena_reset(s->arena);
	s->path = s->host = NULL;
	s->words_n = 0;
	s->node = (struct gpu_edit_node){ .major = -1, .minor = -1 };
	while (r == 0 && tlv_next(&reader, &tag, &v))
		r = edits_get_part(s, tag, v);
	s->words[s->words_n] = NULL;
	return r < 0 ? r : tlv_done(&reader);
}

static int edits_get_one(struct edits_scratch *s, uint16_t tag, struct sv v, struct gpu_edits *e)
{
	struct gpu_edit_mount mount;
	const char *word;
	unsigned gid;
	int r;

	if (tag == T_GID)
		return edits_get_u32(v, &gid) < 0 ? -EBADMSG : edits_add_gid(e, gid);
	if (tag == T_ENV) {
		arena_reset(s->arena);
		word = edits_word(s->arena, v);
		return word ? edits_add_env(e, word) : -EBADMSG;
	}
	if (tag != T_NODE && tag != T_MOUNT && tag != T_HOOK)
		return 0;
	r = edits_get_parts(s, v);
	if (r < 0)
		return r;
	if (tag == T_HOOK)
		return s->words_n ? edits_add_hook(e, s->words) : -EBADMSG;
	if (!s->path || (tag == T_MOUNT && !s->host))
		return -EBADMSG;
	if (tag == T_MOUNT) {
		mount = (struct gpu_edit_mount){ s->host, s->path, s->words };
		return edits_add_mount(e, &mount);
	}
	s->node.path = s->path;
	s->node.host = s->host;
	return edits_add_node(e, &s->node);
}

int edits_get(struct sv bytes, struct gpu_edits *e)
{
	struct tlv_reader reader = tlv_read(bytes);
	struct edits_scratch s = { 0 };
	uint16_t tag;
	struct sv v;
	int r = 0;

	s.arena = arena_new(EDITS_BYTES_MAX);
	while (r == 0 && tlv_next(&reader, &tag, &v))
		r = edits_get_one(&s, tag, v, e);
	if (r == 0)
		r = tlv_done(&reader);
	arena_free(&s.arena);
	return r == -E2BIG ? -EBADMSG : r;
}
