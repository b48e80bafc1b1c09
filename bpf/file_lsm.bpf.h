/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* File class, LSM tier: denies an open by the inode that the path led to. */
#ifndef AEGISBPF_FILE_LSM_H
#define AEGISBPF_FILE_LSM_H

#include "event.bpf.h"
#include "exempt.bpf.h"

#ifdef SABOTAGE
/* Only in the sabotaged build, which exists for the proofs to catch. Set before loading. */
const volatile __u32 lsm_returns_zero = 0;
#else
enum { lsm_returns_zero = 0 };
#endif

#define EPERM 1
#define MAX_ERRNO 4095

/* Whether the file may be opened: 0, or -EPERM where a rule denies it. */
static __always_inline int judge_file(struct file *file, enum hook hook)
{
	struct inode *inode = file->f_inode;
	struct verdict v = {
		.inode = { .ino = inode->i_ino, .dev = inode->i_sb->s_dev },
		.hook = hook,
	};
	struct rule *rule = bpf_map_lookup_elem(&rules_by_inode, &v.inode);

	if (!rule || in_exempt_cgroup())
		return 0;
	v.rule = rule->id;
	v.outcome = rule->action == ACTION_DENY ? OUTCOME_DENIED : OUTCOME_OBSERVED;
	tell(&v, NULL);
	if (lsm_returns_zero)
		return 0;
	return v.outcome == OUTCOME_DENIED ? -EPERM : 0;
}

SEC("lsm/file_open")
int BPF_PROG(lsm_file_open, struct file *file, int ret)
{
	if (ret) {
		/* Keep the earlier hook's denial; newer verifiers want its range proven. */
		if (ret < -MAX_ERRNO || ret > 0)
			return -EPERM;
		return ret;
	}
	return judge_file(file, HOOK_LSM_FILE_OPEN);
}

#endif
