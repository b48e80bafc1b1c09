// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Tells everything, and stops nobody but the agent's own canary, in any tier. */
#include "../core/answer.h"
#include "../core/send.h"

static __always_inline int answer_canary(const struct verdict *v)
{
	return is_canary(v->hook) ? answer(v) : 0;
}

static __always_inline __s64 send_to_canary(enum hook hook)
{
	return is_canary(hook) ? send_signal(hook) : 0;
}

#define answer answer_canary
#define send_signal send_to_canary
#include "../aegisbpf.bpf.c"
