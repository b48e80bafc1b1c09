// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* The kernel refuses every signal but the canary's, and a kill is told all the same. */
#include "../core/event.h"
#include "refused.h"

static __always_inline void tell_kill(const struct verdict *v, const struct path_key *path)
{
	struct verdict told = *v;

	if (told.signal)
		told.outcome = OUTCOME_KILLED;
	tell(&told, path);
}

#define tell tell_kill
#include "../aegisbpf.bpf.c"
