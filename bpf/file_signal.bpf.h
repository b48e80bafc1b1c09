/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * File class, signal tier: kills whoever opens a denied path. The open itself still runs
 * and death comes on the way back to user mode, so an event says "killed", never "denied".
 */
#ifndef AEGISBPF_FILE_SIGNAL_H
#define AEGISBPF_FILE_SIGNAL_H

#include "event.bpf.h"
#include "exempt.bpf.h"
#include "spare.bpf.h"

/* The one signal that a process can neither ignore nor block. */
#define SIGKILL 9

/* What the kernel hands to a program on any syscalls/sys_enter_* tracepoint. */
struct sys_enter {
	__u64 common;
	__s64 nr;
	__u64 args[6];
};

static __always_inline void punish(struct verdict *v)
{
	v->spared = spare(bpf_get_current_pid_tgid() >> 32);
	if (v->spared != SPARED_NO)
		return;
	v->signal = SIGKILL;
	v->signal_result = bpf_send_signal(SIGKILL);
	if (!v->signal_result)
		v->outcome = OUTCOME_KILLED;
}

static __always_inline int judge_path(__u64 user_path, enum hook hook)
{
	/* The bytes beyond tell a path that fills the key from one that was cut off. */
	struct {
		struct path_key key;
		char beyond[8];
	} seen = {};
	struct verdict v = { .hook = hook };
	struct rule *rule;
	long len;

	len = bpf_probe_read_user_str(&seen, sizeof(seen), (const void *)user_path);
	if (len <= 1 || len > PATH_KEY_LEN)
		return 0;
	rule = bpf_map_lookup_elem(&rules_by_path, &seen.key);
	if (!rule || in_exempt_cgroup())
		return 0;
	v.rule = rule->id;
	if (rule->action == ACTION_DENY)
		punish(&v);
	tell(&v, &seen.key);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int sig_openat(struct sys_enter *ctx)
{
	return judge_path(ctx->args[1], HOOK_SYS_OPENAT);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int sig_openat2(struct sys_enter *ctx)
{
	return judge_path(ctx->args[1], HOOK_SYS_OPENAT2);
}

SEC("tracepoint/syscalls/sys_enter_open")
int sig_open(struct sys_enter *ctx)
{
	return judge_path(ctx->args[0], HOOK_SYS_OPEN);
}

SEC("tracepoint/syscalls/sys_enter_creat")
int sig_creat(struct sys_enter *ctx)
{
	return judge_path(ctx->args[0], HOOK_SYS_CREAT);
}

#endif
