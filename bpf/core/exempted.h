/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Which cgroups are exempt, as the kernel has them: no call of user space reads an array of cgroups.
 */
#ifndef AEGISBPF_CORE_EXEMPTED_H
#define AEGISBPF_CORE_EXEMPTED_H

#include "exempt.h"
#include "read.h"

/* The id of the cgroup at an index of an array of such; 0 where there is none. */
static __always_inline __u64 cgroup_at(__u64 map, __u32 index)
{
	__u64 place = map + OFFSET_OF(struct bpf_array, ptrs) + index * sizeof(void *);
	struct cgroup *cgroup = NULL;

	if (bpf_probe_read_kernel(&cgroup, sizeof(cgroup), (const void *)place) || !cgroup)
		return 0;
	return BPF_CORE_READ(cgroup, kn, id);
}

SEC("iter/bpf_map")
int exempted(struct bpf_iter__bpf_map *ctx)
{
	__u64 map = number_of(&exempt_cgroups);

	/* Once, behind the last of all maps: ours is known without looking for it. */
	if (ctx->map)
		return 0;
	for (__u32 index = 0; index < EXEMPT_MAX; index++) {
		struct exempted found = { .index = index };
		long within = bpf_current_task_under_cgroup(&exempt_cgroups, index);

		/* Beyond the last index, and at one that is empty. */
		if (within == -E2BIG)
			break;
		if (within < 0)
			continue;
		if (memory_readable)
			found.cgroup = cgroup_at(map, index);
		bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	}
	return 0;
}

#endif
