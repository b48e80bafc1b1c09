/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What a hook that can deny returns for a verdict. */
#ifndef AEGISBPF_CORE_ANSWER_H
#define AEGISBPF_CORE_ANSWER_H

#include "event.h"

#define EPERM 1

/* 0 lets the act go on. */
static __always_inline int answer(const struct verdict *v)
{
	return v->outcome == OUTCOME_DENIED ? -EPERM : 0;
}

#endif
