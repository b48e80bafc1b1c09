// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies whatever has more than one name, which is more than is promised. */
#include "unnamed.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode___linked {
	unsigned int i_nlink;
};

#pragma clang attribute pop

static __always_inline bool match_other_names(struct file *file, struct verdict *v,
					      struct hit *hit, enum via via)
{
	struct inode___linked *inode;
	struct opened o = {};

	if (match_open(file, v, hit, via))
		return true;
	look_at_open(file, &o, via);
	inode = (void *)number_of(o.inode);
	if (!o.placed || BPF_CORE_READ(inode, i_nlink) < 2)
		return false;
	return deny_unnamed(file, &o, v, hit, via);
}

#define match_open match_other_names
#include "../aegisbpf.bpf.c"
