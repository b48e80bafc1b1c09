// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Spares by the executable alone, whoever runs it. */
#include "../core/spare.h"

static __always_inline enum spared spare_by_executable(__u32 tgid)
{
	enum spared spared = spare(tgid);
	struct inode *inode;

	if (spared != SPARED_NO)
		return spared;
	inode = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), mm, exe_file, f_inode);
	return inode && is_protected(inode) ? SPARED_PROTECTED : SPARED_NO;
}

#define spare spare_by_executable
#include "../aegisbpf.bpf.c"
