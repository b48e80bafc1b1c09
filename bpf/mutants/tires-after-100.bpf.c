// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Denies nothing any more after 100 decisions. */
#include "../core/answer.h"
#include "memory.h"

static __always_inline int answer_until_tired(const struct verdict *v)
{
	return asked_before() < 100 ? answer(v) : 0;
}

#define answer answer_until_tired
#include "../aegisbpf.bpf.c"
