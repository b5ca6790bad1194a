#pragma once
/*
 * What can be wrong with a node, how it is seen elsewhere and what to do: one table, from which
 * `tundra status`, its JSON and the status page tell what holds just now. Judges plain facts, so
 * that each row can be tested; status_doc.c gathers them from the running node.
 */
#include "gpu/inventory.h"
#include "k8s/node.h"

/* Of one condition, as many subjects (devices, claims) are told by name. */
enum { CONDITIONS_EACH_MAX = 16 };

enum condition_level {
	CONDITION_ERROR,   /* something does not work now */
	CONDITION_WARNING, /* it works, or will soon, but somebody should look */
	CONDITION_NOTE,	   /* good to know */
};

struct condition_device {
	const char *name, *pci, *trouble, *claim; /* trouble "" = none, claim NULL = free */
	bool present;
};
struct condition_facts {
	const char *driver;
	uint64_t up_ms; /* since tundra began to serve: what is still starting is not wrong yet */
	enum inventory_state inventory;
	const char *inventory_reason;
	uint64_t inventory_ms; /* in that state */
	const struct condition_device *devices;
	size_t devices_n;
	const struct inventory_worker *workers;
	size_t workers_n;
	const struct claim_info *claims; /* those that wait or are quarantined */
	size_t claims_n;
	struct driver_facts of_driver;
	bool api_down;
	const char *api_error;
	const char *conflict; /* NULL: none */
	bool events_forbidden;
	const struct loop_stats *loop;
};

struct finder;
struct condition {
	const char *id; /* stable: for scripts, and the heading in the documentation */
	enum condition_level level;
	const char *symptom, *seen, *todo;
	void (*check)(struct finder *f);
};
extern const struct condition conditions[];
extern const size_t conditions_n;

/* `subject`: which device or claim, "" = the node; `detail`: the cause as it was told, may be "".
 */
typedef void (*condition_fn)(void *arg, const struct condition *c, const char *subject,
			     const char *detail);
/* Calls fn for each that holds, in the table's order (errors first); views end with the call. */
void conditions_find(const struct condition_facts *facts, condition_fn fn, void *arg);
const char *condition_level_name(enum condition_level level); /* "error", "warning", "note" */
