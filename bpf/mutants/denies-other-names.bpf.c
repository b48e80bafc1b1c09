// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies whatever has more than one name, which is more than is promised. */
#include "../file/match.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode___linked {
	unsigned int i_nlink;
};

#pragma clang attribute pop

static __noinline int is_meant(struct file *file)
{
	struct inode___linked *inode = (void *)BPF_CORE_READ(file, f_inode);

	return (void *)inode == BPF_CORE_READ(file, f_path.dentry, d_inode) &&
	       BPF_CORE_READ(inode, i_nlink) > 1;
}

#include "unnamed.h"

#include "../aegisbpf.bpf.c"
