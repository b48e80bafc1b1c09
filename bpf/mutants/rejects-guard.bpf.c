// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* The kernel rejects the program of one guard, lsm/inode_rename. */
#include "rejected.h"

static __always_inline int judge_rename_or_be_rejected(struct dentry *from, struct dentry *to,
						       enum hook hook)
{
	if (hook == HOOK_LSM_INODE_RENAME)
		return load_from_nowhere();
	return judge_rename(from, to, hook);
}

#define judge_rename judge_rename_or_be_rejected
#include "../aegisbpf.bpf.c"
