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

static __always_inline enum spared spare(__u32 tgid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode_key exe = {};
	struct inode *inode;

	/* tgids are those of the initial pid namespace: 1 is the machine's init. */
	if (tgid == 1)
		return SPARED_PID_1;
	if (tgid == agent_tgid)
		return SPARED_AGENT;
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	if (!inode)
		return SPARED_NO;
	exe = inode_key(BPF_CORE_READ(inode, i_ino), BPF_CORE_READ(inode, i_sb, s_dev),
			(__u64)inode);
	return bpf_map_lookup_elem(&protected_exes, &exe) ? SPARED_PROTECTED : SPARED_NO;
}

#endif
