/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Which folder rule a file is beneath: the folders from it up to the root of its file system, then
 * from where that is mounted, and so forth. Folders are looked at on those file systems alone that
 * have a folder with such a rule.
 */
#ifndef AEGISBPF_FILE_WALK_H
#define AEGISBPF_FILE_WALK_H

#include "../core/filter.h"
#include "../core/read.h"
#include "inode.h"

/*
 * How many folders within one file system, and how many file systems mounted one upon the other
 * are looked at. Bounds for the verifier; what is deeper is treated as if a folder rule matched,
 * or depth would be a way around every one.
 */
#define FOLDER_LEVELS 256
#define MOUNT_LEVELS 64

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

/* Looks at one folder, and says which is above it. */
__noinline finding look_at_folder(__u64 address, __u32 dev, __u32 access)
{
	struct dentry *dentry = (void *)address;
	const struct filter *f = the_filter();
	struct dentry *parent;
	struct inode *inode;
	struct head head;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable)
		return NO_RULE;
	if (!f || READ_HEAD(&head, dentry))
		return unplaced(MATCH_DETACHED);
	inode = FROM_HEAD(&head, dentry, d_inode);
	if (perhaps_beneath(f, filter_mask, (__u64)inode)) {
		__u64 ino = BPF_CORE_READ(inode, i_ino);
		__u32 generation = BPF_CORE_READ(inode, i_generation);
		finding found = rule_beneath(ino, dev, (__u64)inode, generation, access);

		if (found != NO_RULE)
			return found;
	}
	parent = FROM_HEAD(&head, dentry, d_parent);
	if (parent == dentry)
		return at_top(dentry, FROM_HEAD(&head, dentry, d_sb), VIA_PROBE);
	return (finding)parent;
}

/* Looks at the folders from this one up to the root of its file system, by addresses. */
__noinline finding walk_by_address(__u64 address, __u32 dev, __u32 access)
{
	finding found = address;

	for (int level = 0; level < FOLDER_LEVELS && found < 0; level++)
		found = look_at_folder(found, dev, access);
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
					     inode->i_generation, access);

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
 * both sides at each of 256 levels, for seconds.
 */
static __noinline bool could_be_beneath(struct dentry *dentry, struct super_block *sb)
{
	const struct filter *f = the_filter();
	__u32 mask = filter_mask;

	if (!f)
		return false;
	for (__u64 level = 0; level < FOLDER_LEVELS; level++) {
		struct dentry *parent = dentry->d_parent;

		if (perhaps_beneath(f, mask, number_of(dentry->d_inode)))
			return true;
		if (parent == dentry)
			return dentry != sb->s_root;
		dentry = parent;
	}
	return true;
}

static __always_inline bool has_folder_rule_on(const struct filter *f, __u64 superblock)
{
	return perhaps(f, filter_mask, superblock, FILTER_SUPERBLOCK);
}

/* Of a mount, from its parent on to its superblock, which are neighbours. */
struct mount_place {
	__u64 words[4];
};

#define READ_PLACE(into, mount) READ_FROM(into, mount, mnt_parent)
#define FROM_PLACE(from, mount, field) FROM_READ(from, mount, mnt_parent, field)

/*
 * Looks at the folders that a mount is mounted on, up to the root of its namespace. One read of each
 * mount serves what is asked of it as the mount above and then as the mount below.
 */
__noinline finding climb(__u64 mount, __u32 access)
{
	struct mount *at = (void *)(mount - OFFSET_OF(struct mount, mnt));
	const struct filter *f = the_filter();
	struct mount_place place;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable)
		return NO_RULE;
	if (!f || READ_PLACE(&place, at))
		return unplaced(MATCH_DETACHED);
	for (int level = 0; level < MOUNT_LEVELS; level++) {
		struct mount *above = FROM_PLACE(&place, at, mnt_parent);
		__u64 point = (__u64)FROM_PLACE(&place, at, mnt_mountpoint);
		struct super_block *sb;

		if (!above || above == at)
			return NO_RULE;
		if (READ_PLACE(&place, above))
			return unplaced(MATCH_DETACHED);
		sb = FROM_PLACE(&place, above, mnt.mnt_sb);
		if (has_folder_rule_on(f, (__u64)sb)) {
			finding found = walk_by_address(point, BPF_CORE_READ(sb, s_dev), access);

			if (found != NO_RULE)
				return found;
		}
		at = above;
	}
	return unplaced(MATCH_TOO_DEEP);
}

/*
 * The rule on a folder from this one upwards. Without a mount (hooks that see only inodes) the walk
 * ends at the file system's root; so it does under lockdown, where a mount's parent can't be read.
 */
static __always_inline finding rule_above(const struct filter *f, struct dentry *dentry,
					  struct super_block *sb, struct vfsmount *mount,
					  __u32 access, enum via via)
{
	finding found = NO_RULE;

	if (has_folder_rule_on(f, number_of(sb))) {
		if (via == VIA_PROBE || memory_readable)
			found = walk_by_address(number_of(dentry), READ(via, sb, s_dev), access);
		else
			found = ask_upwards(dentry, sb, access);
	}
	if (found == NO_RULE && mount && memory_readable)
		found = climb(number_of(mount), access);
	return found;
}

/* Whether there could be one. */
static __always_inline bool could_have_rule_above(const struct filter *f, struct dentry *dentry,
						  struct super_block *sb, struct vfsmount *mount)
{
	if (has_folder_rule_on(f, number_of(sb)) && could_be_beneath(dentry, sb))
		return true;
	return memory_readable &&
	       climb(number_of(mount), ACCESS_READ | ACCESS_WRITE) != NO_RULE;
}

#endif
