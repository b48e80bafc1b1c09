/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Which folder rule a file is beneath: the folders from it up to the root of its file system, then
 * from where that is mounted, and so forth. Folders are looked at on those file systems alone that
 * have a folder with such a rule.
 */
#ifndef AEGISBPF_FILE_ABOVE_H
#define AEGISBPF_FILE_ABOVE_H

#include "climb.h"

/*
 * The rule on a folder from this one upwards. Without a mount (hooks that see only inodes) the walk
 * ends at the file system's root; so it does under lockdown, where a mount's parent can't be read.
 */
static __always_inline finding rule_above(struct dentry *dentry,
					  struct super_block *sb, struct vfsmount *mount,
					  __u32 access, enum via via)
{
	finding found = NO_RULE;

	if (has_folder_rule_on(number_of(sb))) {
		if (via == VIA_PROBE || memory_readable)
			found = walk_by_address(number_of(dentry), number_of(sb), access);
		else
			found = ask_upwards(dentry, sb, access);
	}
	if (found == NO_RULE && mount && memory_readable)
		found = climb(number_of(mount), access);
	return found;
}

/*
 * The same for a file of an overlay's layer where the open has the overlay's dentry, as before 6.7:
 * the folders in which the layer has the file, by one of its names. Under lockdown that dentry can't
 * be found.
 */
__noinline finding rule_above_layer(__u64 address, __u64 superblock, __u32 access)
{
	struct inode *inode = (void *)address;
	__u64 alias;

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable || !bpf_core_field_exists(((struct dentry *)0)->d_u.d_alias))
		return NO_RULE;
	alias = (__u64)BPF_CORE_READ(inode, i_dentry.first);
	if (!alias)
		return NO_RULE;
	return walk_by_address(alias - OFFSET_OF(struct dentry, d_u.d_alias), superblock, access);
}

/* Whether there could be one. */
static __always_inline bool could_have_rule_above(struct dentry *dentry,
						  struct super_block *sb, struct vfsmount *mount)
{
	if (has_folder_rule_on(number_of(sb)) && could_be_beneath(dentry, sb))
		return true;
	return memory_readable &&
	       climb(number_of(mount), ACCESS_READ | ACCESS_WRITE) != NO_RULE;
}

#endif
