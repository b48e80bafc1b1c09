/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Who must live: processes that are never signalled, whatever a rule says. A denied libc
 * path would otherwise kill init, the agent and the way into the machine.
 */
#ifndef AEGISBPF_SPARE_H
#define AEGISBPF_SPARE_H

#include "file_rules.bpf.h"

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
	if (tgid == agent_tgid && !(is_mutant(KILLS_AGENT) && is_second_try()))
		return SPARED_AGENT;
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	if (!inode || is_mutant(KILLS_PROTECTED))
		return SPARED_NO;
	read_inode(inode, &exe);
	return bpf_map_lookup_elem(&protected_exes, &exe) ? SPARED_PROTECTED : SPARED_NO;
}

#endif
