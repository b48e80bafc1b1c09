/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Which rule an act on a file meets: the one decision that every hook which sees a file
 * shares. It reads the kernel's structures by probe reads only, since a kprobe's pointers
 * can't be followed in any other way.
 */
#ifndef AEGISBPF_FILE_RULES_H
#define AEGISBPF_FILE_RULES_H

#include "maps.bpf.h"

/*
 * How many folders within one filesystem, and how many filesystems mounted one upon the other
 * are looked at. Bounds for the verifier; what is deeper is treated as if a folder rule matched,
 * or depth would be a way around every one.
 */
#define FOLDER_LEVELS 256
#define MOUNT_LEVELS 64

/* Whether the policy has folder rules; set before loading, so that without any the walk
 * isn't even part of the program. */
const volatile __u32 has_folder_rules = 0;

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_TRUNC 01000
#define SB_NOUSER (1UL << 31)
/* Of one that the kernel mounted for itself, as that of the namespaces. */
#define SB_KERNMOUNT (1UL << 22)

/* What a lookup found. */
struct hit {
	__u32 rule;
	enum action action;
	enum match match;
};

static __always_inline bool take(const struct rule *rule, __u32 access, enum match match,
				 struct hit *hit)
{
	if (!(rule->access & access))
		return false;
	hit->rule = rule->id;
	hit->action = rule->action;
	hit->match = match;
	return true;
}

static __always_inline void read_inode(struct inode *inode, struct inode_key *key)
{
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);

	key->ino = 0;
	key->address = 0;
	key->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	key->zero = 0;
	if (set && set->has_addressed_devices && bpf_map_lookup_elem(&rules_by_inode, key))
		key->address = (__u64)inode;
	key->ino = BPF_CORE_READ(inode, i_ino);
}

/* The rules on an inode; none where its number went to another file since. */
static __always_inline struct inode_rules *rules_on(struct inode *inode, struct inode_key *key)
{
	struct inode_rules *rules;

	read_inode(inode, key);
	rules = bpf_map_lookup_elem(&rules_by_inode, key);
	if (!rules || rules->generation != BPF_CORE_READ(inode, i_generation))
		return NULL;
	return rules;
}

/* Whether the rule is on this inode, and not on one that had its address before. */
static __always_inline bool is_meant(const struct folder_rule *rule, struct inode *inode)
{
	return rule->ino == BPF_CORE_READ(inode, i_ino) &&
	       rule->dev == BPF_CORE_READ(inode, i_sb, s_dev) &&
	       rule->generation == BPF_CORE_READ(inode, i_generation);
}

/*
 * What a look at names or folders comes to, in one number. Negative: nothing yet, and the address
 * of the dentry to go on from, whose highest bit is set as in each of the kernel's. 0: no rule.
 * Else a hit, from the lowest bit on: 32 of the rule, 8 of the action, 8 of the kind of match.
 *
 * The functions that give it are global and have numbers for arguments: so the verifier goes
 * through each once, whoever calls it, and takes the result for any number. Otherwise it would
 * follow every branch at each of hundreds of levels, for seconds.
 */
typedef __s64 finding;

#define NO_RULE 0

static __always_inline finding find(enum match match, const struct rule *rule)
{
	return (__u64)match << 40 | (__u64)rule->action << 32 | rule->id;
}

/* Whether it is a hit, and which. */
static __always_inline bool hits(finding found, struct hit *hit)
{
	hit->rule = found;
	hit->action = found >> 32 & 0xff;
	hit->match = found >> 40 & 0xff;
	return found != NO_RULE;
}

/* The rule on the name that a dentry has in its folder, whatever file has that name. */
__noinline finding look_at_name(__u64 address, __u32 access)
{
	struct dentry *dentry = (void *)address;
	struct inode *folder = BPF_CORE_READ(dentry, d_parent, d_inode);
	struct name_key key = {};
	struct inode_rules *rules;
	struct rule *rule;

	if (!folder)
		return NO_RULE;
	rules = rules_on(folder, &key.folder);
	if (!rules || !rules->has_names)
		return NO_RULE;
	bpf_probe_read_kernel_str(key.name, sizeof(key.name), BPF_CORE_READ(dentry, d_name.name));
	rule = bpf_map_lookup_elem(&rules_by_name, &key);
	return rule && rule->access & access ? find(MATCH_NAME, rule) : NO_RULE;
}

static __always_inline bool match_name(struct dentry *dentry, __u32 access, struct hit *hit)
{
	__u64 address;

	/* A pointer that a hook was given is no number for the verifier until it is read. */
	bpf_probe_read_kernel(&address, sizeof(address), &dentry);
	return hits(look_at_name(address, access), hit);
}

/* No rule is known to match, but where the file is can't be told. */
static __always_inline finding unplaced(enum match match)
{
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct rule none = { .id = ~0U, .action = set ? set->unplaced_action : ACTION_DENY };

	return find(match, &none);
}

/* Looks at one folder, and says which is above it. */
__noinline finding look_at_folder(__u64 address, __u32 access)
{
	struct dentry *dentry = (void *)address;
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u64 key = (__u64)inode;
	struct folder_rule *rule = bpf_map_lookup_elem(&rules_by_folder, &key);

	if (rule && is_meant(rule, inode) && rule->rule.access & access)
		return find(MATCH_FOLDER, &rule->rule);
	if (parent != dentry)
		return (finding)parent;
	/*
	 * What the kernel makes for itself (pipes, pidfds, namespaces, memory files) is in no
	 * folder but that it is mounted on.
	 */
	if (dentry != BPF_CORE_READ(dentry, d_sb, s_root) &&
	    !(BPF_CORE_READ(dentry, d_sb, s_flags) & (SB_NOUSER | SB_KERNMOUNT)))
		return unplaced(MATCH_DETACHED);
	return NO_RULE;
}

