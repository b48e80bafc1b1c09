// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies whatever is in a folder in which a name has a rule. */
#include "../file/match.h"

static __noinline int is_meant(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct inode *folder = BPF_CORE_READ(dentry, d_parent, d_inode);

	if (BPF_CORE_READ(dentry, d_inode) != BPF_CORE_READ(file, f_inode))
		return 0;
	return has_names(BPF_CORE_READ(folder, i_ino), BPF_CORE_READ(folder, i_sb, s_dev),
			 (__u64)folder, version_of(folder, VIA_PROBE));
}

#include "unnamed.h"

#include "../aegisbpf.bpf.c"
