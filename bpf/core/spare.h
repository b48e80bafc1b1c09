/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Who must live: processes that are never signalled, whatever a rule says. A denied libc
 * path would otherwise kill init, the agent and the way into the machine.
 */
#ifndef AEGISBPF_CORE_SPARE_H
#define AEGISBPF_CORE_SPARE_H

#include "inode.h"

/* The agent's own tgid, set before the programs load. */
const volatile __u32 agent_tgid = 0;

/*
 * True if all of these user ids are root's in the initial user namespace. A kuid is a number of that
 * namespace wherever the process is, and a user namespace that is made without privileges can't map
 * kuid 0.
 */
static __always_inline bool are_root_s(const struct cred *cred)
{
	return !(BPF_CORE_READ(cred, uid.val) | BPF_CORE_READ(cred, euid.val) |
		 BPF_CORE_READ(cred, suid.val) | BPF_CORE_READ(cred, fsuid.val));
}

/*
 * True if the current task is root's, and nobody else's by any of its ids: else whoever can have a
 * protected executable run his code (LD_PRELOAD, a debugger, a plug-in) would be spared with it.
 *
 * Both credentials must be: `cred`, by which a task acts, is that of who mounted an overlay while a
 * file beneath is opened, and `real_cred` may be the kernel's in a worker of an io_uring.
 */
static __always_inline bool is_root_s(struct task_struct *task)
{
	return are_root_s(BPF_CORE_READ(task, cred)) &&
	       are_root_s(BPF_CORE_READ(task, real_cred));
}

/* True if no rule's signal reaches the executable's processes, as far as they are root's. */
static __always_inline bool is_protected(struct inode *inode)
{
	struct inode_key exe = inode_key(BPF_CORE_READ(inode, i_ino),
					 BPF_CORE_READ(inode, i_sb, s_dev), (__u64)inode);

	return bpf_map_lookup_elem(&protected_exes, &exe);
}

static __always_inline enum spared spare(__u32 tgid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode;

	/* tgids are those of the initial pid namespace: 1 is the machine's init. */
	if (tgid == 1)
		return SPARED_PID_1;
	if (tgid == agent_tgid)
		return SPARED_AGENT;
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	/* Ids are read only of who has a protected executable, which is hardly ever. */
	return inode && is_protected(inode) && is_root_s(task) ? SPARED_PROTECTED : SPARED_NO;
}

#endif
