// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies nobody but the agent's own canary. */
#include "../core/answer.h"

static __always_inline int answer_canary(const struct verdict *v)
{
	return is_canary(v->hook) ? answer(v) : 0;
}

#define answer answer_canary
#include "../aegisbpf.bpf.c"
