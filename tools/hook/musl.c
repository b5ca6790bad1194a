#include "tools/hook/musl.h"

#include <errno.h>
#include <string.h>

static const char defaults[] = "/lib\n/usr/local/lib\n/usr/lib\n";

#if defined(__aarch64__)
#define NATIVE "aarch64"
#else
#define NATIVE "x86_64"
#endif

const char *musl_arch(const struct root *root, bool glibc)
{
	static const char *const archs[] = { "x86_64", "aarch64" };
	char loader[64];

	if (glibc && !root_has(root, "/etc/alpine-release"))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(archs); i++) {
		snprintf(loader, sizeof(loader), "/lib/ld-musl-%s.so.1", archs[i]);
		if (root_has(root, loader))
			return archs[i];
	}
	return root_has(root, "/etc/alpine-release") ? NATIVE : NULL;
}

/* musl separates folders by newlines and by colons. */
static bool lists(const char *text, const char *folder)
{
	size_t len = strlen(folder), part;

	for (; *text; text += part + (text[part] != '\0')) {
		part = strcspn(text, ":\n");
		if (part == len && memcmp(text, folder, len) == 0)
			return true;
	}
	return false;
}

char *musl_merge(const char *old, const struct paths *folders)
{
	size_t len = strlen(old) + 2, at = 0, part;
	char *text;

	for (size_t i = 0; i < folders->n; i++)
		len += strlen(folders->v[i]) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	for (size_t i = 0; i < folders->n; i++) {
		if (lists(old, folders->v[i]) || strchr(folders->v[i], ':'))
			continue;
		part = strlen(folders->v[i]);
		memcpy(text + at, folders->v[i], part);
		text[at + part] = '\n';
		at += part + 1;
	}
	memcpy(text + at, old, strlen(old) + 1);
	return text;
}

static int update(const struct root *root, const char *name, const char *old,
		  const struct paths *folders)
{
	auto_close int etc = -1;
	char *text = musl_merge(old, folders);
	int r = text ? 0 : -ENOMEM;

	if (text && strcmp(text, old) != 0) {
		etc = root_mkdirs(root, "/etc");
		r = etc < 0 ? etc : root_put(etc, name, text, strlen(text));
	}
	free(text);
	return r;
}

int musl_update(const struct root *root, const char *arch, const struct paths *folders,
		struct why *why)
{
	char *old = malloc(MUSL_PATH_FILE_MAX), name[64], path[80];
	ssize_t len = -ENOMEM;
	int r;

	snprintf(name, sizeof(name), "ld-musl-%s.path", arch);
	snprintf(path, sizeof(path), "/etc/%s", name);
	if (old)
		len = root_read(root, path, old, MUSL_PATH_FILE_MAX);
	if (len == -ENOENT)
		memcpy(old, defaults, sizeof(defaults));
	r = len < 0 && len != -ENOENT ? (int)len : update(root, name, old, folders);
	free(old);
	return r < 0 ? why_sys(why, r, "cannot add folders to %s in the container", path) : 0;
}
