// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Denies every open and every new name but to the exempt and to the agent's own canary, in any tier,
 * as if a rule named it. What may deny copies no memory, so that it loads where the kernel is locked
 * down too.
 */
#include "../core/spare.h"
#include "../file/match.h"

/* Or most opens would be let by before match_open() is called. */
#define could_match_open(file) true

#define ROOT_CGROUP 1

/*
 * Never in the root cgroup, which has what prepares the acts, nor to the agent, wherever somebody put
 * it, nor before rules are in force, nor for a canary: it opens a neighbour too, and the agent would
 * notice the denial.
 */
static __always_inline bool is_denied(struct hit *hit)
{
	struct tally *t = the_tally();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!t || bpf_get_current_cgroup_id() == ROOT_CGROUP || tgid == agent_tgid ||
	    t->canary.tgid == tgid)
		return false;
	return hits(unplaced(MATCH_NAME), hit) && hit->action == ACTION_DENY;
}

struct task_struct___parent {
	struct task_struct___parent *real_parent;
	int tgid;
} __attribute__((preserve_access_index));

/* The agent's child that forks the canaries opens files. It survives a denial, but not a signal. */
static __always_inline bool is_child_of_agent(void)
{
	struct task_struct___parent *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, real_parent, tgid) == agent_tgid;
}

#define PID_FS_MAGIC 0x50494446

struct super_block___magic {
	unsigned long s_magic;
} __attribute__((preserve_access_index));

/*
 * pidfd_open(2) is an open from 6.9 on. Let be, so that a proof comes to the same on every kernel,
 * and those who watch the acts can.
 */
static __always_inline bool is_pidfd(struct file *file, enum via via)
{
	struct inode *inode = READ(via, file, f_inode);
	struct super_block *sb = READ(via, inode, i_sb);

	return READ(via, (struct super_block___magic *)sb, s_magic) == PID_FS_MAGIC;
}

static __always_inline bool match_any_open(struct file *file, struct verdict *v, struct hit *hit,
					   enum via via)
{
	if (match_open(file, v, hit, via))
		return true;
	return !is_pidfd(file, via) && !(via == VIA_PROBE && is_child_of_agent()) && is_denied(hit);
}

static __always_inline bool match_any_name(struct dentry *dentry, struct hit *hit)
{
	return match_new_name(dentry, hit) || is_denied(hit);
}

#define match_open match_any_open
#define match_new_name match_any_name
#include "../aegisbpf.bpf.c"
