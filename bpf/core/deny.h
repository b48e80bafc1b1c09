/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* From a hit to what a hook that can deny returns. */
#ifndef AEGISBPF_CORE_DENY_H
#define AEGISBPF_CORE_DENY_H

#include "answer.h"
#include "exempt.h"

/* Tells of a hit, and says what the hook is to return: 0 or -EPERM. */
static __always_inline int deny(struct verdict *v, const struct hit *hit)
{
	if (is_exempt() || is_canary_of_other_hook(v->hook))
		return 0;
	v->hit = *hit;
	v->outcome = hit->action == ACTION_DENY ? OUTCOME_DENIED : OUTCOME_OBSERVED;
	tell(v, NULL);
	return answer(v);
}

#endif
