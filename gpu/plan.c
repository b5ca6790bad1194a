#include "gpu/plan.h"

#include <errno.h>

#include "core/mem.h"
#include "core/sm.h"
#include "gpu/inventory.h"
#include "gpu/proto/tlv.h"
#include "gpu/vendor.h"

enum step_state {
	STEP_PLANNED,
	STEP_STARTED, /* may have had its effect */
	STEP_DONE,
	STEP_UNDONE,
	STEP_STATES
};

struct plan_step {
	struct plan *plan;
	const struct gpu_vendor *vendor;
	const struct plan_op *op;
	slab_handle device; /* 0 after plan_decode(): found by identity */
	char name[GPU_NAME_MAX + 1], pci[GPU_PCI_MAX + 1], uuid[GPU_UUID_MAX + 1];
	struct buf args, result;
	struct buf unknown; /* fields of a newer version, kept as they came */
	uint32_t state;	    /* enum step_state */
};

enum plan_state { PLAN_IDLE, PLAN_RUNNING, PLAN_UNDOING, PLAN_STATES };

/*
 * IDLE -> RUNNING -> IDLE, or -> UNDOING (a step failed, or the owner asks) -> IDLE.
 */
static const struct sm_conf plan_conf[PLAN_STATES] = {
	[PLAN_IDLE] = { "idle", SM_TO(PLAN_RUNNING) | SM_TO(PLAN_UNDOING) },
	[PLAN_RUNNING] = { "running", SM_TO(PLAN_IDLE) | SM_TO(PLAN_UNDOING) },
	[PLAN_UNDOING] = { "undoing", SM_TO(PLAN_IDLE) },
};

struct plan {
	struct sm sm;
	struct inventory *inv;
	struct plan_step **steps; /* each on its own: a worker's answer holds its address */
	size_t n, at;
	bool pending; /* steps[at] will call plan_step_done() */
	int status;
	struct err err;
	plan_fn fn;
	void *arg;
	struct buf unknown;
};

static bool plan_holds(const struct sm *sm, int prev)
{
	const struct plan *p = container_of(sm, const struct plan, sm);

	(void)prev;
	return !p->pending;
}

struct plan *plan_new(struct inventory *inv)
{
	struct plan *p = MEM_NEW(struct plan);

	p->inv = inv;
	buf_init(&p->unknown, PLAN_DATA_MAX);
	sm_init(&p->sm, plan_conf, plan_holds, PLAN_IDLE);
	return p;
}

static void plan_cancel(struct plan *p)
{
	if (!p->pending)
		return;
	must(p->steps[p->at]->op->cancel);
	p->steps[p->at]->op->cancel(p->steps[p->at]);
	p->pending = false;
}

static void plan_step_free(struct plan_step *s)
{
	buf_done(&s->args);
	buf_done(&s->result);
	buf_done(&s->unknown);
	mem_free(s);
}

void plan_free(struct plan **p)
{
	size_t i;

	if (!*p)
		return;
	plan_cancel(*p);
	for (i = 0; i < (*p)->n; i++)
		plan_step_free((*p)->steps[i]);
	mem_free((*p)->steps);
	buf_done(&(*p)->unknown);
	mem_free(*p);
	*p = NULL;
}

static struct plan_step *plan_step_new(struct plan *p)
{
	struct plan_step *s;

	if (p->n == PLAN_STEPS_MAX)
		return NULL;
	s = MEM_NEW(struct plan_step);
	p->steps = mem_realloc(p->steps, p->n + 1, sizeof(struct plan_step *));
	p->steps[p->n++] = s;
	s->plan = p;
	buf_init(&s->args, PLAN_DATA_MAX);
	buf_init(&s->result, PLAN_DATA_MAX);
	buf_init(&s->unknown, PLAN_DATA_MAX);
	return s;
}

int plan_add_step(struct plan *p, const struct gpu_device *d, const struct plan_op *op,
		  struct sv args, struct err *e)
{
	struct plan_step *s;

