/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The rule on a name in a folder, whatever file has it. */
#ifndef AEGISBPF_FILE_NAME_H
#define AEGISBPF_FILE_NAME_H

#include "../core/filter.h"
#include "../core/read.h"
#include "inode.h"

static __always_inline finding rule_on_name(const struct name_key *key, __u32 access)
{
	struct rule *rule = bpf_map_lookup_elem(&rules_by_name, key);

	return rule && rule->access & access ? find(MATCH_NAME, rule) : NO_RULE;
}

/* By the address of the dentry and its folder's inode number, device and address. */
__noinline finding name_rule_by_address(__u64 dentry, __u64 ino, __u32 dev, __u64 address,
					__u32 access)
{
	struct dentry *at = (void *)dentry;
	struct name_key key = {};

	/* Some kernels verify a global function that nobody calls, and would refuse this one. */
	if (!memory_readable)
		return NO_RULE;
	key.folder = inode_key(ino, dev, address);
	bpf_probe_read_kernel_str(key.name, sizeof(key.name), BPF_CORE_READ(at, d_name.name));
	return rule_on_name(&key, access);
}

/*
 * The same for a name that stands in the dentry itself, by loads of 8 bytes. Behind the name's end
 * is what was there before, which must not get into the key.
 */
static __noinline finding name_rule_in_dentry(struct dentry *dentry, __u64 ino, __u32 dev,
					      __u64 address, __u32 access)
{
	struct name_key key = { .folder = inode_key(ino, dev, address) };
	__u64 *name = (__u64 *)key.name;
	__u32 len = dentry->d_name.len;
	const __u64 *words;

	if (bpf_core_field_exists(dentry->d_iname))
		words = (const __u64 *)dentry->d_iname;
	else
		words = (const __u64 *)dentry->d_shortname.string;
	for (__u32 word = 0; word < NAME_INLINE_LEN / 8; word++) {
		__u32 before = word * 8;
		__u64 bytes = words[word];

		if (len < before + 8)
			bytes = len > before ? bytes & ((1ULL << (len - before) * 8) - 1) : 0;
		name[word] = bytes;
	}
	return rule_on_name(&key, access);
}

/*
 * The rule on the name of a dentry in a folder about which the filter said "perhaps". Under
 * lockdown a name that stands elsewhere can't be read; user space doesn't count such a rule as
 * enforced.
 */
static __always_inline finding name_rule(struct dentry *dentry, struct inode *folder, __u64 ino,
					 __u32 dev, __u32 access, enum via via)
{
	__u64 address = number_of(folder);

	if (!has_names(ino, dev, address, version_of(folder, via)))
		return NO_RULE;
	if (via == VIA_BTF && dentry->d_name.len < NAME_INLINE_LEN)
		return name_rule_in_dentry(dentry, ino, dev, address, access);
	if (memory_readable)
		return name_rule_by_address(number_of(dentry), ino, dev, address, access);
	return NO_RULE;
}

#endif
