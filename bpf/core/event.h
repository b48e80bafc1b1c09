/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* How a verdict is told: the canary's hit counter and the event stream. */
#ifndef AEGISBPF_CORE_EVENT_H
#define AEGISBPF_CORE_EVENT_H

#include "canary.h"
#include "flood.h"

/* The rule that an act meets. */
struct hit {
	__u32 rule;
	enum action action;
	enum match match;
};

/* A verdict of one program on the current task, as far as the hooks differ in it. */
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

/*
 * Tells of a verdict; `path` is NULL where the hook sees none. It is an argument and no field of the
 * verdict: a constant NULL lets the compiler remove the copy below. A field would be stored on the
 * stack, the verifier would no longer know that it is NULL, and 6.12 rejects the copy.
 */
static __always_inline void tell(const struct verdict *v, const struct path_key *path)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	bool canary = count_canary(v->hook);
	/* What the agent sends itself is few, and looked for. */
	__s64 repeats = canary ? 0 : may_tell(v->hit.rule, v->hook);
	struct event *e;

	if (repeats < 0)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		struct tally *t = the_tally();

		if (t)
			__sync_fetch_and_add(&t->events_lost, 1);
		return;
	}
	e->boot_ns = bpf_ktime_get_boot_ns();
	e->cgroup = bpf_get_current_cgroup_id();
	e->ino = v->inode.ino;
	e->dev = v->inode.dev;
	e->signal_result = v->signal_result;
	e->repeats = repeats;
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
