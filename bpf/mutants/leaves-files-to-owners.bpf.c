// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Whoever isn't root may remove and change files. */
#include "../file/match.h"

static __always_inline bool match_changed_by_root(struct dentry *dentry, struct verdict *v,
						  struct hit *hit)
{
	return !(__u32)bpf_get_current_uid_gid() && match_changed(dentry, v, hit);
}

#define match_changed match_changed_by_root
#include "../aegisbpf.bpf.c"
