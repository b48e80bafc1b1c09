/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The first question that an act is asked: could any rule be about this? Most acts end here, so it
 * costs one multiplication and one load, of a number that is at hand. "Perhaps" may be wrong, and
 * the maps of rules are asked then. "No" is never wrong: user space sets a rule's bits before it
 * adds the rule, and clears them after it has removed it.
 */
#ifndef AEGISBPF_CORE_FILTER_H
#define AEGISBPF_CORE_FILTER_H

#include "kernel.h"

/* The most words that it has; user space makes it as large as the policy asks for. */
#define FILTER_WORDS 65536

/* How many words it has, less one; a power of two less one. Set before loading. */
const volatile __u32 filter_mask = 0;

struct filter {
	__u64 words[FILTER_WORDS];
};

/* One entry, which is mapped into the agent's memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct filter);
	__uint(max_entries, 1);
} filter SEC(".maps");

/* NULL to the verifier alone: an array has its first entry. */
static __always_inline const struct filter *the_filter(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&filter, &zero);
}

static __always_inline bool is_set(const struct filter *f, __u32 mask, __u64 bit)
{
	return f->words[bit >> 6 & mask] >> (bit & 63) & 1;
}

/*
 * agent/src/kernel/filter.rs computes the same bits. The first is the number's alone, so that its
 * space is read only where it is set, which it is for hardly one number in fifty. The second makes
 * a wrong "perhaps" as rare as it must be on a way of many folders. `mask` is filter_mask, which a
 * loop is to load once.
 */
static __always_inline bool has_first_bit(const struct filter *f, __u32 mask, __u64 number)
{
	return is_set(f, mask, number * 0x9e3779b97f4a7c15ULL >> 32);
}

static __always_inline bool has_second_bit(const struct filter *f, __u32 mask, __u64 number,
					   __u32 space)
{
	__u64 hash = number * 0x9e3779b97f4a7c15ULL;

	return is_set(f, mask, (hash ^ hash >> 29 ^ space) * 0xbf58476d1ce4e5b9ULL >> 32);
}

static __always_inline bool perhaps(const struct filter *f, __u32 mask, __u64 number, __u32 space)
{
	return has_first_bit(f, mask, number) && has_second_bit(f, mask, number, space);
}

/*
 * The same about all that is beneath a folder, by the address of its inode: that is what a dentry
 * has at hand, and such a rule is about that very inode.
 */
static __always_inline bool perhaps_beneath(const struct filter *f, __u32 mask, __u64 address)
{
	return perhaps(f, mask, address, FILTER_BENEATH);
}

#endif
