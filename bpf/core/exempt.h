/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Who no rule applies to: the exempt cgroups and everything beneath them. */
#ifndef AEGISBPF_CORE_EXEMPT_H
#define AEGISBPF_CORE_EXEMPT_H

#include "maps.h"

/* The most exempt cgroups that a policy may have; agent/src/policy has the same number. */
#define EXEMPT_MAX 256

#define E2BIG 7

/*
 * True if the current task is in an exempt cgroup. Asked only once a rule has matched, so that
 * opens that no rule names don't pay for it. The helper is the one way that every kernel since 5.10
 * offers to programs of each kind, under lockdown too.
 */
static __always_inline bool is_exempt(void)
{
	for (__u32 index = 0; index < EXEMPT_MAX; index++) {
		long within = bpf_current_task_under_cgroup(&exempt_cgroups, index);

		/* Negative from the first index that has no cgroup. */
		if (within)
			return within == 1;
	}
	return false;
}

#endif
