// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies with another error than the one that the canary meets. */
#include "../core/answer.h"

#define EACCES 13

static __always_inline int answer_eacces(const struct verdict *v)
{
	return answer(v) && !is_canary(v->hook) ? -EACCES : answer(v);
}

#define answer answer_eacces
#include "../aegisbpf.bpf.c"
