/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What the agent's own descriptors stand for, in the kernel's own terms. stat(2) can't say:
 * btrfs and overlayfs show user space other device and inode numbers than the hooks see, and
 * no call tells the generation of a file that mustn't be opened.
 */
#ifndef AEGISBPF_CORE_IDENTIFY_H
#define AEGISBPF_CORE_IDENTIFY_H

#include "read.h"
#include "spare.h"

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
	inode = file->f_inode;
	found.inode.ino = inode->i_ino;
	found.inode.dev = inode->i_sb->s_dev;
	found.inode.address = number_of(inode);
	found.superblock = number_of(inode->i_sb);
	found.generation = inode->i_generation;
	found.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

#endif
