// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* The kernel rejects every program of the BPF LSM's. */
#include "rejected.h"

#define IS_LSM(hook)                          \
	((hook) <= HOOK_LSM_INODE_RENAME || \
	 ((hook) >= HOOK_LSM_INODE_MKDIR && (hook) <= HOOK_LSM_INODE_REMOVE_ACL))

static __always_inline int open_or_be_rejected(struct file *file, enum hook hook)
{
	return IS_LSM(hook) ? load_from_nowhere() : judge_open(file, hook);
}

static __always_inline int create_or_be_rejected(struct dentry *dentry, enum hook hook)
{
	return IS_LSM(hook) ? load_from_nowhere() : judge_create(dentry, hook);
}

static __always_inline int change_or_be_rejected(struct dentry *dentry, enum hook hook)
{
	return IS_LSM(hook) ? load_from_nowhere() : judge_change(dentry, hook);
}

static __always_inline int link_or_be_rejected(struct dentry *from, struct dentry *to,
					       enum hook hook)
{
	return IS_LSM(hook) ? load_from_nowhere() : judge_link(from, to, hook);
}

static __always_inline int rename_or_be_rejected(struct dentry *from, struct dentry *to,
						 enum hook hook)
{
	return IS_LSM(hook) ? load_from_nowhere() : judge_rename(from, to, hook);
}

#define judge_open open_or_be_rejected
#define judge_create create_or_be_rejected
#define judge_change change_or_be_rejected
#define judge_link link_or_be_rejected
#define judge_rename rename_or_be_rejected
#include "../aegisbpf.bpf.c"
