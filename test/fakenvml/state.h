#pragma once
/*
 * The state of the fake hardware: one file in the fake driver root, mapped MAP_SHARED by every
 * process that loads the fake library and by tools/fakegpu, which creates and changes it.
 *
 * Plain fixed-size data, no pointers. Changes happen under state_lock(EXCLUSIVE), a flock that
 * the kernel drops when its holder is killed; so a crash test never leaves it locked. `wake` is a
 * futex word: whoever sleeps in the library (an event wait, a hang) sleeps on it, and every change
 * made by tools/fakegpu moves it. A mapping may be read-only (a driver root mounted `ro`): then
 * queries, faults and events work, mutations fail, calls are not counted.
 */
#include <stdbool.h>
#include <stdint.h>

#include "third_party/nvml/nvml.h"

#define STATE_MAGIC  0x4c4d564e454b4146ull /* "FAKENVML" */
#define STATE_LAYOUT 1u
#define STATE_FILE   "fakenvml.state"

enum {
	STATE_GPUS = 16,
	STATE_GIS = 8, /* GPU instances of one GPU; 7 is NVIDIA's limit */
	STATE_CIS = 8,
	STATE_PROCS = 8,
	STATE_FAULTS = 16,
	STATE_EVENTS = 64, /* ring: a reader more than this behind loses the oldest */
	STATE_PATH = 256,
};

/* Every symbol's number, for faults and call counts; the same in the 525 library. */
#define STATE_FN(need, since, ret, name, params) FN_##name,
enum state_fn { NVML_SYMBOLS(STATE_FN) FN_NR, FN_ANY = FN_NR };

struct state_ci {
	uint32_t used;
	uint32_t id;
	uint32_t profile; /* CI profile enum */
	uint32_t start;
	uint32_t size;
	uint32_t serial; /* of this incarnation: a handle of an earlier one is dead */
};

struct state_gi {
	uint32_t used;
	uint32_t id;
	uint32_t profile; /* GI profile enum */
	uint32_t start;
	uint32_t size;
	uint32_t serial;
	struct state_ci ci[STATE_CIS];
};

struct state_proc {
	uint32_t pid; /* 0: free */
	uint32_t gi;  /* NVML_NO_INSTANCE: whole GPU */
	uint32_t ci;
	uint32_t mib;
};

/* NVML's index is the position among those present when the library is initialised. */
struct state_gpu {
	uint32_t present; /* on the bus */
	uint32_t lost;	  /* "fallen off the bus": there, every call says GPU_IS_LOST */
	uint32_t model;	  /* model_get() */
	uint32_t minor;
	uint32_t module_id;
	uint32_t domain;
	uint32_t bus;
	uint32_t device;
	int32_t numa;
	uint32_t card;	    /* /dev/dri/card<N>, renderD<128+N> */
	char upstream[128]; /* sysfs path from /sys/devices to the parent bridge */
	char uuid[48];
	char serial[32];
	uint32_t mig_current;
	uint32_t mig_pending;
	uint32_t ecc_current;
	uint32_t ecc_pending;
	uint32_t compute_mode;
	uint32_t persistence;
	uint32_t virt_mode;
	uint32_t addressing;   /* NVML_DEVICE_ADDRESSING_MODE_*, 0xff: not supported */
	uint32_t links_down;   /* bit per NVLink */
	uint32_t link_peer;    /* GPU slot the links lead to, STATE_GPUS: an NVSwitch */
	uint32_t link_count;   /* 0: no NVLink */
	uint32_t fabric_state; /* NVML_GPU_FABRIC_STATE_* */
	uint32_t fabric_status;
	uint32_t clique;
	uint8_t cluster[NVML_GPU_FABRIC_UUID_LEN];
	uint32_t fabric_health;
	uint32_t remap_pending;
	uint32_t remap_failed;
	uint32_t next_serial; /* of GIs and CIs */
	struct state_gi gi[STATE_GIS];
	struct state_proc proc[STATE_PROCS];
};

