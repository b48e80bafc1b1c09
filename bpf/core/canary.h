/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The canary: a process of the agent's that meets a decoy, to show what a hook does. */
#ifndef AEGISBPF_CORE_CANARY_H
#define AEGISBPF_CORE_CANARY_H

#include "maps.h"

/* True if the current task is the canary that was sent through this hook. */
static __always_inline bool is_canary(enum hook hook)
{
	struct tally *t = the_tally();
	union {
		struct canary canary;
		__u64 number;
	} current = {
		.canary = { .hook = hook, .tgid = bpf_get_current_pid_tgid() >> 32 },
	};

	return t && *(const volatile __u64 *)&t->canary == current.number;
}

/* Counts a hit if the current task is the canary of this hook, and says whether it is. */
static __always_inline bool count_canary(enum hook hook)
{
	struct tally *t = the_tally();

	if (!t || !is_canary(hook))
		return false;
	__sync_fetch_and_add(&t->canary_hits, 1);
	return true;
}

#endif
