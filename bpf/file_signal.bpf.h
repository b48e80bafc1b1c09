/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * File class, signal tier: kills whoever opens a denied path. The open itself still runs
 * and death comes on the way back to user mode, so an event says "killed", never "denied".
 */
#ifndef AEGISBPF_FILE_SIGNAL_H
#define AEGISBPF_FILE_SIGNAL_H

#include "event.bpf.h"
#include "exempt.bpf.h"
#include "file_rules.bpf.h"
#include "spare.bpf.h"

/*
 * The signal that is sent; set before loading. SIGKILL is the one that a process can neither
 * ignore nor block.
 */
const volatile __u32 enforce_signal = 9;

#define O_ACCMODE 03
#define O_WRONLY 01
#define O_CREAT 0100

/* What the kernel hands to a program on any syscalls/sys_enter_* tracepoint. */
struct sys_enter {
	__u64 common;
	__s64 nr;
	__u64 args[6];
};

/* Sends the signal, and says what became of that. */
static __always_inline __s64 send_signal(enum hook hook)
{
	if (is_mutant(NEVER_SIGNALS) || (is_mutant(SIGNALS_ONLY_CANARIES) && !is_canary(hook)))
		return 0;
	/* No kernel can be made to refuse the signal itself. */
	if ((is_mutant(IGNORES_HELPER_RESULT) || is_mutant(SIGNAL_REFUSED)) && !is_canary(hook))
		return bpf_send_signal(~0U >> 1);
	return bpf_send_signal(enforce_signal);
}

static __always_inline void count_refused(void)
{
	struct tally *t = the_tally();

	if (t)
		__sync_fetch_and_add(&t->signals_refused, 1);
}

static __always_inline void punish(struct verdict *v)
{
	v->spared = spare(bpf_get_current_pid_tgid() >> 32);
	if (v->spared != SPARED_NO)
		return;
	v->signal = enforce_signal;
	v->signal_result = send_signal(v->hook);
	if (!v->signal_result || is_mutant(IGNORES_HELPER_RESULT))
		v->outcome = OUTCOME_KILLED;
	/* What became of a canary is known from the canary. */
	else if (!is_canary(v->hook))
		count_refused();
}

/*
 * Sees the file that is about to be opened, whatever the way to it: links, mounts, handles,
 * io_uring. The tracepoints below only see a path as it was passed.
 */
SEC("kprobe/security_file_open")
int BPF_KPROBE(sig_file_open, struct file *file)
{
	struct verdict v = { .hook = HOOK_KPROBE_FILE_OPEN, .access = access_of(file) };
	struct hit hit = {};

	if (!match_open(file, v.access, &v.inode, &hit) || in_exempt_cgroup())
		return 0;
	v.hit = hit;
	if (hit.action == ACTION_DENY)
		punish(&v);
	tell(&v, NULL);
	return 0;
}

/* What open flags ask for: reading, writing or both. */
static __always_inline __u32 access_of_flags(__u64 flags)
{
	__u32 mode = flags & O_ACCMODE;
	__u32 access = 0;

	if (mode != O_WRONLY)
		access |= ACCESS_READ;
	if (mode || flags & (O_TRUNC | O_CREAT))
		access |= ACCESS_WRITE;
	return access;
}

static __always_inline int judge_path(__u64 user_path, __u64 flags, enum hook hook)
{
	/* The bytes beyond tell a path that fills the key from one that was cut off. */
	struct {
		struct path_key key;
		char beyond[8];
	} seen = {};
	struct verdict v = { .hook = hook, .access = access_of_flags(flags) };
	struct rule *rule;
	long len;

	len = bpf_probe_read_user_str(&seen, sizeof(seen), (const void *)user_path);
	if (len <= 1 || len > PATH_KEY_LEN)
		return 0;
	rule = bpf_map_lookup_elem(&rules_by_path, &seen.key);
	if (!rule || !take(rule, v.access, MATCH_PATH, &v.hit) || in_exempt_cgroup())
		return 0;
	if (rule->action == ACTION_DENY)
		punish(&v);
	tell(&v, &seen.key);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int sig_openat(struct sys_enter *ctx)
{
	return judge_path(ctx->args[1], ctx->args[2], HOOK_SYS_OPENAT);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int sig_openat2(struct sys_enter *ctx)
{
	__u64 flags;

	/* Not readable here, the call itself will fail on it; until then it may be anything. */
	if (bpf_probe_read_user(&flags, sizeof(flags), (const void *)ctx->args[2]))
		flags = O_ACCMODE;
	return judge_path(ctx->args[1], flags, HOOK_SYS_OPENAT2);
}

SEC("tracepoint/syscalls/sys_enter_open")
int sig_open(struct sys_enter *ctx)
{
	return judge_path(ctx->args[0], ctx->args[1], HOOK_SYS_OPEN);
}

SEC("tracepoint/syscalls/sys_enter_creat")
int sig_creat(struct sys_enter *ctx)
{
	return judge_path(ctx->args[0], O_WRONLY | O_TRUNC, HOOK_SYS_CREAT);
}

#endif
