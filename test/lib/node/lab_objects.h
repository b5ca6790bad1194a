#pragma once
/* Part of lab: see lab_objects.c. */
#include "test/lib/store.h"

char *lab_allocation_text(const char *devices); /* caller frees */
void lab_put_claim(struct store *s, const char *name, const char *uid, const char *allocation);
void lab_delete_claim(struct store *s, const char *name);
size_t lab_count_objects(struct store *s, const char *resource);
char *lab_object_text(struct store *s, const char *resource, size_t i);
void lab_delete_object(struct store *s, const char *resource, const char *name);
size_t lab_count_events(struct store *s, const char *reason, const char **message);
void lab_delete_pod(struct store *s, const char *name, bool force);
const char *lab_phase_of_pod(struct store *s, const char *name);
void lab_end_claim(struct store *s, const char *name);
void lab_forget_events(struct store *s);
size_t lab_count_published(struct store *s);
bool lab_uuid_published(struct store *s, size_t i, char *out, size_t size);
char *lab_allocated_devices(struct store *s, const char *name);
void lab_delete_objects(struct store *s, const char *resource);
