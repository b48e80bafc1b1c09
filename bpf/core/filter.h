/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The first question that an act is asked: could any rule be about this? Most acts end here, so it
 * costs one multiplication and one load, of a number that is at hand. "Perhaps" may be wrong, and
 * the maps of rules are asked then. "No" is never wrong: user space sets a rule's bits before it
 * adds the rule, and clears them after it has removed it.
 */
#ifndef AEGISBPF_CORE_FILTER_H
#define AEGISBPF_CORE_FILTER_H

#include "../abi.h"
#include "kernel.h"

/* The most bytes that it has; user space makes it as large as the policy asks for. */
#define FILTER_BYTES 524288

/* How many bytes it has, less one; a power of two less one. Set before loading. */
const volatile __u32 filter_mask = 0;

/*
 * Mapped into the agent's memory. It is a variable and not an entry to be looked up, as that would
 * cost as much as a question. Only the map has the size that user space gives it.
 */
__u8 filter[FILTER_BYTES] SEC(".bss.filter");

/*
 * Nearly every byte is 0, and to see that is half the work of singling out a bit. The compiler would
 * drop the first check, as the second includes it, if it knew that it is the same byte.
 */
static __always_inline bool is_set(__u32 mask, __u64 hash)
{
	__u64 byte = filter[hash >> 35 & mask];

	if (!byte)
		return false;
	asm volatile("" : "+r"(byte));
	return byte >> (hash >> 32 & 7) & 1;
}

/*
 * agent/src/kernel/filter.rs computes the same bits. The first is the number's alone, so that its
 * space is read only where it is set, which it is for hardly one number in fifty. The second makes
 * a wrong "perhaps" as rare as it must be on a way of many folders. `mask` is filter_mask, which a
 * loop is to load once.
 */
static __always_inline bool has_first_bit(__u32 mask, __u64 number)
{
	return is_set(mask, number * 0x9e3779b97f4a7c15ULL);
}

static __always_inline bool has_second_bit(__u32 mask, __u64 number,
					   __u32 space)
{
	__u64 hash = number * 0x9e3779b97f4a7c15ULL;

	return is_set(mask, (hash ^ hash >> 29 ^ space) * 0xbf58476d1ce4e5b9ULL);
}

static __always_inline bool perhaps(__u32 mask, __u64 number, __u32 space)
{
	return has_first_bit(mask, number) && has_second_bit(mask, number, space);
}

/*
 * The same about all that is beneath a folder, by the address of its inode: that is what a dentry
 * has at hand, and such a rule is about that very inode.
 */
static __always_inline bool perhaps_beneath(__u32 mask, __u64 address)
{
	return perhaps(mask, address, FILTER_BENEATH);
}

#endif
