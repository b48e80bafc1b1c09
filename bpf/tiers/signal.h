/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The programs of the signal tier: a kprobe, which sees the file that is about to be opened,
 * whatever the way to it (links, mounts, handles, io_uring), and the tracepoints of the system
 * calls, which only see a path as it was passed.
 */
#ifndef AEGISBPF_TIERS_SIGNAL_H
#define AEGISBPF_TIERS_SIGNAL_H

#include "../file/signal.h"

SEC("kprobe/security_file_open")
int BPF_KPROBE(sig_file_open, struct file *file)
{
	return signal_open(file, HOOK_KPROBE_FILE_OPEN);
}

/* What the kernel hands to a program on any syscalls/sys_enter_* tracepoint. */
struct sys_enter {
	__u64 common;
	__s64 nr;
	__u64 args[6];
};

SEC("tracepoint/syscalls/sys_enter_openat")
int sig_openat(struct sys_enter *ctx)
{
	return signal_path(ctx->args[1], ctx->args[2], HOOK_SYS_OPENAT);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int sig_openat2(struct sys_enter *ctx)
{
	__u64 flags;

	/*
	 * They may be on a page that only the call itself will map; until then they may be
	 * anything, so take them for reading and writing.
	 */
	if (bpf_probe_read_user(&flags, sizeof(flags), (const void *)ctx->args[2]))
		flags = O_ACCMODE;
	return signal_path(ctx->args[1], flags, HOOK_SYS_OPENAT2);
}

SEC("tracepoint/syscalls/sys_enter_open")
int sig_open(struct sys_enter *ctx)
{
	return signal_path(ctx->args[0], ctx->args[1], HOOK_SYS_OPEN);
}

SEC("tracepoint/syscalls/sys_enter_creat")
int sig_creat(struct sys_enter *ctx)
{
	return signal_path(ctx->args[0], O_WRONLY | O_TRUNC, HOOK_SYS_CREAT);
}

#endif
