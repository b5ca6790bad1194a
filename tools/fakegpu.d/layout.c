/*
 * Which GPUs a node has and where they sit. NVML's index, the minor number, the order of the PCI
 * addresses and the order of the UUIDs are four different permutations, from four GPUs on without
 * a single position in common: who mixes two of them up is wrong for every GPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fakegpu.d/fakegpu.h"

static uint64_t next_random(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15ull); /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* A stream of its own per profile, seed and purpose. */
static uint64_t stream(const struct state *st, uint32_t purpose)
{
	uint64_t x = st->seed * 0x100000001b3ull + purpose;
	const char *p;

	for (p = st->profile; *p != '\0'; p++)
		x = (x ^ (unsigned char)*p) * 0x100000001b3ull;
	return x;
}

/*
 * Steps round one seeded cycle through all slots: different numbers of steps from the same slot
 * never end in the same place. Fewer than four GPUs have not enough places, so some steps coincide.
 */
enum { BY_UUID = 1, BY_PCI = 2, BY_MINOR = 3 };

static uint32_t rank(const struct state *st, uint32_t slot, uint32_t total, uint32_t by)
{
	uint64_t x = stream(st, 2);
	uint32_t cycle[STATE_GPUS];
	uint32_t at = 0;
	uint32_t i;
	uint32_t k;

	for (i = 0; i < total; i++) {
		k = (uint32_t)(next_random(&x) % (i + 1));
		cycle[i] = cycle[k];
		cycle[k] = i;
	}
	while (cycle[at] != slot)
		at++;
	return cycle[(at + (by % total != 0 ? by : 1)) % total];
}

/* The r-th smallest of `total` random UUIDs. */
static void uuid_of_rank(const struct state *st, uint32_t r, uint32_t total, char out[48])
{
	uint64_t x = stream(st, 1);
	uint64_t high[STATE_GPUS];
	uint64_t low[STATE_GPUS];
	uint64_t h;
	uint64_t l;
	uint32_t i;
	uint32_t k;

	for (i = 0; i < total; i++) {
		h = next_random(&x);
		l = next_random(&x);
		for (k = i; k > 0 && high[k - 1] > h; k--) {
			high[k] = high[k - 1];
			low[k] = low[k - 1];
		}
		high[k] = h;
		low[k] = l;
	}
	snprintf(out, 48, "GPU-%08x-%04x-%04x-%04x-%012llx", (uint32_t)(high[r] >> 32),
		 (uint32_t)(high[r] >> 16 & 0xffff), (uint32_t)(high[r] & 0xffff),
		 (uint32_t)(low[r] >> 48), (unsigned long long)(low[r] & 0xffffffffffffull));
}

struct board {
	const char *key;
	unsigned char bus[8];
	unsigned char root[8];
	bool paired;   /* two GPUs below one PCIe switch */
	bool switched; /* a PCIe switch at all */
};

/* Buses as seen on such machines; the bridges between are plausible. */
static const struct board boards[] = {
	{ "h100",
	  { 0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf },
	  { 0x15, 0x3d, 0x4c, 0x5b, 0x97, 0xbd, 0xcb, 0xd9 },
	  false,
	  true },
	{ "a100",
	  { 0x07, 0x0f, 0x47, 0x4e, 0x87, 0x90, 0xb7, 0xbd },
	  { 0x00, 0x00, 0x40, 0x40, 0x80, 0x80, 0xb0, 0xb0 },
	  true,
	  true },
	{ "l40s",
	  { 0x21, 0x22, 0x61, 0x62, 0xa1, 0xa2, 0xe1, 0xe2 },
	  { 0x20, 0x20, 0x60, 0x60, 0xa0, 0xa0, 0xe0, 0xe0 },
	  false,
	  false },
	{ "t4",
	  { 0x18, 0x3b, 0x5e, 0x86, 0xaf, 0xd8, 0xe2, 0xf1 },
	  { 0x17, 0x3a, 0x5d, 0x85, 0xae, 0xd7, 0xe0, 0xf0 },
	  false,
	  false },
};

static const struct board *board_of(const char *key)
{
	uint32_t i;

	for (i = 0; i < sizeof(boards) / sizeof(boards[0]); i++)
		if (strcmp(boards[i].key, key) == 0)
			return &boards[i];
	return &boards[0]; /* h200 and b200 sit on the same kind of board */
}

