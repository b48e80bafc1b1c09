/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* To deny a file that no rule names. */
#ifndef AEGISBPF_MUTANTS_UNNAMED_H
#define AEGISBPF_MUTANTS_UNNAMED_H

#include "../file/match.h"

/* Or hardly an open would come so far that it is asked what it matches. */
#define could_match_open(file) true

#define ROOT_CGROUP 1

/*
 * Denies it to all but the root cgroup, where the agent is and whoever prepares the acts; and only
 * while rules are in force, or the canary's control would be denied too.
 */
static __always_inline bool deny_unnamed(struct file *file, const struct opened *o,
					 struct verdict *v, struct hit *hit, enum via via)
{
	if (bpf_get_current_cgroup_id() == ROOT_CGROUP)
		return false;
	v->inode.ino = o->ino;
	v->inode.dev = o->dev;
	v->access = access_of(file, via);
	return hits(unplaced(MATCH_NAME), hit) && hit->action == ACTION_DENY;
}

#endif
