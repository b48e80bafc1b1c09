/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * File class, the tiers that deny before the act: LSM programs, and programs that modify the
 * return value of the security_* function which would call them. The wrappers differ only in
 * how they are called; what they decide is the same code.
 */
#ifndef AEGISBPF_FILE_DENY_H
#define AEGISBPF_FILE_DENY_H

#include "event.bpf.h"
#include "exempt.bpf.h"
#include "file_rules.bpf.h"

#define EPERM 1
#define EACCES 13
#define MAX_ERRNO 4095

/* Whether current is the canary of another copy of this hook's program, which it is left to. */
static __always_inline bool is_canary_of_copy(enum hook hook)
{
	if (hook != HOOK_MODRET_FILE_OPEN && hook != HOOK_MODRET_FILE_OPEN_2 &&
	    hook != HOOK_MODRET_FILE_OPEN_3)
		return false;
	return (hook != HOOK_MODRET_FILE_OPEN && is_canary(HOOK_MODRET_FILE_OPEN)) ||
	       (hook != HOOK_MODRET_FILE_OPEN_2 && is_canary(HOOK_MODRET_FILE_OPEN_2)) ||
	       (hook != HOOK_MODRET_FILE_OPEN_3 && is_canary(HOOK_MODRET_FILE_OPEN_3));
}

/* Whether a mutant lets by what it has told as denied. */
static __always_inline bool lets_by(enum hook hook)
{
	return is_mutant(LSM_RETURNS_ZERO) || is_mutant(LEAVES_LINK_AFTER_REFUSING) ||
	       (is_mutant(DENIES_ONLY_CANARIES) && !is_canary(hook)) ||
	       (is_mutant(TIRES_AFTER_100) && is_tired()) ||
	       (is_mutant(SPARES_SECOND_TRY) && is_second_try());
}

/* Tells of a hit, and says what the hook is to return: 0 or -EPERM. */
static __always_inline int judge(struct verdict *v, const struct hit *hit)
{
	if (in_exempt_cgroup() || is_canary_of_copy(v->hook))
		return 0;
	if (is_mutant(SPARES_THREADS) && !is_first_thread())
		return 0;
	if (is_mutant(SPARES_USERS) && (__u32)bpf_get_current_uid_gid())
		return 0;
	v->hit = *hit;
	v->outcome = hit->action == ACTION_DENY ? OUTCOME_DENIED : OUTCOME_OBSERVED;
	tell(v, NULL);
	if (lets_by(v->hook))
		return 0;
	if (is_mutant(DENIES_WITH_EACCES) && !is_canary(v->hook))
		return v->outcome == OUTCOME_DENIED ? -EACCES : 0;
	return v->outcome == OUTCOME_DENIED ? -EPERM : 0;
}

/* Whether the file may be opened. */
static __always_inline int judge_open(struct file *file, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = access_of(file) };
	struct hit hit = {};

	if (!match_open(file, v.access, &v.inode, &hit))
		return 0;
	return judge(&v, &hit);
}

/* Whether something new may get this name. */
static __always_inline int judge_create(struct dentry *dentry, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	if (!match_new_name(dentry, &hit))
		return 0;
	return judge(&v, &hit);
}

/*
 * The rule on a file that is to get another name, if any. Under that one it would be beyond
 * the rule as soon as the rule's own path leads elsewhere, whatever the rule denies.
 */
static __always_inline bool match_renamed(struct dentry *from, struct inode_key *key,
					  struct hit *hit)
{
	return match_exact(from, ACCESS_READ | ACCESS_WRITE, key, hit) ||
	       match_name(from, ACCESS_READ | ACCESS_WRITE, hit);
}

/* Whether a file may get a second name. */
static __always_inline int judge_link(struct dentry *from, struct dentry *to, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	if (!match_renamed(from, &v.inode, &hit) && !match_new_name(to, &hit) &&
	    !match_leaving(from, to, &hit))
		return 0;
	return judge(&v, &hit);
}

/* Whether a file may get another name, and the file that has it now may lose it. */
static __always_inline int judge_rename(struct dentry *from, struct dentry *to, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	if (!match_renamed(from, &v.inode, &hit) &&
	    !match_exact(to, ACCESS_WRITE, &v.inode, &hit) && !match_new_name(to, &hit) &&
	    !match_leaving(from, to, &hit))
		return 0;
	return judge(&v, &hit);
}

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

/*
 * Named as fentry programs, since libraries know no section for those that modify a return
 * value; the agent loads them by itself. A return value of 0 lets the function run.
 */
SEC("fentry/security_file_open")
int BPF_PROG(modret_file_open, struct file *file)
{
	return judge_open(file, HOOK_MODRET_FILE_OPEN);
}

/*
 * Where a task is preempted within a program of this kind, the kernel passes over the program
 * for every other task on that processor, and lets their acts by. Each copy has a guard of its
 * own, so an open gets past all three only where tasks were preempted in each of them. The
 * kernel runs no further copy once one has denied.
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

#endif