	must(sm_state(&p->sm) == PLAN_IDLE);
	s = plan_step_new(p);
	if (!s)
		return err_set(e, -E2BIG, "more than %d operations for one claim", PLAN_STEPS_MAX);
	s->vendor = d->vendor;
	s->op = op;
	s->device = d->handle;
	memcpy(s->name, d->name, sizeof(s->name));
	memcpy(s->pci, d->pci, sizeof(s->pci));
	memcpy(s->uuid, d->uuid, sizeof(s->uuid));
	must(buf_put_sv(&s->args, args));
	return 0;
}

int plan_add(struct plan *p, const struct gpu_device *d, struct sv config_json, struct err *e)
{
	if (!d->present)
		return err_set(e, -ENODEV, "device %s (%s) is no longer on this node", d->name,
			       d->pci);
	if (*d->trouble)
		return err_set(e, -ENODEV, "device %s (%s) cannot be used: %s", d->name, d->pci,
			       d->trouble);
	return d->vendor->plan(p, d, config_json, e);
}

int plan_config_fits(const struct gpu_device *d, struct sv config_json, struct err *e)
{
	return config_json.n ? d->vendor->config_fits(d, config_json, e) : 0;
}

struct gpu_device *plan_step_device(const struct plan_step *s)
{
	struct gpu_device *d =
	    s->device ? inventory_get(s->plan->inv, s->device)
		      : inventory_by_identity(s->plan->inv, sv_str(s->pci), sv_str(s->uuid));

	return d && d->present && !*d->trouble ? d : NULL;
}

int plan_step_missing(const struct plan_step *s, struct err *e)
{
	const struct gpu_device *d =
	    inventory_by_identity(s->plan->inv, sv_str(s->pci), sv_str(s->uuid));

	return err_set(e, -ENODEV, "device %s (%s) cannot be used: %s", s->name, s->pci,
		       d && d->present && *d->trouble ? d->trouble
						      : "it is no longer on this node");
}

struct sv plan_step_args(const struct plan_step *s)
{
	return buf_sv(&s->args);
}

struct sv plan_step_result(const struct plan_step *s)
{
	return buf_sv(&s->result);
}

void plan_step_set_result(struct plan_step *s, struct sv bytes)
{
	buf_clear(&s->result);
	must(buf_put_sv(&s->result, bytes));
}

bool plan_needs_worker(const struct plan *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->steps[i]->op->worker)
			return true;
	return false;
}

/* ---- running ---- */

static int plan_run_step(struct plan_step *s, struct err *e)
{
	s->state = STEP_STARTED;
	return s->op->run(s, e);
}

static int plan_undo_step(struct plan_step *s, struct err *e)
{
	if (s->state == STEP_UNDONE || !s->op->undo)
		return 0;
	return s->op->undo(s, e);
}

/* Keeps the first failure's status; a later failure (of an undo) is added to the text. */
static void plan_note(struct plan *p, int status, const struct err *e)
{
	char first[ERR_TEXT_MAX];

	if (p->status == 0) {
		p->status = status;
		p->err = *e;
		return;
	}
	sv_copy(first, sizeof(first), sv_str(p->err.text));
	err_set(&p->err, p->status, "%s; undo of %s failed: %s", first, p->steps[p->at]->name,
		e->text);
}

/* One step has ended. Moves `at`; false when the direction's end is reached. */
static bool plan_advance(struct plan *p, int status, const struct err *e)
{
	struct plan_step *s = p->steps[p->at];

	if (sm_state(&p->sm) == PLAN_UNDOING) {
		if (status < 0)
			plan_note(p, status, e);
		else
			s->state = STEP_UNDONE;
		return p->at-- > 0;
	}
	if (status < 0) {
		plan_note(p, status, e);
		sm_move(&p->sm, PLAN_UNDOING); /* the failed step may have done half */
		return true;
	}
	s->state = STEP_DONE;
	return ++p->at < p->n;
}

