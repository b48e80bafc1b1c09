/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Which folder rule is on a folder or one above it, up to the root of their file system. */
#ifndef AEGISBPF_FILE_WALK_H
#define AEGISBPF_FILE_WALK_H

#include "../core/filter.h"
#include "../core/read.h"
#include "inode.h"

/*
 * How many folders are looked at. A bound for the verifier; what is deeper is treated as if a folder
 * rule matched, or depth would be a way around every one.
 */
#define FOLDER_LEVELS 256
/* So many of them in one round of the loop that most opens run through. */
#define UNROLLED 4

/*
 * Whether the policy has folder rules. Set before loading: without any, the walk isn't even part of
 * the program.
 */
const volatile __u32 has_folder_rules = 0;

#define SB_NOUSER (1UL << 31)
/* Of a file system that the kernel mounted for itself, as that of the namespaces. */
#define SB_KERNMOUNT (1UL << 22)

/* What the walk comes to where a dentry has no parent. */
static __always_inline finding at_top(struct dentry *dentry, struct super_block *sb, enum via via)
{
	/*
	 * Objects of the kernel's internal file systems (pipes, pidfds, namespaces, memory files)
	 * are in no folder. If one is bind-mounted, climb() looks at the folder of the mount point.
	 */
	if (dentry != READ(via, sb, s_root) &&
	    !(READ(via, sb, s_flags) & (SB_NOUSER | SB_KERNMOUNT)))
		return unplaced(MATCH_DETACHED);
	return NO_RULE;
}

/* Of a dentry, from its parent on to its inode, which are neighbours but for its name's length. */
struct dentry_place {
	__u64 words[4];
};

/* Looks at one folder, and says which is above it. */
__noinline finding look_at_folder(__u64 address, __u64 superblock, __u32 access)
{
	struct dentry *dentry = (void *)address;
	struct super_block *sb = (void *)superblock;
	struct dentry_place place;
	struct dentry *parent;
	struct inode *inode;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable)
		return NO_RULE;
	if (READ_FROM(&place, dentry, d_parent))
		return unplaced(MATCH_DETACHED);
	inode = FROM_READ(&place, dentry, d_parent, d_inode);
	if (perhaps_beneath(filter_mask, (__u64)inode)) {
		__u64 ino = BPF_CORE_READ(inode, i_ino);
		__u64 version = version_of(inode, VIA_PROBE);
		finding found = rule_beneath(ino, BPF_CORE_READ(sb, s_dev), (__u64)inode, version,
					     access);

		if (found != NO_RULE)
			return found;
	}
	parent = FROM_READ(&place, dentry, d_parent, d_parent);
	if (parent == dentry)
		return at_top(dentry, sb, VIA_PROBE);
	return (finding)parent;
}

/* Looks at the folders from this one up to the root of its file system, by addresses. */
__noinline finding walk_by_address(__u64 address, __u64 superblock, __u32 access)
{
	finding found = address;

	for (int level = 0; level < FOLDER_LEVELS && found < 0; level++)
		found = look_at_folder(found, superblock, access);
	return found < 0 ? unplaced(MATCH_TOO_DEEP) : found;
}

/* Asks the maps about each folder from this one up, by pointers that the verifier knows. */
static __noinline finding ask_upwards(struct dentry *dentry, struct super_block *sb, __u32 access)
{
	__u32 dev = sb->s_dev;

	for (int level = 0; level < FOLDER_LEVELS; level++) {
		struct inode *inode = dentry->d_inode;
		struct dentry *parent = dentry->d_parent;
		finding found = rule_beneath(inode->i_ino, dev, number_of(inode),
					     version_of(inode, VIA_BTF), access);

		if (found != NO_RULE)
			return found;
		if (parent == dentry)
			return at_top(dentry, sb, VIA_BTF);
		dentry = parent;
	}
	return unplaced(MATCH_TOO_DEEP);
}

/*
 * Whether a folder rule could be about what is in this folder or beneath it. The loop asks only the
 * filter: a map lookup would add a branch that continues the loop, and the verifier would follow
 * both sides at each of 256 levels, for seconds. It is unrolled since its own bookkeeping is a sixth
 * of what a level costs.
 */
static __noinline bool could_be_beneath(const struct dentry *dentry, const struct super_block *sb)
{
	__u32 mask = filter_mask;

	for (__u64 level = 0; level < FOLDER_LEVELS; level += UNROLLED) {
#pragma unroll
		for (int step = 0; step < UNROLLED; step++) {
			struct dentry *parent = dentry->d_parent;

			if (perhaps_beneath(mask, number_of(dentry->d_inode)))
				return true;
			if (parent == dentry)
				return dentry != sb->s_root;
			dentry = parent;
		}
	}
	return true;
}

static __always_inline bool has_folder_rule_on(__u64 superblock)
{
	return perhaps(filter_mask, superblock, FILTER_SUPERBLOCK);
}

#endif
