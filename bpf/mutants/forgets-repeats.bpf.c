// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Repeats in a flood are neither told of nor counted. */
#include "../core/flood.h"

static __always_inline __s64 may_tell_or_forget(__u32 rule, __u32 hook)
{
	__s64 repeats = may_tell(rule, hook);
	struct tally *t = the_tally();

	if (repeats < 0 && t)
		__sync_fetch_and_add(&t->events_repeated, -1);
	return repeats;
}

#define may_tell may_tell_or_forget
#include "../aegisbpf.bpf.c"