static void plan_finish(struct plan *p)
{
	plan_fn fn = p->fn;

	p->fn = NULL;
	sm_move(&p->sm, PLAN_IDLE);
	fn(p->arg, p->status, &p->err); /* may free p */
}

static void plan_go(struct plan *p)
{
	struct err e = { "" };
	bool more = p->n > 0;
	int r;

	while (more) {
		r = sm_state(&p->sm) == PLAN_RUNNING ? plan_run_step(p->steps[p->at], &e)
						     : plan_undo_step(p->steps[p->at], &e);
		if (r == PLAN_PENDING) {
			p->pending = true;
			return;
		}
		must(r <= 0);
		more = plan_advance(p, r, &e);
	}
	plan_finish(p);
}

void plan_step_done(struct plan_step *s, int status, const struct err *e)
{
	static const struct err none = { "" };
	struct plan *p = s->plan;

	must(p->pending && s == p->steps[p->at] && status <= 0);
	p->pending = false;
	if (plan_advance(p, status, e ? e : &none))
		plan_go(p);
	else
		plan_finish(p);
}

static void plan_begin(struct plan *p, plan_fn fn, void *arg)
{
	p->fn = fn;
	p->arg = arg;
	p->status = 0;
	p->err.text[0] = '\0';
}

void plan_run(struct plan *p, plan_fn fn, void *arg)
{
	must(sm_state(&p->sm) == PLAN_IDLE);
	plan_begin(p, fn, arg);
	p->at = 0;
	sm_move(&p->sm, PLAN_RUNNING);
	plan_go(p);
}

void plan_undo(struct plan *p, plan_fn fn, void *arg)
{
	plan_cancel(p);
	plan_begin(p, fn, arg);
	p->at = p->n ? p->n - 1 : 0;
	if (sm_state(&p->sm) != PLAN_UNDOING)
		sm_move(&p->sm, PLAN_UNDOING);
	plan_go(p);
}

/* ---- in the ledger; numbers of the wire: never reuse one ---- */

enum { T_VERSION = 1, T_STEP };
enum { T_VENDOR = 1, T_OP, T_NAME, T_PCI, T_UUID, T_STATE, T_ARGS, T_RESULT };
enum { PLAN_VERSION = 1 };

static const struct tlv_field step_fields[] = {
	TLV_FIELD(T_NAME, TLV_TEXT, struct plan_step, name),
	TLV_FIELD(T_PCI, TLV_TEXT, struct plan_step, pci),
	TLV_FIELD(T_UUID, TLV_TEXT, struct plan_step, uuid),
	TLV_FIELD(T_STATE, TLV_U32, struct plan_step, state),
};

void plan_encode(const struct plan *p, struct buf *out)
{
	const struct plan_step *s;
	size_t i, mark;

	tlv_put_u64(out, T_VERSION, PLAN_VERSION);
	for (i = 0; i < p->n; i++) {
		s = p->steps[i];
		mark = tlv_open(out, T_STEP);
		tlv_put_str(out, T_VENDOR, s->vendor->name);
		tlv_put_str(out, T_OP, s->op->name);
		tlv_put_fields(out, step_fields, ARRAY_LEN(step_fields), s);
		if (buf_len(&s->args))
			tlv_put(out, T_ARGS, buf_sv(&s->args));
		if (buf_len(&s->result))
			tlv_put(out, T_RESULT, buf_sv(&s->result));
		buf_put_sv(out, buf_sv(&s->unknown));
		tlv_close(out, mark);
	}
	buf_put_sv(out, buf_sv(&p->unknown));
}

static const struct plan_op *plan_find_op(const struct gpu_vendor *v, struct sv name)
{
	size_t i;

	for (i = 0; i < v->ops_n; i++)
		if (sv_eqs(name, v->ops[i].name))
			return &v->ops[i];
	return NULL;
}

static int plan_damaged(struct err *e)
{
	return err_set(e, -EBADMSG, "damaged plan");
}

