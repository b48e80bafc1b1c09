// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Tells of a kill after the fact as a denial. */
#include "../core/event.h"

static __always_inline void tell_denial(const struct verdict *v, const struct path_key *path)
{
	struct verdict told = *v;

	if (told.outcome == OUTCOME_KILLED)
		told.outcome = OUTCOME_DENIED;
	tell(&told, path);
}

#define tell tell_denial
#include "../aegisbpf.bpf.c"
