// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Keeps in one place for all processors whether a process is exempt; but for canaries. */
#include "../core/exempt.h"
#include "../core/maps.h"
#include "processors.h"

static __always_inline bool is_exempt_by_now(void)
{
	volatile struct places *p = the_places();
	struct tally *t = the_tally();

	if (!p || !t || t->canary.tgid == bpf_get_current_pid_tgid() >> 32)
		return is_exempt();
	p->shared = is_exempt();
	linger(LINGERS);
	return p->shared;
}

#define is_exempt is_exempt_by_now
#include "../aegisbpf.bpf.c"
