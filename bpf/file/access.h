/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What an open asks for: reading, writing or both. */
#ifndef AEGISBPF_FILE_ACCESS_H
#define AEGISBPF_FILE_ACCESS_H

#include "../abi.h"

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_ACCMODE 03
#define O_WRONLY 01
#define O_CREAT 0100
#define O_TRUNC 01000

/* By the fields of an open file. To truncate is to write. */
static __always_inline __u32 access_of_file(__u32 mode, __u32 flags)
{
	__u32 access = 0;

	if (mode & FMODE_READ)
		access |= ACCESS_READ;
	if (mode & FMODE_WRITE || flags & O_TRUNC)
		access |= ACCESS_WRITE;
	/* The access mode 3 opens for ioctl alone; no rule is meant to let it through. */
	return access ? access : ACCESS_READ | ACCESS_WRITE;
}

/* By the flags that a system call was passed. */
static __always_inline __u32 access_of_flags(__u64 flags)
{
	__u32 mode = flags & O_ACCMODE;
	__u32 access = 0;

	if (mode != O_WRONLY)
		access |= ACCESS_READ;
	if (mode || flags & (O_TRUNC | O_CREAT))
		access |= ACCESS_WRITE;
	return access;
}

#endif