enum state_fault_kind {
	FAULT_NONE,
	FAULT_FAIL,  /* return rc */
	FAULT_SLOW,  /* sleep ms, then go on */
	FAULT_HANG,  /* sleep until the fault is cleared */
	FAULT_CRASH, /* abort() */
	FAULT_WRONG, /* succeed, every byte of the answer replaced */
};

struct state_fault {
	uint32_t kind;
	uint32_t id;   /* 1, 2, ...: a hang ends when the slot no longer carries its id */
	uint32_t fn;   /* enum state_fn, FN_ANY */
	uint32_t gpu;  /* slot, STATE_GPUS: any */
	int32_t times; /* remaining, -1: no end */
	uint32_t ms;
	uint32_t rc;
	uint32_t byte;
	uint32_t hits; /* how often it struck */
};

struct state_event {
	uint64_t seq; /* 1, 2, ... */
	uint64_t type;
	uint64_t data;
	uint32_t gpu;
	uint32_t gi;
	uint32_t ci;
};

struct state {
	uint64_t magic;
	uint32_t layout;
	uint32_t size;
	uint32_t wake;	     /* futex */
	uint32_t driver_gen; /* moves with each (un)load of the driver: older sessions are dead */
	uint32_t driver_loaded;
	uint32_t gpu_count; /* slots in use, present or not */
	uint32_t seed;
	int32_t cuda_version; /* 13000 */
	char driver_version[32];
	char profile[32];
	char dev[STATE_PATH];  /* where the nodes are; relative: to the state file's folder */
	char proc[STATE_PATH]; /* likewise, /proc */
	uint32_t make_nodes;   /* capability nodes are real (mknod), not plain files */
	uint32_t caps_major;
	uint32_t cc_environment;
	uint32_t cc_feature;
	uint32_t cc_devtools;
	uint32_t cc_multigpu;
	uint32_t next_fault;
	uint64_t next_event; /* seq of the next one; ring slot = seq % STATE_EVENTS */
	uint64_t calls[FN_NR];
	struct state_fault fault[STATE_FAULTS];
	struct state_event event[STATE_EVENTS];
	struct state_gpu gpu[STATE_GPUS];
};

enum state_lock_kind { STATE_SHARED, STATE_EXCLUSIVE };

/* A mapped state file. Owner: whoever called state_open or state_create. */
struct state_map {
	struct state *st;
	int fd;
	bool writable;
	uint64_t dev; /* identity of the file, to notice that it was made anew */
	uint64_t ino;
	char dir[STATE_PATH]; /* folder of the file */
};

/* 0 or -errno; -EPROTO: another layout. */
int state_open(struct state_map *m, const char *path);
int state_create(struct state_map *m, const char *path);
void state_close(struct state_map *m);

void state_lock(const struct state_map *m, enum state_lock_kind kind);
void state_unlock(const struct state_map *m);

/* Sleeps until wake is no longer `seen`, or ms passed. */
void state_sleep(const struct state *st, uint32_t seen, uint64_t ms);
void state_wake(struct state *st);
uint32_t state_seen(const struct state *st);

/* "dev" or "proc" of the state as a path this process can open, plus `leaf`. */
void state_path(const struct state_map *m, const char *base, const char *leaf, char *out,
		unsigned int len);

const char *state_fn_name(uint32_t fn);
uint32_t state_fn_find(const char *name); /* FN_ANY: unknown */

/* "0000:1b:00.0" as sysfs spells it, or "00000000:1B:00.0" as NVML does. */
void state_bdf(const struct state_gpu *g, bool nvml, char *out, unsigned int len);

/* Minor number of a MIG capability; ci == NVML_NO_INSTANCE: of the GPU instance itself. */
uint32_t state_cap_minor(uint32_t gpu_minor, uint32_t gi, uint32_t ci);
