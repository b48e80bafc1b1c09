// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* What is in a denied folder may be removed and changed. */
#include "../file/match.h"

static __always_inline bool match_changed_itself(struct dentry *dentry, struct verdict *v,
						 struct hit *hit)
{
	return match_exact(dentry, ACCESS_WRITE, v, hit) ||
	       match_name(dentry, ACCESS_WRITE, hit);
}

#define match_changed match_changed_itself
#include "../aegisbpf.bpf.c"
