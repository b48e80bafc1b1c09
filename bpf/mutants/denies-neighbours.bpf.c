// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies whatever is in a folder in which a name has a rule. */
#include "unnamed.h"

static __always_inline bool match_neighbours(struct file *file, struct verdict *v,
					     struct hit *hit, enum via via)
{
	struct opened o = {};

	if (match_open(file, v, hit, via))
		return true;
	look_at_open(file, &o, via);
	if (!o.placed || !has_names(o.folder_ino, o.dev, number_of(o.folder),
				    READ(via, o.folder, i_generation)))
		return false;
	return deny_unnamed(file, &o, v, hit, via);
}

#define match_open match_neighbours
#include "../aegisbpf.bpf.c"
