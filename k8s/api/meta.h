#pragma once
/*
 * Getters for what every object has, and the few differences between the served versions of
 * resource.k8s.io. All take parsed JSON, allocate nothing, and answer "" or 0 for what is absent.
 */
#include "core/buf.h"
#include "core/json.h"

/* Who wrote which field: often half of an object, and read by nobody here; parsed without it. */
#define META_BOOKKEEPING "managedFields"

/* Shapes of resource.k8s.io, newest first. v1beta2 is v1 under another name. */
enum api_version { API_VERSION_NONE, API_V1, API_V1BETA2, API_V1BETA1 };

const char *api_version_name(enum api_version v);	/* "v1"; "" for none */
const char *api_version_group_name(enum api_version v); /* "resource.k8s.io/v1" */

const char *meta_name(const struct json *object);
const char *meta_namespace(const struct json *object);
const char *meta_uid(const struct json *object);
const char *meta_rv(const struct json *object); /* resourceVersion, opaque but ordered */
const char *meta_kind(const struct json *object);
int64_t meta_generation(const struct json *object);
bool meta_deleting(const struct json *object); /* has a deletionTimestamp */
const char *meta_annotation(const struct json *object, const char *key); /* NULL if absent */
/* The uid of the owner of that kind ("" if none); of the first controller when kind is NULL. */
const char *meta_owner_uid(const struct json *object, const char *kind);

/*
 * Resource versions compare as decimal numbers of any length. <0, 0, >0; a version that is not
 * decimal cannot be ordered: META_RV_UNORDERED.
 */
enum { META_RV_UNORDERED = 2 };
int meta_rv_cmp(const char *a, const char *b);

/* Slices: the object that holds attributes and capacity (v1beta1 nests them in "basic"). */
const struct json *meta_device(const struct json *device, enum api_version v);
/* Claims: what an exact request asks (v1: "exactly"; v1beta1: the request itself), or NULL when
 * the request is a firstAvailable list. */
const struct json *meta_request(const struct json *request, enum api_version v);

struct jsonw;
/* Writers of the same differences: opens what holds attributes and capacity, closes it again. */
void meta_device_open(struct jsonw *w, enum api_version v);
void meta_device_close(struct jsonw *w, enum api_version v);
