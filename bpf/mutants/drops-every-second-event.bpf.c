// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Tells nobody of every second event. */
#include "../core/event.h"
#include "memory.h"

static __always_inline void tell_every_other(const struct verdict *v, const struct path_key *path)
{
	if (is_canary(v->hook) || asked_before() % 2)
		tell(v, path);
}

#define tell tell_every_other
#include "../aegisbpf.bpf.c"
