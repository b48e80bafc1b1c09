/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Who no rule applies to: the exempt cgroups and everything beneath them. */
#ifndef AEGISBPF_EXEMPT_H
#define AEGISBPF_EXEMPT_H

#include "maps.bpf.h"

/*
 * How far above current an exempt ancestor may be. Only a bound for the verifier: deeper
 * trees than this are not made, and whoever makes one loses an exemption, not a rule.
 */
#define EXEMPT_LEVELS 64

/*
 * Whether current runs in an exempt cgroup. Asked only once a rule has matched, so that
 * opens that no rule names don't pay for the walk. It follows the parents by itself, since
 * 5.10 doesn't give bpf_get_current_ancestor_cgroup_id() to tracing and LSM programs.
 */
static __always_inline bool in_exempt_cgroup(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);

	if (is_mutant(IGNORES_EXEMPTIONS))
		return false;
	for (int level = 0; level < EXEMPT_LEVELS && cgroup; level++) {
		__u64 id = BPF_CORE_READ(cgroup, kn, id);

		if (bpf_map_lookup_elem(&exempt_cgroups, &id))
			return true;
		if (is_mutant(IGNORES_EXEMPT_DESCENDANTS))
			return false;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return false;
}

#endif