static int plan_keep(struct buf *unknown, uint16_t tag, struct sv v, struct err *e)
{
	tlv_put(unknown, tag, v);
	return unknown->full ? plan_damaged(e) : 0;
}

static int plan_decode_field(struct plan_step *s, uint16_t tag, struct sv v, struct err *e)
{
	int r;

	switch (tag) {
	case T_VENDOR: /* taken before: an operation's name means nothing without */
	case T_OP:
		return 0;
	case T_ARGS:
		return buf_put_sv(&s->args, v) ? 0 : plan_damaged(e);
	case T_RESULT:
		return buf_put_sv(&s->result, v) ? 0 : plan_damaged(e);
	default:
		r = tlv_get_field(step_fields, ARRAY_LEN(step_fields), tag, v, s);
		if (r == 1)
			return plan_keep(&s->unknown, tag, v, e);
		return r < 0 ? plan_damaged(e) : 0;
	}
}

static int plan_decode_kind(struct plan_step *s, struct sv bytes, struct err *e)
{
	struct tlv_reader reader = tlv_read(bytes);
	struct sv vendor = SV_NONE, op = SV_NONE, v;
	uint16_t tag;

	while (tlv_next(&reader, &tag, &v)) {
		if (tag == T_VENDOR)
			vendor = v;
		if (tag == T_OP)
			op = v;
	}
	if (tlv_done(&reader) < 0 || vendor.n > PLAN_WORD_MAX || op.n > PLAN_WORD_MAX)
		return plan_damaged(e);
	s->vendor = vendor_find(inventory_vendors(s->plan->inv), vendor);
	if (!s->vendor)
		return err_set(e, -ENOTSUP,
			       "plan of vendor \"" SV_FMT "\", which this version "
			       "does not know",
			       SV_ARG(vendor));
	s->op = plan_find_op(s->vendor, op);
	if (!s->op)
		return err_set(e, -ENOTSUP,
			       "operation \"" SV_FMT "\" of vendor %s, which this "
			       "version does not know",
			       SV_ARG(op), s->vendor->name);
	return 0;
}

static int plan_decode_step(struct plan *p, struct sv bytes, struct err *e)
{
	struct tlv_reader reader = tlv_read(bytes);
	struct plan_step *s = plan_step_new(p);
	uint16_t tag;
	struct sv v;
	int r;

	if (!s)
		return plan_damaged(e);
	r = plan_decode_kind(s, bytes, e);
	while (r == 0 && tlv_next(&reader, &tag, &v))
		r = plan_decode_field(s, tag, v, e);
	if (r == 0 && (tlv_done(&reader) < 0 || s->state >= STEP_STATES))
		r = plan_damaged(e);
	return r;
}

static int plan_decode_top(struct plan *p, uint16_t tag, struct sv v, struct err *e)
{
	uint64_t version;

	switch (tag) {
	case T_VERSION:
		if (tlv_u64(v, &version) < 0)
			return plan_damaged(e);
		if (version != PLAN_VERSION)
			return err_set(e, -ENOTSUP, "plan of format %llu, this version reads %d",
				       (unsigned long long)version, PLAN_VERSION);
		return 0;
	case T_STEP:
		return plan_decode_step(p, v, e);
	default:
		return plan_keep(&p->unknown, tag, v, e);
	}
}

int plan_decode(struct inventory *inv, struct sv bytes, struct plan **out, struct err *e)
{
	struct tlv_reader reader = tlv_read(bytes);
	struct plan *p = plan_new(inv);
	uint16_t tag;
	struct sv v;
	int r = 0;

	while (r == 0 && tlv_next(&reader, &tag, &v))
		r = plan_decode_top(p, tag, v, e);
	if (r == 0 && tlv_done(&reader) < 0)
		r = plan_damaged(e);
	if (r < 0) {
		plan_free(&p);
		return r;
	}
	*out = p;
	return 0;
}
