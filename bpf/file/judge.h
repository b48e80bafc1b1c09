/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* From an act on a file to what a hook that can deny returns: 0 or -EPERM. */
#ifndef AEGISBPF_FILE_JUDGE_H
#define AEGISBPF_FILE_JUDGE_H

#include "../core/deny.h"
#include "match.h"

/* Whether a file may be opened that a rule could be about. */
static __noinline int judge_closely(struct file *file, enum hook hook)
{
	struct verdict v = { .hook = hook };
	struct hit hit = {};

	return match_open(file, &v, &hit, VIA_BTF) ? deny(&v, &hit) : 0;
}

/* Whether the file may be opened. */
static __always_inline int judge_open(struct file *file, enum hook hook)
{
	return could_match_open(file) ? judge_closely(file, hook) : 0;
}

/* Whether something new may get this name. */
static __always_inline int judge_create(struct dentry *dentry, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	return match_new_name(dentry, &hit) ? deny(&v, &hit) : 0;
}

/* Whether a file may be removed, truncated by its path, or given other attributes. */
static __always_inline int judge_change(struct dentry *dentry, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	return match_changed(dentry, &v, &hit) ? deny(&v, &hit) : 0;
}

/* Whether a file may get a second name. */
static __always_inline int judge_link(struct dentry *from, struct dentry *to, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	if (!match_renamed(from, &v, &hit) && !match_new_name(to, &hit) &&
	    !match_leaving(from, to, &hit))
		return 0;
	return deny(&v, &hit);
}

/* Whether a file may get another name, and the file that has it now may lose it. */
static __always_inline int judge_rename(struct dentry *from, struct dentry *to, enum hook hook)
{
	struct verdict v = { .hook = hook, .access = ACCESS_WRITE };
	struct hit hit = {};

	if (!match_renamed(from, &v, &hit) && !match_exact(to, ACCESS_WRITE, &v, &hit) &&
	    !match_new_name(to, &hit) && !match_leaving(from, to, &hit))
		return 0;
	return deny(&v, &hit);
}

#endif
