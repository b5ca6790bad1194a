#pragma once
/*
 * A life of a journal, step by step, and what must be in the file after each: the model that the
 * crash sweeps compare with. Keys are the letters a to z, bodies are made from the step's number.
 */
#include "core/journal_disk.h"

enum { SCRIPT_KEYS = 26 };

/* What the file says, or should say. */
struct script_state {
	uint16_t step[SCRIPT_KEYS], size[SCRIPT_KEYS]; /* size 0: the key is not there */
};

/* How far it came; in shared memory when the process that runs it is to be killed. */
struct script_progress {
	bool opened;	/* OPEN was answered once */
	unsigned begun; /* steps whose request was made */
	unsigned done;	/* steps that were answered */
};

unsigned script_steps(void);
/* After the first n steps. */
void script_model(unsigned n, struct script_state *out);
bool script_same(const struct script_state *a, const struct script_state *b);
/*
 * Reads a file. -ENOENT: there is none. Anything else that is not a whole journal, a corrupt record
 * or a body that no step wrote ends the program with a message.
 */
int script_read(const char *path, struct script_state *out) NODISCARD;
/*
 * Opens `path` and goes on behind step p->done; in a second life (p->opened) behind a batch that
 * changes nothing in the end. Every answer must be as the script expects; 0, or the code of the one
 * that was not.
 */
int script_run(struct journal_disk *d, const char *path, struct script_progress *p) NODISCARD;
/*
 * After a crash at p: the file must hold every step that was done, and the one that was begun
 * wholly or not at all. Sets p->done to what is there; false with a message when it is neither.
 */
bool script_holds(const char *path, struct script_progress *p);
/* A journal disk asked to open `path` and to run the rest must succeed and end as the model. */
bool script_recovers(const char *path, struct script_progress p);

/* Called between batch and space limit; see test/lib/faults.h, which only one file may include. */
void script_limit_space(bool limited, size_t bytes);
