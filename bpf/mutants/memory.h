/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* One number that a mutant keeps from one decision to the next. */
#ifndef AEGISBPF_MUTANTS_MEMORY_H
#define AEGISBPF_MUTANTS_MEMORY_H

#include "../core/kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} memory SEC(".maps");

static __always_inline __u64 *the_memory(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&memory, &zero);
}

/* How often this was asked before. Not by an atomic: before 5.12 none tells what was there. */
static __always_inline __u64 asked_before(void)
{
	__u64 *count = the_memory();
	__u64 before = count ? *count : 0;

	if (count)
		*count = before + 1;
	return before;
}

/* True if the last to ask was a thread of the same process. */
static __always_inline bool is_second_try(void)
{
	__u64 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 *last = the_memory();
	bool again = last && *last == tgid;

	if (last)
		*last = tgid;
	return again;
}

#endif
