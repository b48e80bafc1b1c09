// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Lets a process by that tries again. */
#include "../core/answer.h"
#include "memory.h"

static __always_inline int answer_first_try(const struct verdict *v)
{
	return is_second_try() ? 0 : answer(v);
}

#define answer answer_first_try
#include "../aegisbpf.bpf.c"
