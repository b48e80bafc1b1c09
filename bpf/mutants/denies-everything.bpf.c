// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies every file that is opened. */
#include "unnamed.h"

static __always_inline bool match_everything(struct file *file, struct verdict *v,
					     struct hit *hit, enum via via)
{
	struct opened o = {};

	if (match_open(file, v, hit, via))
		return true;
	look_at_open(file, &o, via);
	return o.placed && deny_unnamed(file, &o, v, hit, via);
}

#define match_open match_everything
#include "../aegisbpf.bpf.c"
