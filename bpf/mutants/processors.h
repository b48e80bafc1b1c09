/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What mutants need that go wrong only where two processors do something at once. */
#ifndef AEGISBPF_MUTANTS_PROCESSORS_H
#define AEGISBPF_MUTANTS_PROCESSORS_H

#include "../core/kernel.h"

/*
 * How long two decisions have to meet, in turns of an empty loop: under TCG some milliseconds, as a
 * busy host may let the processors run one after the other for that long.
 */
#define LINGERS 128
#define TURNS 2000

/* Its own place for each of two processors, and one that they share. */
struct places {
	__u64 of_processor[2];
	__u64 shared;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct places);
	__uint(max_entries, 1);
} places SEC(".maps");

static __always_inline volatile struct places *the_places(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&places, &zero);
}

/* A function that the verifier looks at once, and not at each call. */
__noinline int turn_around(__u32 number)
{
	for (__u32 turn = 0; turn < TURNS; turn++)
		asm volatile("" : "+r"(turn));
	return number;
}

static __always_inline void linger(__u32 times)
{
	for (__u32 number = 0; number < times; number++)
		turn_around(number);
}

/* True if the other processor asks this at the same time. */
static __always_inline bool has_company(void)
{
	volatile struct places *p = the_places();
	__u32 here = bpf_get_smp_processor_id() & 1;
	bool other = false;

	if (!p)
		return false;
	p->of_processor[here] = 1;
	for (__u32 number = 0; number < LINGERS && !other; number++) {
		turn_around(number);
		other = p->of_processor[!here];
	}
	/* The other one is to see this too. */
	if (other)
		turn_around(0);
	p->of_processor[here] = 0;
	return other;
}

#endif