/* Place on the bus: r-th in PCI order of `total`. */
static void place(struct state_gpu *g, const char *key, uint32_t r, uint32_t total)
{
	const struct board *b = board_of(key);
	uint32_t at = r % 8;
	unsigned int root = b->root[at];
	unsigned int bus = b->bus[at];
	char *up = g->upstream;

	g->numa = r < (total + 1) / 2 ? 0 : 1;
	if (strcmp(key, "gb200") == 0) {
		g->domain = r / 2 * 0x10 + 8 + r % 2;
		g->bus = 1;
		snprintf(up, sizeof(g->upstream), "pci%04x:00/%04x:00:00.0", g->domain, g->domain);
		return;
	}
	g->domain = r / 8;
	g->bus = bus;
	if (!b->switched)
		snprintf(up, sizeof(g->upstream), "pci%04x:%02x/%04x:%02x:%02x.1", g->domain, root,
			 g->domain, root, 1 + at % 2);
	else
		snprintf(up, sizeof(g->upstream),
			 "pci%04x:%02x/%04x:%02x:01.1/%04x:%02x:00.0/%04x:%02x:%02x.0", g->domain,
			 root, g->domain, root, g->domain, root + 1, g->domain, root + 2,
			 b->paired ? 4 * (at % 2) : 0);
}

static void connect(struct state *st, uint32_t slot, const char *nvlink, const struct model *m)
{
	struct state_gpu *g = &st->gpu[slot];
	uint64_t x = stream(st, 3);
	uint64_t r;

	g->link_count = m->links;
	g->link_peer = STATE_GPUS;
	if (nvlink != NULL && strcmp(nvlink, "none") == 0) {
		g->link_count = 0;
	} else if (nvlink != NULL && strcmp(nvlink, "pairs") == 0) {
		g->link_count = m->links != 0 ? m->links : 4;
		g->link_peer = slot ^ 1u;
		if (g->link_peer >= st->gpu_count) {
			g->link_count = 0; /* the odd one out has no bridge */
			g->link_peer = STATE_GPUS;
		}
	}
	if (!m->fabric)
		return;
	g->fabric_state = NVML_GPU_FABRIC_STATE_COMPLETED;
	g->fabric_status = NVML_SUCCESS;
	g->fabric_health = NVML_GPU_FABRIC_HEALTH_MASK_CLEAR;
	if (!m->mnnvl)
		return;
	g->clique = 32766;
	r = next_random(&x);
	memcpy(g->cluster, &r, sizeof(r));
	r = next_random(&x);
	memcpy(g->cluster + 8, &r, sizeof(r));
}

/* `total` is what the node was laid out for: GPUs added later come after all of them. */
void layout_gpu(struct state *st, uint32_t slot, uint32_t total, const char *nvlink)
{
	uint32_t model_index = 0;
	const struct model *m = model_find(st->profile, &model_index);
	struct state_gpu *g = &st->gpu[slot];
	bool late = slot >= total;
	uint32_t pci = late ? slot : rank(st, slot, total, BY_PCI);
	uint64_t x = stream(st, 100 + slot);

	*g = (struct state_gpu){ .present = 1, .model = model_index };
	g->minor = late ? slot : rank(st, slot, total, BY_MINOR);
	g->module_id = 1 + (pci * 5 + 2) % 8;
	place(g, m->key, pci, total);
	g->card = 1 + pci;
	if (st->dev[0] == '/')
		g->card += 64; /* a machine's own /dev/dri keeps its low numbers */
	if (late)
		snprintf(g->uuid, sizeof(g->uuid), "GPU-ff%06x-%04x-%04x-%04x-%012llx",
			 (uint32_t)(next_random(&x) & 0xffffff),
			 (uint32_t)(next_random(&x) & 0xffff), (uint32_t)(next_random(&x) & 0xffff),
			 (uint32_t)(next_random(&x) & 0xffff),
			 (unsigned long long)(next_random(&x) & 0xffffffffffffull));
	else
		uuid_of_rank(st, rank(st, slot, total, BY_UUID), total, g->uuid);
	snprintf(g->serial, sizeof(g->serial), "165%010llu",
		 (unsigned long long)(next_random(&x) % 10000000000ull));
	g->ecc_current = g->ecc_pending = m->ecc;
	g->persistence = NVML_FEATURE_ENABLED;
	g->addressing = m->addressing;
	connect(st, slot, nvlink, m);
}

void layout_gpus(struct state *st, const struct options *o)
{
	uint32_t index;
	uint32_t i;

	if (model_find(o->profile, &index) == NULL)
		die("unknown profile %s", o->profile);
	snprintf(st->profile, sizeof(st->profile), "%s", o->profile);
	st->gpu_count = o->count;
	for (i = 0; i < o->count; i++)
		layout_gpu(st, i, o->count, o->nvlink);
}
