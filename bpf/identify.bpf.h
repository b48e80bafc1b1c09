/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What the agent's own descriptors stand for, in the kernel's own terms. stat(2) can't say:
 * btrfs and overlayfs show user space other device and inode numbers than the hooks see, and
 * no call tells the generation of a file that mustn't be opened.
 */
#ifndef AEGISBPF_IDENTIFY_H
#define AEGISBPF_IDENTIFY_H

#include "file_rules.bpf.h"
#include "spare.bpf.h"

SEC("iter/task_file")
int identify(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct identity found = {};
	struct inode *inode;

	/* Some kernels show a shared table once for each thread; the leader's is enough. */
	if (!task || !file || task->tgid != agent_tgid || task->pid != task->tgid)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	read_inode(inode, &found.inode);
	found.inode.address = (__u64)inode;
	found.generation = BPF_CORE_READ(inode, i_generation);
	found.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

#endif
