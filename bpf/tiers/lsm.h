/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The programs of the BPF LSM, which deny before the act. */
#ifndef AEGISBPF_TIERS_LSM_H
#define AEGISBPF_TIERS_LSM_H

#include "../file/judge.h"
#include "argument.h"

#define MAX_ERRNO 4095

/* An earlier hook's denial is kept; newer verifiers want its range proven. */
#define KEEP_DENIAL(ret)                                   \
	do {                                               \
		if (ret)                                   \
			return ret < -MAX_ERRNO || ret > 0 ? -EPERM : ret; \
	} while (0)

SEC("lsm/file_open")
int BPF_PROG(lsm_file_open, struct file *file, int ret)
{
	KEEP_DENIAL(ret);
	return judge_open(file, HOOK_LSM_FILE_OPEN);
}

SEC("lsm/inode_create")
int BPF_PROG(lsm_inode_create, struct inode *dir, struct dentry *dentry, __u16 mode, int ret)
{
	KEEP_DENIAL(ret);
	return judge_create(dentry, HOOK_LSM_INODE_CREATE);
}

SEC("lsm/inode_mknod")
int BPF_PROG(lsm_inode_mknod, struct inode *dir, struct dentry *dentry, __u16 mode, __u32 dev,
	     int ret)
{
	KEEP_DENIAL(ret);
	return judge_create(dentry, HOOK_LSM_INODE_MKNOD);
}

SEC("lsm/inode_symlink")
int BPF_PROG(lsm_inode_symlink, struct inode *dir, struct dentry *dentry, const char *target,
	     int ret)
{
	KEEP_DENIAL(ret);
	return judge_create(dentry, HOOK_LSM_INODE_SYMLINK);
}

SEC("lsm/inode_link")
int BPF_PROG(lsm_inode_link, struct dentry *from, struct inode *dir, struct dentry *to, int ret)
{
	KEEP_DENIAL(ret);
	return judge_link(from, to, HOOK_LSM_INODE_LINK);
}

SEC("lsm/inode_rename")
int BPF_PROG(lsm_inode_rename, struct inode *from_dir, struct dentry *from,
	     struct inode *to_dir, struct dentry *to, int ret)
{
	KEEP_DENIAL(ret);
	return judge_rename(from, to, HOOK_LSM_INODE_RENAME);
}

SEC("lsm/inode_mkdir")
int BPF_PROG(lsm_inode_mkdir, struct inode *dir, struct dentry *dentry, __u16 mode, int ret)
{
	KEEP_DENIAL(ret);
	return judge_create(dentry, HOOK_LSM_INODE_MKDIR);
}

SEC("lsm/inode_unlink")
int BPF_PROG(lsm_inode_unlink, struct inode *dir, struct dentry *dentry, int ret)
{
	KEEP_DENIAL(ret);
	return judge_change(dentry, HOOK_LSM_INODE_UNLINK);
}

SEC("lsm/inode_rmdir")
int BPF_PROG(lsm_inode_rmdir, struct inode *dir, struct dentry *dentry, int ret)
{
	KEEP_DENIAL(ret);
	return judge_change(dentry, HOOK_LSM_INODE_RMDIR);
}

/*
 * In the hooks from here on the place of `ret` differs among kernels too. It is 0 wherever a program
 * is run at all: the kernel runs none after one that denied.
 */
SEC("lsm/inode_setattr")
int lsm_inode_setattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, lsm_setattr_dentry), HOOK_LSM_INODE_SETATTR);
}

SEC("lsm/inode_setxattr")
int lsm_inode_setxattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, lsm_setxattr_dentry), HOOK_LSM_INODE_SETXATTR);
}

SEC("lsm/inode_removexattr")
int lsm_inode_removexattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, lsm_removexattr_dentry),
			    HOOK_LSM_INODE_REMOVEXATTR);
}

/* Until 6.1 these two acts are those of extended attributes. */
SEC("lsm/inode_set_acl")
int lsm_inode_set_acl(__u64 *ctx)
{
	return judge_change((struct dentry *)ctx[1], HOOK_LSM_INODE_SET_ACL);
}

SEC("lsm/inode_remove_acl")
int lsm_inode_remove_acl(__u64 *ctx)
{
	return judge_change((struct dentry *)ctx[1], HOOK_LSM_INODE_REMOVE_ACL);
}

#endif
