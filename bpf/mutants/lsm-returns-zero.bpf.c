// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Counts and tells of a denial, and lets the act go on. */
#include "../core/answer.h"

static __always_inline int answer_zero(const struct verdict *v)
{
	return 0;
}

#define answer answer_zero
#include "../aegisbpf.bpf.c"
