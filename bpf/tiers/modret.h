/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Programs that modify the return value of the security_* function which would call the LSMs, and
 * so deny before the act too. A return value of 0 lets the function run.
 *
 * Named as fentry programs, since aya-obj knows no section for those that modify a return value; the
 * agent loads them by itself.
 */
#ifndef AEGISBPF_TIERS_MODRET_H
#define AEGISBPF_TIERS_MODRET_H

#include "../file/judge.h"
#include "argument.h"

SEC("fentry/security_file_open")
int BPF_PROG(modret_file_open, struct file *file)
{
	return judge_open(file, HOOK_MODRET_FILE_OPEN);
}

/*
 * Where a task is preempted within a program of this kind, the kernel skips the program for every
 * other task on that processor, and lets their acts by. Each copy has a guard of its own, so an
 * open gets past all three only where tasks were preempted in each of them. The kernel runs no
 * further copy once one has denied.
 */
SEC("fentry/security_file_open")
int BPF_PROG(modret2_file_open, struct file *file)
{
	return judge_open(file, HOOK_MODRET_FILE_OPEN_2);
}

SEC("fentry/security_file_open")
int BPF_PROG(modret3_file_open, struct file *file)
{
	return judge_open(file, HOOK_MODRET_FILE_OPEN_3);
}

SEC("fentry/security_inode_create")
int BPF_PROG(modret_inode_create, struct inode *dir, struct dentry *dentry)
{
	return judge_create(dentry, HOOK_MODRET_INODE_CREATE);
}

SEC("fentry/security_inode_mknod")
int BPF_PROG(modret_inode_mknod, struct inode *dir, struct dentry *dentry)
{
	return judge_create(dentry, HOOK_MODRET_INODE_MKNOD);
}

SEC("fentry/security_inode_symlink")
int BPF_PROG(modret_inode_symlink, struct inode *dir, struct dentry *dentry)
{
	return judge_create(dentry, HOOK_MODRET_INODE_SYMLINK);
}

SEC("fentry/security_inode_link")
int BPF_PROG(modret_inode_link, struct dentry *from, struct inode *dir, struct dentry *to)
{
	return judge_link(from, to, HOOK_MODRET_INODE_LINK);
}

#define RENAME_EXCHANGE 2

SEC("fentry/security_inode_rename")
int BPF_PROG(modret_inode_rename, struct inode *from_dir, struct dentry *from,
	     struct inode *to_dir, struct dentry *to, unsigned int flags)
{
	int ret = judge_rename(from, to, HOOK_MODRET_INODE_RENAME);

	/* The LSM hook is called once for each direction of an exchange. */
	if (!ret && flags & RENAME_EXCHANGE)
		ret = judge_rename(to, from, HOOK_MODRET_INODE_RENAME);
	return ret;
}

SEC("fentry/security_inode_mkdir")
int BPF_PROG(modret_inode_mkdir, struct inode *dir, struct dentry *dentry)
{
	return judge_create(dentry, HOOK_MODRET_INODE_MKDIR);
}

SEC("fentry/security_inode_unlink")
int BPF_PROG(modret_inode_unlink, struct inode *dir, struct dentry *dentry)
{
	return judge_change(dentry, HOOK_MODRET_INODE_UNLINK);
}

SEC("fentry/security_inode_rmdir")
int BPF_PROG(modret_inode_rmdir, struct inode *dir, struct dentry *dentry)
{
	return judge_change(dentry, HOOK_MODRET_INODE_RMDIR);
}

SEC("fentry/security_inode_setattr")
int modret_inode_setattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, modret_setattr_dentry), HOOK_MODRET_INODE_SETATTR);
}

SEC("fentry/security_inode_setxattr")
int modret_inode_setxattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, modret_setxattr_dentry),
			    HOOK_MODRET_INODE_SETXATTR);
}

SEC("fentry/security_inode_removexattr")
int modret_inode_removexattr(__u64 *ctx)
{
	return judge_change(dentry_at(ctx, modret_removexattr_dentry),
			    HOOK_MODRET_INODE_REMOVEXATTR);
}

/* Until 6.1 these two acts are those of extended attributes. */
SEC("fentry/security_inode_set_acl")
int modret_inode_set_acl(__u64 *ctx)
{
	return judge_change((struct dentry *)ctx[1], HOOK_MODRET_INODE_SET_ACL);
}

SEC("fentry/security_inode_remove_acl")
int modret_inode_remove_acl(__u64 *ctx)
{
	return judge_change((struct dentry *)ctx[1], HOOK_MODRET_INODE_REMOVE_ACL);
}

#endif
