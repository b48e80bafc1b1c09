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

/*
 * True if the current task is the canary that was sent through another hook. No other program may
 * judge it: what it makes and removes around its act must neither fail nor be told of.
 */
static __always_inline bool is_canary_of_other_hook(enum hook hook)
{
	struct tally *t = the_tally();
	union {
		__u64 number;
		struct canary canary;
	} sent;

	if (!t)
		return false;
	sent.number = *(const volatile __u64 *)&t->canary;
	return sent.canary.tgid == (__u32)(bpf_get_current_pid_tgid() >> 32) &&
	       sent.canary.hook != hook;
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
