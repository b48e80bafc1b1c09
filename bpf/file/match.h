/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Which rule an act on a file meets, if any: by its inode, its name, or a folder above it. */
#ifndef AEGISBPF_FILE_MATCH_H
#define AEGISBPF_FILE_MATCH_H

#include "../core/event.h"
#include "above.h"
#include "access.h"
#include "name.h"

/* An open file, as far as every open must be looked at. */
struct opened {
	struct inode *inode;
	struct super_block *sb;
	struct dentry *dentry;
	struct vfsmount *mount;
	/* Of the dentry's folder. */
	struct inode *folder;
	__u64 ino;
	__u64 folder_ino;
	__u32 dev;
	/*
	 * Whether the dentry is this file's own. On many kernels one open on an overlay reaches the
	 * hook twice: for the overlay's file, then for the layer's, which has the overlay's dentry.
	 * The first has checked the path, so the second checks only the inode and the folders that
	 * the layer has it in; else one open would make two events.
	 */
	bool placed;
};

static __always_inline void look_by_pointers(struct file *file, struct opened *o)
{
	struct inode *inode = file->f_inode;
	struct dentry *dentry = file->f_path.dentry;
	struct super_block *sb = inode->i_sb;
	struct inode *folder = dentry->d_parent->d_inode;

	o->inode = inode;
	o->sb = sb;
	o->dentry = dentry;
	o->mount = file->f_path.mnt;
	o->folder = folder;
	o->ino = inode->i_ino;
	o->folder_ino = folder->i_ino;
	o->dev = sb->s_dev;
	o->placed = dentry->d_inode == inode;
}

/* The same by copies; apart, so that they aren't on the stack of what follows. */
static __noinline int look_by_copies(struct file *file, struct opened *o)
{
	struct dentry *parent;
	struct head head;

	if (READ_HEAD(&head, file))
		return -1;
	o->inode = FROM_HEAD(&head, file, f_inode);
	o->dentry = FROM_HEAD(&head, file, f_path.dentry);
	o->mount = FROM_HEAD(&head, file, f_path.mnt);
	if (READ_HEAD(&head, o->inode))
		return -1;
	o->ino = FROM_HEAD(&head, o->inode, i_ino);
	o->sb = FROM_HEAD(&head, o->inode, i_sb);
	if (READ_HEAD(&head, o->dentry))
		return -1;
	o->placed = FROM_HEAD(&head, o->dentry, d_inode) == o->inode;
	parent = FROM_HEAD(&head, o->dentry, d_parent);
	o->dev = READ(VIA_PROBE, o->sb, s_dev);
	o->folder = READ(VIA_PROBE, parent, d_inode);
	o->folder_ino = READ(VIA_PROBE, o->folder, i_ino);
	return 0;
}

/* 0, or a negative number where it can't be read. */
static __always_inline int look_at_open(struct file *file, struct opened *o, enum via via)
{
	if (via == VIA_PROBE)
		return look_by_copies(file, o);
	look_by_pointers(file, o);
	return 0;
}

static __always_inline __u32 access_of(struct file *file, enum via via)
{
	return access_of_file(READ(via, file, f_mode), READ(via, file, f_flags));
}

/* Whether a rule could be about a number on this inode's device, which is read only if need be. */
static __always_inline bool perhaps_beside(__u32 mask, __u64 ino, struct inode *inode)
{
	return has_first_bit(mask, ino) && has_second_bit(mask, ino, inode->i_sb->s_dev);
}

/*
 * Whether any rule could be about an open, by pointers that the verifier knows. Nearly every open on
 * the machine ends here, so it reads what it must and writes nothing.
 */
static __always_inline bool could_match_open(const struct file *file)
{
	struct inode *inode = file->f_inode;
	struct dentry *dentry = file->f_path.dentry;
	__u64 ino = inode->i_ino, folder_ino = dentry->d_parent->d_inode->i_ino;
	__u32 mask = filter_mask;

	if (perhaps_beside(mask, ino, inode) || perhaps_beside(mask, folder_ino, inode))
		return true;
	if (!has_folder_rules)
		return false;
	if (dentry->d_inode != inode)
		return memory_readable && has_folder_rule_on(number_of(inode->i_sb));
	return could_have_rule_above(dentry, dentry->d_sb, file->f_path.mnt);
}

/* The rule that an open meets; `v` gets what was opened and for what. */
static __always_inline bool match_open(struct file *file, struct verdict *v, struct hit *hit,
				       enum via via)
{
	finding found = NO_RULE;
	struct opened o = {};
	bool exact, name;

