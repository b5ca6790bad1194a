#pragma once
/*
 * A container to be hooked: a bundle with config.json and a root folder under /tmp, the state
 * file that a runtime would write, tiny ELF libraries, and the call of a command. All functions
 * fail the running test when the lab itself does not work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/hook/hook.h"

#define LAB_UNUSED __attribute__((unused))

struct lab {
	char dir[64];	 /* everything */
	char root[96];	 /* the container's root */
	char state[96];	 /* the state file */
	char params[96]; /* stands for the host's driver parameters */
	struct hook hook;
};

/*
 * Skips the running test, saying why; where everything is required, that is a failure, but for an
 * emulator: what it cannot do is tried natively.
 */
static LAB_UNUSED void lab_skip(const char *reason)
{
#ifdef TEST_EMULATED
	const char *require = NULL;
#else
	const char *require = getenv("TUNDRA_REQUIRE");
#endif

	if (require && strcmp(require, "all") == 0)
		fail_msg("would be skipped: %s", reason);
	print_message("skipped: %s\n", reason);
	skip();
}

static inline void lab_path(const struct lab *lab, const char *rel, char out[4096])
{
	assert_true(snprintf(out, 4096, "%s/%s", lab->root, rel) < 4096);
}

static LAB_UNUSED void lab_host_write(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/* Folders above `rel` are made as needed. */
static LAB_UNUSED void lab_mkdirs(const struct lab *lab, const char *rel)
{
	char path[4096];

	lab_path(lab, rel, path);
	for (char *p = path + strlen(lab->root) + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*p = '/';
	}
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
}

static LAB_UNUSED void lab_above(const struct lab *lab, const char *rel)
{
	char dir[4096];
	char *slash;

	assert_true(snprintf(dir, sizeof(dir), "%s", rel) < (int)sizeof(dir));
	slash = strrchr(dir, '/');
	if (!slash)
		return;
	*slash = '\0';
	lab_mkdirs(lab, dir);
}

static LAB_UNUSED void lab_bytes(const struct lab *lab, const char *rel, const void *bytes,
				 size_t len)
{
	char path[4096];

	lab_above(lab, rel);
	lab_path(lab, rel, path);
	lab_host_write(path, bytes, len);
}

static LAB_UNUSED void lab_write(const struct lab *lab, const char *rel, const char *text)
{
	lab_bytes(lab, rel, text, strlen(text));
}

static LAB_UNUSED void lab_link(const struct lab *lab, const char *rel, const char *target)
{
	char path[4096];

	lab_above(lab, rel);
	lab_path(lab, rel, path);
	assert_int_equal(symlink(target, path), 0);
}

static LAB_UNUSED bool lab_has(const struct lab *lab, const char *rel)
{
	char path[4096];
	struct stat st;

	lab_path(lab, rel, path);
	return lstat(path, &st) == 0;
}

/* NUL-terminated contents; the caller frees. NULL when there is no such file. */
static LAB_UNUSED char *lab_read(const struct lab *lab, const char *rel, size_t *len)
{
	char path[4096];
	struct stat st;
	char *bytes;
	int fd;

	lab_path(lab, rel, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	bytes[st.st_size] = '\0';
	close(fd);
	if (len)
		*len = (size_t)st.st_size;
	return bytes;
}

static LAB_UNUSED void lab_assert_text(const struct lab *lab, const char *rel, const char *text)
{
	char *now = lab_read(lab, rel, NULL);

	assert_non_null(now);
	assert_string_equal(now, text);
	free(now);
}

static LAB_UNUSED void lab_assert_link(const struct lab *lab, const char *rel, const char *target)
{
	char path[4096], now[4096];
	ssize_t len;

	lab_path(lab, rel, path);
	len = readlink(path, now, sizeof(now) - 1);
	assert_true(len > 0);
	now[len] = '\0';
	assert_string_equal(now, target);
}

static LAB_UNUSED int lab_rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static LAB_UNUSED void lab_empty(const struct lab *lab)
{
	nftw(lab->root, lab_rm_one, 32, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(lab->root, 0755), 0);
}

static LAB_UNUSED struct lab *lab_new(void)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	char path[128], text[256];

	assert_non_null(lab);
	snprintf(lab->dir, sizeof(lab->dir), "/tmp/tundra-hook-XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	snprintf(lab->root, sizeof(lab->root), "%s/rootfs", lab->dir);
	snprintf(lab->state, sizeof(lab->state), "%s/state.json", lab->dir);
	snprintf(lab->params, sizeof(lab->params), "%s/params", lab->dir);
	assert_int_equal(mkdir(lab->root, 0755), 0);
	snprintf(path, sizeof(path), "%s/config.json", lab->dir);
	snprintf(text, sizeof(text), "{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"rootfs\"}}");
	lab_host_write(path, text, strlen(text));
	snprintf(text, sizeof(text), "{\"ociVersion\":\"1.1.0\",\"id\":\"c\",\"bundle\":\"%s\"}",
		 lab->dir);
	lab_host_write(lab->state, text, strlen(text));
	lab->hook = (struct hook){
		.why = { .quiet = true },
		.version = "0.0.0-test",
		.state_fd = -1,
		.host_params = lab->params,
	};
	return lab;
}

static LAB_UNUSED void lab_free(struct lab *lab)
{
	nftw(lab->dir, lab_rm_one, 32, FTW_DEPTH | FTW_PHYS);
	free(lab);
}

static LAB_UNUSED int lab_setup(void **state)
{
	*state = lab_new();
	return 0;
}

static LAB_UNUSED int lab_teardown(void **state)
{
	lab_free(*state);
	return 0;
}

typedef int (*lab_command)(struct hook *hook, int argc, char **argv);

/* Runs a command on the lab's container; the arguments end with NULL. */
static LAB_UNUSED int lab_run(struct lab *lab, lab_command command, ...)
{
	static char name[] = "command", flag[] = "--container-spec";
	char *argv[64] = { name, flag, lab->state };
	int argc = 3;
	va_list ap;

	lab->hook.why.text[0] = '\0';
	va_start(ap, command);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	return command(&lab->hook, argc, argv);
}

static LAB_UNUSED void lab_ok(struct lab *lab, int status)
{
	if (status != HOOK_OK)
		fail_msg("status %d: %s", status, lab->hook.why.text);
}

/* Description of an ELF file to make. */
struct lab_elf {
	const char *soname; /* NULL: none */
	uint16_t machine;
	uint32_t flags;
	bool narrow; /* 32 bits */
	uint16_t type;
};

/* Headers, one PT_LOAD over all, PT_DYNAMIC, strings. Returns the length. */
static LAB_UNUSED size_t lab_elf_make(const struct lab_elf *want, char out[1024])
{
	const char *soname = want->soname ? want->soname : "";
	size_t len = 601 + strlen(soname) + 1;

	assert_true(len <= 1024);
	memset(out, 0, 1024);
	memcpy(out + 601, soname, strlen(soname) + 1);
	if (want->narrow) {
		Elf32_Ehdr h = { .e_type = want->type,
				 .e_machine = want->machine,
				 .e_flags = want->flags,
				 .e_phoff = 64,
				 .e_phnum = 2,
				 .e_phentsize = sizeof(Elf32_Phdr) };
		Elf32_Phdr p[2] = { { .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = 1024 },
				    { .p_type = PT_DYNAMIC, .p_offset = 300, .p_filesz = 24 } };
		Elf32_Dyn d[3] = { { .d_tag = DT_STRTAB, .d_un.d_val = 0x10000 + 600 },
				   { .d_tag = want->soname ? DT_SONAME : DT_NULL,
				     .d_un.d_val = 1 } };

		memcpy(h.e_ident, ELFMAG, SELFMAG);
		h.e_ident[EI_CLASS] = ELFCLASS32;
		h.e_ident[EI_DATA] = ELFDATA2LSB;
		h.e_ident[EI_VERSION] = EV_CURRENT;
		memcpy(out, &h, sizeof(h));
		memcpy(out + 64, p, sizeof(p));
		memcpy(out + 300, d, sizeof(d));
	} else {
		Elf64_Ehdr h = { .e_type = want->type,
				 .e_machine = want->machine,
				 .e_flags = want->flags,
				 .e_phoff = 64,
				 .e_phnum = 2,
				 .e_phentsize = sizeof(Elf64_Phdr) };
		Elf64_Phdr p[2] = { { .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = 1024 },
				    { .p_type = PT_DYNAMIC, .p_offset = 300, .p_filesz = 48 } };
		Elf64_Dyn d[3] = { { .d_tag = DT_STRTAB, .d_un.d_val = 0x10000 + 600 },
				   { .d_tag = want->soname ? DT_SONAME : DT_NULL,
				     .d_un.d_val = 1 } };

		memcpy(h.e_ident, ELFMAG, SELFMAG);
		h.e_ident[EI_CLASS] = ELFCLASS64;
		h.e_ident[EI_DATA] = ELFDATA2LSB;
		h.e_ident[EI_VERSION] = EV_CURRENT;
		memcpy(out, &h, sizeof(h));
		memcpy(out + 64, p, sizeof(p));
		memcpy(out + 300, d, sizeof(d));
	}
	return len;
}

/* A 64-bit x86 library in the container. */
static LAB_UNUSED void lab_lib(const struct lab *lab, const char *rel, const char *soname)
{
	struct lab_elf want = { .soname = soname, .machine = EM_X86_64, .type = ET_DYN };
	char bytes[1024];
	size_t len = lab_elf_make(&want, bytes);

	lab_bytes(lab, rel, bytes, len);
}

static LAB_UNUSED void lab_lib32(const struct lab *lab, const char *rel, const char *soname)
{
	struct lab_elf want = {
		.soname = soname, .machine = EM_386, .narrow = true, .type = ET_DYN
	};
	char bytes[1024];
	size_t len = lab_elf_make(&want, bytes);

	lab_bytes(lab, rel, bytes, len);
}
