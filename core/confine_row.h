#pragma once
/*
 * Rows of a table of system calls. Calls that younger architectures never had, and their libc never
 * makes, get the number -1: one table serves both.
 */
#include <sys/syscall.h>

#include "core/confine.h"

/* The calls of a group. */
#define CALLS(...) ((const struct confine_call[]){ __VA_ARGS__, { .name = "" } })

#define CALL(call)                                                                                 \
	{                                                                                          \
		.name = #call, .nr = __NR_##call                                                   \
	}
#define CALL_IF(call, how, n, v)                                                                   \
	{                                                                                          \
		.name = #call, .nr = __NR_##call, .test = (how), .arg = (n), .value = (v)          \
	}

#ifndef __NR_open /* arm64 */
#define __NR_access	  (-1)
#define __NR_arch_prctl	  (-1)
#define __NR_chmod	  (-1)
#define __NR_chown	  (-1)
#define __NR_dup2	  (-1)
#define __NR_epoll_create (-1)
#define __NR_epoll_wait	  (-1)
#define __NR_eventfd	  (-1)
#define __NR_fork	  (-1)
#define __NR_getdents	  (-1)
#define __NR_getpgrp	  (-1)
#define __NR_inotify_init (-1)
#define __NR_ioperm	  (-1)
#define __NR_iopl	  (-1)
#define __NR_lchown	  (-1)
#define __NR_link	  (-1)
#define __NR_lstat	  (-1)
#define __NR_mkdir	  (-1)
#define __NR_modify_ldt	  (-1)
#define __NR_open	  (-1)
#define __NR_pipe	  (-1)
#define __NR_poll	  (-1)
#define __NR_readlink	  (-1)
#define __NR_rename	  (-1)
#define __NR_rmdir	  (-1)
#define __NR_select	  (-1)
#define __NR_stat	  (-1)
#define __NR_symlink	  (-1)
#define __NR_time	  (-1)
#define __NR_unlink	  (-1)
#define __NR_uselib	  (-1)
#define __NR_vfork	  (-1)
#endif
