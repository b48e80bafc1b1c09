// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies every file that is opened. */
#include "../file/match.h"

static __noinline int is_meant(struct file *file)
{
	return BPF_CORE_READ(file, f_path.dentry, d_inode) == BPF_CORE_READ(file, f_inode);
}

#include "unnamed.h"

#include "../aegisbpf.bpf.c"
