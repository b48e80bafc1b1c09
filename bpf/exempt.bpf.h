/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Who no rule applies to: the exempt cgroups and everything beneath them. */
#ifndef AEGISBPF_EXEMPT_H
#define AEGISBPF_EXEMPT_H

#include "maps.bpf.h"

/*
 * Whether current runs in an exempt cgroup. Asked only once a rule has matched, so that
 * opens that no rule names don't pay for the walk.
 */
static __always_inline bool in_exempt_cgroup(void)
{
	/* Level 0 is the root, which no policy can exempt. */
	for (int level = 1; level <= EXEMPT_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&exempt_cgroups, &id))
			return true;
	}
	return false;
}

#endif
