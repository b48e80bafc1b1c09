/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * From a hit to a signal. The act itself still runs and death comes on the way back to user mode,
 * so an event says "killed", never "denied".
 */
#ifndef AEGISBPF_CORE_KILL_H
#define AEGISBPF_CORE_KILL_H

#include "event.h"
#include "exempt.h"
#include "send.h"
#include "spare.h"

static __always_inline void count_refused(void)
{
	struct tally *t = the_tally();

	if (t)
		__sync_fetch_and_add(&t->signals_refused, 1);
}

static __always_inline void send_unless_spared(struct verdict *v)
{
	v->spared = spare(bpf_get_current_pid_tgid() >> 32);
	if (v->spared != SPARED_NO)
		return;
	v->signal = enforce_signal;
	v->signal_result = send_signal(v->hook);
	if (!v->signal_result)
		v->outcome = OUTCOME_KILLED;
	/* What became of a canary is known from the canary. */
	else if (!is_canary(v->hook))
		count_refused();
}

/* Signals whoever met the rule, and tells of it. For `path`, see tell(). */
static __always_inline void kill(struct verdict *v, const struct hit *hit,
				 const struct path_key *path)
{
	if (is_exempt())
		return;
	v->hit = *hit;
	if (hit->action == ACTION_DENY)
		send_unless_spared(v);
	tell(v, path);
}

#endif