	if (look_at_open(file, &o, via))
		return false;
	exact = perhaps(filter_mask, o.ino, o.dev);
	name = o.placed && perhaps(filter_mask, o.folder_ino, o.dev);
	if (!exact && !name && !has_folder_rules)
		return false;
	v->inode.ino = o.ino;
	v->inode.dev = o.dev;
	v->access = access_of(file, via);
	if (exact)
		found = exact_rule(o.ino, o.dev, number_of(o.inode), version_of(o.inode, via),
				   v->access);
	if (found == NO_RULE && name)
		found = name_rule(o.dentry, o.folder, o.folder_ino, o.dev, v->access, via);
	if (found == NO_RULE && has_folder_rules && o.placed)
		found = rule_above(o.dentry, o.sb, o.mount, v->access, via);
	if (found == NO_RULE && has_folder_rules && !o.placed &&
	    has_folder_rule_on(number_of(o.sb)))
		found = rule_above_layer(number_of(o.inode), number_of(o.sb), v->access);
	return hits(found, hit);
}

/* The rule on the file that a dentry stands for; none where it stands for none yet. */
static __always_inline bool match_exact(struct dentry *dentry, __u32 access, struct verdict *v,
					struct hit *hit)
{
	struct inode *inode = dentry->d_inode;

	/*
	 * Some verifiers believe that `inode` is never NULL and remove `!inode`; there the number
	 * shows it. Others require `!inode` and don't accept the number in its place.
	 */
	if (!inode || !number_of(inode))
		return false;
	v->inode.ino = inode->i_ino;
	v->inode.dev = inode->i_sb->s_dev;
	return perhaps(filter_mask, v->inode.ino, v->inode.dev) &&
	       hits(exact_rule(v->inode.ino, v->inode.dev, number_of(inode),
			       version_of(inode, VIA_BTF), access),
		    hit);
}

/* The rule on a dentry's name. */
static __always_inline bool match_name(struct dentry *dentry, __u32 access, struct hit *hit)
{
	struct inode *folder = dentry->d_parent->d_inode;
	__u64 ino = folder->i_ino;
	__u32 dev = dentry->d_sb->s_dev;

	return perhaps(filter_mask, ino, dev) &&
	       hits(name_rule(dentry, folder, ino, dev, access, VIA_BTF), hit);
}

/* The rule on a folder that the dentry is in. */
static __always_inline bool match_above(struct dentry *dentry, __u32 access, struct hit *hit)
{
	return has_folder_rules &&
	       hits(rule_above(dentry->d_parent, dentry->d_sb, NULL, access, VIA_BTF), hit);
}

/* The rule that giving a file this new name meets. To make a name is to write. */
static __always_inline bool match_new_name(struct dentry *dentry, struct hit *hit)
{
	return match_name(dentry, ACCESS_WRITE, hit) || match_above(dentry, ACCESS_WRITE, hit);
}

/* The rule that an act meets which changes a file other than by opening it, or removes it. */
static __always_inline bool match_changed(struct dentry *dentry, struct verdict *v,
					  struct hit *hit)
{
	return match_exact(dentry, ACCESS_WRITE, v, hit) ||
	       match_name(dentry, ACCESS_WRITE, hit) || match_above(dentry, ACCESS_WRITE, hit);
}

/*
 * The rule on a file that is to get another name. After that it is no longer at the rule's path, and
 * once that path leads to another file, the rule no longer covers this one. So a rename counts as
 * reading and writing, whatever the rule denies.
 */
static __always_inline bool match_renamed(struct dentry *from, struct verdict *v, struct hit *hit)
{
	return match_exact(from, ACCESS_READ | ACCESS_WRITE, v, hit) ||
	       match_name(from, ACCESS_READ | ACCESS_WRITE, hit);
}

/*
 * The rule that taking a file from one folder to another meets. A file that leaves a folder with a
 * rule is no longer covered by that rule, so it may move only to a place that the same rule covers.
 */
static __always_inline bool match_leaving(struct dentry *from, struct dentry *to,
					  struct hit *hit)
{
	struct hit arriving = {};

	if (!match_above(from, ACCESS_READ | ACCESS_WRITE, hit))
		return false;
	return !match_above(to, ACCESS_READ | ACCESS_WRITE, &arriving) ||
	       arriving.rule != hit->rule;
}

#endif
