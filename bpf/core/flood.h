/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Floods of events: whoever does what is denied in a loop must neither fill the ring, in which what
 * others do would be lost, nor keep the agent busy. Of each user's acts that meet one rule in one hook,
 * as many are told of as the rate below allows; the others are counted.
 */
#ifndef AEGISBPF_CORE_FLOOD_H
#define AEGISBPF_CORE_FLOOD_H

#include "maps.h"

/* Nanoseconds between two events of one kind: 64 a second. */
#define FLOOD_INTERVAL (1000000000ULL / 64)
/* As many may come at once, after a time without any. */
#define FLOOD_BURST 2048

/* How far a kind of events has used up what it may have. */
struct flood {
	/*
	 * When its next event would be due without a burst, on the boot clock; later than now by as
	 * much of the burst as is used up.
	 */
	__u64 due;
	/* How many weren't told of, since the entry was made. */
	__u64 repeats;
};

struct flood_key {
	__u32 uid;
	__u32 rule;
	__u32 hook;
	__u32 zero;
};

/* The oldest entries make room: a kind that is forgotten begins anew. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flood_key);
	__type(value, struct flood);
	__uint(max_entries, 1024);
} floods SEC(".maps");

static __always_inline struct flood *flood_of(const struct flood_key *key)
{
	struct flood *flood = bpf_map_lookup_elem(&floods, key);
	struct flood none = {};

	if (flood)
		return flood;
	bpf_map_update_elem(&floods, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&floods, key);
}

/*
 * Whether an act of the current user's that met this rule in this hook is told of: how many like it
 * weren't so far, or negative if this isn't either and was counted.
 *
 * Two processors at once may both take what is left for one. Nothing is lost by that: each event is
 * told of or counted.
 */
__noinline __s64 may_tell(__u32 rule, __u32 hook)
{
	struct flood_key key = {
		.uid = bpf_get_current_uid_gid(),
		.rule = rule,
		.hook = hook,
	};
	__u64 now = bpf_ktime_get_boot_ns(), due;
	struct flood *flood = flood_of(&key);
	struct tally *t = the_tally();

	if (!flood || !t)
		return 0;
	due = flood->due > now ? flood->due : now;
	if (due >= now + FLOOD_BURST * FLOOD_INTERVAL) {
		__sync_fetch_and_add(&flood->repeats, 1);
		__sync_fetch_and_add(&t->events_repeated, 1);
		return -1;
	}
	flood->due = due + FLOOD_INTERVAL;
	return flood->repeats;
}

#endif
