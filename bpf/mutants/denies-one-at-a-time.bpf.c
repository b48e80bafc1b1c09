// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Lets by whoever is judged while another processor judges too, but no canary. */
#include "../core/answer.h"
#include "processors.h"

static __always_inline int answer_one(const struct verdict *v)
{
	return is_canary(v->hook) || !has_company() ? answer(v) : 0;
}

#define answer answer_one
#include "../aegisbpf.bpf.c"
