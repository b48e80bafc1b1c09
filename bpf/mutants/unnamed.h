/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * To deny a file that no rule names: for a mutant that has defined is_meant(), which says whether an
 * open is one of those.
 */
#ifndef AEGISBPF_MUTANTS_UNNAMED_H
#define AEGISBPF_MUTANTS_UNNAMED_H

#include "../file/match.h"

/* Or hardly an open would come so far that it is asked what it matches. */
#define could_match_open(file) true

#define ROOT_CGROUP 1

/* Apart, as is_meant() is: the stack that both need isn't added to that of the real match. */
static __noinline int note_open(struct file *file, struct verdict *v)
{
	v->inode.ino = BPF_CORE_READ(file, f_inode, i_ino);
	v->inode.dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	v->access = access_of(file, VIA_PROBE);
	return 0;
}

/*
 * Denies it to all but the root cgroup, where the agent is and whoever prepares the acts; and only
 * while rules are in force, or the canary's control would be denied too.
 */
static __always_inline bool match_unnamed(struct file *file, struct verdict *v, struct hit *hit,
					  enum via via)
{
	if (match_open(file, v, hit, via))
		return true;
	if (bpf_get_current_cgroup_id() == ROOT_CGROUP || !is_meant(file))
		return false;
	note_open(file, v);
	return hits(unplaced(MATCH_NAME), hit) && hit->action == ACTION_DENY;
}

#define match_open match_unnamed

#endif
