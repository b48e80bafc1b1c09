/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Which folder rule is above a mount: the folder that it is mounted on, and so forth upwards. */
#ifndef AEGISBPF_FILE_CLIMB_H
#define AEGISBPF_FILE_CLIMB_H

#include "walk.h"

/* How many file systems mounted one upon the other are looked at, as FOLDER_LEVELS. */
#define MOUNT_LEVELS 64

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
__noinline finding climb_by_copies(__u64 mount, __u32 access)
{
	struct mount *at = (void *)(mount - OFFSET_OF(struct mount, mnt));
	struct mount_place place;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable)
		return NO_RULE;
	if (READ_PLACE(&place, at))
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
		if (has_folder_rule_on((__u64)sb)) {
			finding found = walk_by_address(point, (__u64)sb, access);

			if (found != NO_RULE)
				return found;
		}
		at = above;
	}
	return unplaced(MATCH_TOO_DEEP);
}

/* The same as walk_by_address(). The copies are made only where a rule could be found. */
__noinline finding walk_by_casts(__u64 address, __u64 superblock, __u32 access)
{
	const struct super_block *sb;
	const struct dentry *dentry;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!can_cast)
		return NO_RULE;
	dentry = CAST(struct dentry, PLACE_OF_DENTRY, address);
	sb = CAST(struct super_block, PLACE_OF_SUPER_BLOCK, superblock);
	return could_be_beneath(dentry, sb) ? walk_by_address(address, superblock, access) : NO_RULE;
}

/* The same as climb_by_copies(). */
__noinline finding climb_by_casts(__u64 mount, __u32 access)
{
	const struct mount *at, *above;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!can_cast)
		return NO_RULE;
	at = CAST(struct mount, PLACE_OF_MOUNT, mount - OFFSET_OF(struct mount, mnt));
	for (__u64 level = 0; level < MOUNT_LEVELS; level++) {
		struct super_block *sb;

		above = at->mnt_parent;
		/* As a load that faults would give. The verifier believes that it isn't NULL. */
		if (!number_of(above))
			break;
		if (above == at)
			return NO_RULE;
		sb = above->mnt.mnt_sb;
		if (has_folder_rule_on(number_of(sb))) {
			finding found = walk_by_casts(number_of(at->mnt_mountpoint),
						      number_of(sb), access);

			if (found != NO_RULE)
				return found;
		}
		at = above;
	}
	return unplaced(MATCH_TOO_DEEP);
}

/* Whichever of the two this kernel can. */
static __always_inline finding climb(__u64 mount, __u32 access)
{
	return can_cast ? climb_by_casts(mount, access) : climb_by_copies(mount, access);
}

#endif