/* Looks at the folders from this one up to the root of its filesystem. */
__noinline finding climb_to_root(__u64 address, __u32 access)
{
	finding found = address;

	for (int level = 0; level < FOLDER_LEVELS && found < 0; level++)
		found = look_at_folder(found, access);
	return found < 0 ? unplaced(MATCH_TOO_DEEP) : found;
}

/*
 * The same, and on from where that filesystem is mounted, and so forth. Without a mount (hooks
 * that see only inodes) the walk ends at the filesystem's root.
 */
__noinline finding climb(__u64 address, __u64 mount, __u32 access)
{
	__u32 offset = __builtin_preserve_field_info(((struct mount *)0)->mnt, 0);
	struct mount *at = (void *)mount - offset;

	for (int level = 0; level < MOUNT_LEVELS; level++) {
		finding found = climb_to_root(address, access);
		struct mount *above;

		if (found != NO_RULE || !mount)
			return found;
		above = BPF_CORE_READ(at, mnt_parent);
		if (!above || above == at)
			return NO_RULE;
		address = (__u64)BPF_CORE_READ(at, mnt_mountpoint);
		at = above;
	}
	return unplaced(MATCH_TOO_DEEP);
}

/* Whether a folder from this one upwards has a folder rule. */
static __always_inline bool match_folder(struct dentry *dentry, struct vfsmount *mount,
					 __u32 access, struct hit *hit)
{
	if (!has_folder_rules || !dentry)
		return false;
	return hits(climb((__u64)dentry, (__u64)mount, access), hit);
}

#define ROOT_CGROUP 1

/*
 * What a mutant denies that no rule names. Not to the root cgroup, where the agent itself is and
 * whoever prepares the acts; nor to a canary, before which nothing is denied that can't be placed.
 */
static __always_inline bool match_for_mutant(struct dentry *dentry, struct hit *hit)
{
	struct inode_key folder;
	struct inode_rules *rules;

	if (!is_mutant(DENIES_NEIGHBOURS) && !is_mutant(DENIES_EVERYTHING) &&
	    !is_mutant(DENIES_OTHER_NAMES))
		return false;
	if (bpf_get_current_cgroup_id() == ROOT_CGROUP)
		return false;
#ifdef SABOTAGE
	if (is_mutant(DENIES_OTHER_NAMES) && BPF_CORE_READ(dentry, d_inode, i_nlink) < 2)
		return false;
#endif
	if (is_mutant(DENIES_NEIGHBOURS)) {
		rules = rules_on(BPF_CORE_READ(dentry, d_parent, d_inode), &folder);
		if (!rules || !rules->has_names)
			return false;
	}
	return hits(unplaced(MATCH_NAME), hit) && hit->action == ACTION_DENY;
}

/* What opening the file is: reading, writing or both. To truncate is to write. */
static __always_inline __u32 access_of(struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_mode);
	__u32 access = 0;

	if (mode & FMODE_READ)
		access |= ACCESS_READ;
	if (mode & FMODE_WRITE || BPF_CORE_READ(file, f_flags) & O_TRUNC)
		access |= ACCESS_WRITE;
	/* The access mode 3 opens for ioctl alone; no rule is meant to let it through. */
	return access ? access : ACCESS_READ | ACCESS_WRITE;
}

/* The rule that an open of the file meets, if any. */
static __always_inline bool match_open(struct file *file, __u32 access, struct inode_key *key,
				       struct hit *hit)
{
	struct inode_rules *rules = rules_on(BPF_CORE_READ(file, f_inode), key);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	if (rules && take(&rules->exact, access, MATCH_INODE, hit))
		return true;
	/*
	 * Many kernels have an overlay open the file beneath under the overlay's own path. By
	 * that path the open was looked at when the overlay's own file came; doing it again
	 * would tell of one act twice.
	 */
	if (BPF_CORE_READ(file, f_inode) != BPF_CORE_READ(dentry, d_inode))
		return false;
	if (match_name(dentry, access, hit))
		return true;
	return match_folder(dentry, BPF_CORE_READ(file, f_path.mnt), access, hit) ||
	       match_for_mutant(dentry, hit);
}

/* The rule that giving a file this new name meets, if any. To make a name is to write. */
static __always_inline bool match_new_name(struct dentry *dentry, struct hit *hit)
{
	if (match_name(dentry, ACCESS_WRITE, hit))
		return true;
	return match_folder(BPF_CORE_READ(dentry, d_parent), NULL, ACCESS_WRITE, hit);
}

/*
 * The rule that taking a file from one folder to another meets, if any: out of a folder with
 * a rule it would be beyond that rule, so it may go to no other place than within it.
 */
static __always_inline bool match_leaving(struct dentry *from, struct dentry *to,
					  struct hit *hit)
{
	struct hit arriving = {};

	if (!match_folder(BPF_CORE_READ(from, d_parent), NULL, ACCESS_READ | ACCESS_WRITE, hit))
		return false;
	return !match_folder(BPF_CORE_READ(to, d_parent), NULL, ACCESS_READ | ACCESS_WRITE,
			     &arriving) ||
	       arriving.rule != hit->rule;
}

/* The rule on the file that this dentry stands for, if any. */
static __always_inline bool match_exact(struct dentry *dentry, __u32 access,
					struct inode_key *key, struct hit *hit)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct inode_rules *rules;

	if (!inode)
		return false;
	rules = rules_on(inode, key);
	return rules && take(&rules->exact, access, MATCH_INODE, hit);
}

#endif
