/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Which argument of a hook is the dentry, where kernels differ in it. */
#ifndef AEGISBPF_TIERS_ARGUMENT_H
#define AEGISBPF_TIERS_ARGUMENT_H

#include "../core/kernel.h"

/*
 * The place of the dentry among the arguments: 0, or 1 where the kernel passes the mount's id mapping
 * first. Set before loading, by the kernel's BTF. The LSM's hook and the function that calls it came
 * to differ in different versions.
 */
const volatile __u32 lsm_setattr_dentry = 0;
const volatile __u32 lsm_setxattr_dentry = 0;
const volatile __u32 lsm_removexattr_dentry = 0;
const volatile __u32 modret_setattr_dentry = 0;
const volatile __u32 modret_setxattr_dentry = 0;
const volatile __u32 modret_removexattr_dentry = 0;

/* The verifier knows the type of each argument, so each is loaded by an instruction of its own. */
static __always_inline struct dentry *dentry_at(const __u64 *arguments, __u32 place)
{
	struct dentry *dentry;

	if (place) {
		dentry = (struct dentry *)arguments[1];
		barrier();
	} else {
		dentry = (struct dentry *)arguments[0];
	}
	return dentry;
}

#endif
