/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* How a verdict is told: the canary's hit counter and the event stream. */
#ifndef AEGISBPF_EVENT_H
#define AEGISBPF_EVENT_H

#include "file_rules.bpf.h"

/* A verdict of one program on current, as far as the hooks differ in it. */
struct verdict {
	struct inode_key inode;
	__s64 signal_result;
	struct hit hit;
	__u32 access;
	enum hook hook;
	enum outcome outcome;
	enum spared spared;
	__u8 signal;
};

static __always_inline bool is_canary(enum hook hook)
{
	struct canary_key key = { .hook = hook, .tgid = bpf_get_current_pid_tgid() >> 32 };

	return bpf_map_lookup_elem(&canary_hits, &key);
}

/* Counts a hit if current is the canary meant for this hook, and says whether it is. */
static __always_inline bool count_canary(enum hook hook, __u32 tgid)
{
	struct canary_key key = { .hook = hook, .tgid = tgid };
	__u64 *hits = bpf_map_lookup_elem(&canary_hits, &key);

	if (!hits)
		return false;
	__sync_fetch_and_add(hits, 1);
	return true;
}

/* Adds 1 to a map that is one counter. */
static __always_inline void count(void *counter)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(counter, &zero);

	if (value)
		__sync_fetch_and_add(value, 1);
}

/*
 * Tells of a verdict; path is NULL where the hook sees none. It is an argument of its own so
 * that the compiler drops the copy there: to the verifier, a NULL that went through the
 * stack is a pointer like any other, and 6.12 rejects the copy from it.
 */
static __always_inline void tell(const struct verdict *v, const struct path_key *path)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	bool canary = count_canary(v->hook, pid_tgid >> 32);
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(&events_lost);
		return;
	}
	e->boot_ns = bpf_ktime_get_boot_ns();
	e->cgroup = bpf_get_current_cgroup_id();
	e->ino = v->inode.ino;
	e->dev = v->inode.dev;
	e->signal_result = v->signal_result;
	e->rule = v->hit.rule;
	e->pid = (__u32)pid_tgid;
	e->tgid = pid_tgid >> 32;
	e->hook = v->hook;
	e->outcome = v->outcome;
	e->spared = v->spared;
	e->canary = canary;
	e->signal = v->signal;
	e->match = v->hit.match;
	e->access = v->access;
	e->zero = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	e->path[0] = '\0';
	if (path)
		bpf_probe_read_kernel(e->path, sizeof(e->path), path->bytes);
	bpf_ringbuf_submit(e, 0);
}

#endif
