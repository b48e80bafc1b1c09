/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The rules on an inode, by numbers that a hook has read of it. */
#ifndef AEGISBPF_FILE_INODE_H
#define AEGISBPF_FILE_INODE_H

#include "../core/event.h"
#include "../core/inode.h"
#include "../core/read.h"
#include "maps.h"

/*
 * What a look at an inode, a name or folders comes to, in one number. 0: no rule. Negative: no rule
 * so far, and the address of the dentry or mount to look at next; kernel addresses have the highest
 * bit set. Else a hit, from the lowest bit on: 32 of the rule, 8 of the action, 8 of the kind of
 * match.
 *
 * Global functions that return a finding take only numbers. So the verifier checks each of them
 * once, not once for each call, and assumes any return value. Otherwise it would follow every branch
 * at each of hundreds of levels, for seconds.
 */
typedef __s64 finding;

#define NO_RULE 0

static __always_inline finding find(enum match match, const struct rule *rule)
{
	return (__u64)match << 40 | (__u64)rule->action << 32 | rule->id;
}

/* Unpacks a finding; true if it is a hit. */
static __always_inline bool hits(finding found, struct hit *hit)
{
	hit->rule = found;
	hit->action = found >> 32 & 0xff;
	hit->match = found >> 40 & 0xff;
	return found != NO_RULE;
}

/* No rule is known to match, but where the file is can't be told. */
static __always_inline finding unplaced(enum match match)
{
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct rule none = { .id = ~0U, .action = set ? set->unplaced_action : ACTION_DENY };

	return find(match, &none);
}

/* Of i_fsnotify_mask: somebody watches the inode for its deletion, as the agent does what it keeps. */
#define FS_DELETE_SELF 0x400
/* Of a version, beside the generation: whether somebody does. */
#define WATCHED ((__u64)FS_DELETE_SELF << 32)

/*
 * What tells an inode from an earlier one of the same number: its generation and, above that,
 * whether it is watched. Without a branch, which a loop over folders would multiply.
 */
static __always_inline __u64 version_of(struct inode *inode, enum via via)
{
	__u64 version = READ(via, inode, i_generation);

	if (bpf_core_field_exists(inode->i_fsnotify_mask))
		version |= (__u64)READ(via, inode, i_fsnotify_mask) << 32 & WATCHED;
	return version;
}

/*
 * The rules on an inode; none where its number went to another file since. One whose generation was
 * set anew is still the inode that the agent keeps in memory. A new file may have got the number and
 * the memory of one that is gone, but not the watch on it, which ended with that one.
 */
static __always_inline struct inode_rules *rules_on(const struct inode_key *key, __u64 address,
						    __u64 version)
{
	struct inode_rules *rules = bpf_map_lookup_elem(&rules_by_inode, key);

	if (!rules || rules->generation == (__u32)version)
		return rules;
	return version & WATCHED && rules->address == address ? rules : NULL;
}

/* The rule on the file itself. */
__noinline finding exact_rule(__u64 ino, __u32 dev, __u64 address, __u64 version, __u32 access)
{
	struct inode_key key = inode_key(ino, dev, address);
	struct inode_rules *rules = rules_on(&key, address, version);

	return rules && rules->exact.access & access ? find(MATCH_INODE, &rules->exact) : NO_RULE;
}

/* The rule on all that is beneath this folder. */
__noinline finding rule_beneath(__u64 ino, __u32 dev, __u64 address, __u64 version, __u32 access)
{
	struct inode_key key = inode_key(ino, dev, address);
	struct inode_rules *rules = rules_on(&key, address, version);

	if (!rules || rules->address != address || !(rules->beneath.access & access))
		return NO_RULE;
	return find(MATCH_FOLDER, &rules->beneath);
}

/* Whether a name in this folder has a rule. */
__noinline int has_names(__u64 ino, __u32 dev, __u64 address, __u64 version)
{
	struct inode_key key = inode_key(ino, dev, address);
	struct inode_rules *rules = rules_on(&key, address, version);

	return rules && rules->has_names;
}

#endif
