#include "test/lib/jx_patch.h"

#include <errno.h>

#include "core/mem.h"

json_t *jx_merge(const json_t *target, const json_t *patch)
{
	json_t *out;
	const char *key;
	json_t *value;

	if (!json_is_object(patch))
		return json_deep_copy(patch);
	out = json_is_object(target) ? json_deep_copy(target) : json_object();
	json_object_foreach((json_t *)(uintptr_t)patch, key, value)
	{
		if (json_is_null(value))
			json_object_del(out, key);
		else
			json_object_set_new(out, key, jx_merge(json_object_get(out, key), value));
	}
	return out;
}

/* ---- lists that are maps ---- */

/* The keys of an item, by the name of the list; from the +listMapKey marks of the API's types. */
static const char *const *keys_of_list(const char *list)
{
	static const char *const devices[] = { "driver", "device", "pool", "shareID", NULL };
	static const char *const type[] = { "type", NULL }, *const uid[] = { "uid", NULL },
				 *const name[] = { "name", NULL };

	if (!strcmp(list, "devices"))
		return devices;
	if (!strcmp(list, "conditions"))
		return type;
	if (!strcmp(list, "ownerReferences") || !strcmp(list, "reservedFor"))
		return uid;
	return !strcmp(list, "containers") ? name : NULL;
}

static bool same_item(const json_t *a, const json_t *b, const char *const *keys)
{
	for (; *keys; keys++)
		if (strcmp(jx_text(jx_get(a, *keys)), jx_text(jx_get(b, *keys))) != 0)
			return false;
	return true;
}

static json_t *find_item(const json_t *list, const json_t *item, const char *const *keys)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (same_item(json_array_get(list, i), item, keys))
			return json_array_get(list, i);
	return NULL;
}

static bool is_key(const char *const *keys, const char *name)
{
	for (; keys && *keys; keys++)
		if (!strcmp(*keys, name))
			return true;
	return false;
}

/* ---- removing what a manager no longer names ---- */

static void remove_stale(json_t *target, const json_t *before, const json_t *now);

static void remove_stale_items(json_t *target, const json_t *before, const json_t *now,
			       const char *const *keys)
{
	for (size_t i = json_array_size(target); i-- > 0;) {
		json_t *item = json_array_get(target, i);
		const json_t *had = find_item(before, item, keys);
		const json_t *has = find_item(now, item, keys);

		if (had && !has)
			json_array_remove(target, i);
		else if (had)
			remove_stale(item, had, has);
	}
}

static void remove_stale(json_t *target, const json_t *before, const json_t *now)
{
	const char *key;
	json_t *had;

	json_object_foreach((json_t *)(uintptr_t)before, key, had)
	{
		json_t *at = json_object_get(target, key);
		const json_t *has = json_object_get(now, key);

		if (!at)
			continue;
		if (json_is_object(had) && json_is_object(at))
			remove_stale(at, had, has);
		else if (json_is_array(had) && keys_of_list(key))
			remove_stale_items(at, had, has, keys_of_list(key));
		else if (!has)
			json_object_del(target, key);
	}
}

/* ---- conflicts ---- */

/* True when `other` names a value at this place that differs from ours. */
static bool disagrees(const json_t *ours, const json_t *other, const char *const *item_keys,
		      struct buf *path)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)ours, key, value)
	{
		const json_t *theirs = json_object_get(other, key);
		const char *const *keys = keys_of_list(key);
		size_t mark = buf_len(path);

		if (!theirs || is_key(item_keys, key))
			continue;
		buf_printf(path, ".%s", key);
		if (json_is_object(value) && json_is_object(theirs)) {
			if (disagrees(value, theirs, NULL, path))
				return true;
		} else if (json_is_array(value) && keys) {
			for (size_t i = 0; i < json_array_size(value); i++) {
				json_t *item = json_array_get(value, i);
				const json_t *match = find_item(theirs, item, keys);

				if (match && disagrees(item, match, keys, path))
					return true;
			}
		} else if (!json_equal(value, theirs)) {
			return true;
		}
		path->end = path->start + mark;
	}
	return false;
}

static bool in_conflict(const json_t *applied, const json_t *others, struct buf *path)
{
	static const char *const identity[] = { "apiVersion", "kind", "metadata", NULL };

	for (size_t i = 0; i < json_array_size(others); i++)
		if (disagrees(applied, json_array_get(others, i), identity, path))
			return true;
	return false;
}

/* ---- applying ---- */

static void merge_in(json_t *target, const json_t *applied);

static void merge_items(json_t *target, const json_t *applied, const char *const *keys)
{
	for (size_t i = 0; i < json_array_size(applied); i++) {
		const json_t *item = json_array_get(applied, i);
		json_t *at = find_item(target, item, keys);

		if (at)
			merge_in(at, item);
		else
			json_array_append_new(target, json_deep_copy(item));
	}
}

static void merge_in(json_t *target, const json_t *applied)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)applied, key, value)
	{
		if (json_is_object(value))
			merge_in(jx_obj(target, key), value);
		else if (json_is_array(value) && keys_of_list(key))
			merge_items(jx_arr(target, key), value, keys_of_list(key));
		else
			json_object_set_new(target, key, json_deep_copy(value));
	}
}

json_t *jx_apply(const json_t *target, const json_t *applied, const json_t *before,
		 const json_t *others, bool force, struct err *e)
{
	struct buf path;
	json_t *out;

	buf_init(&path, ERR_TEXT_MAX / 2);
	if (!force && in_conflict(applied, others, &path)) {
		err_set(e, -EEXIST, "%s", buf_cstr(&path));
		buf_done(&path);
		return NULL;
	}
	buf_done(&path);
	out = target ? json_deep_copy(target) : json_object();
	if (before)
		remove_stale(out, before, applied);
	merge_in(out, applied);
	return out;
}
