/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* From a hit to what a hook that can deny returns. */
#ifndef AEGISBPF_CORE_DENY_H
#define AEGISBPF_CORE_DENY_H

#include "answer.h"
#include "exempt.h"

/*
 * True if the current task is the canary of one of the other two copies of this program; that copy
 * must judge it. Only fmod_ret/security_file_open has copies.
 */
static __always_inline bool is_canary_of_other_copy(enum hook hook)
{
	if (hook != HOOK_MODRET_FILE_OPEN && hook != HOOK_MODRET_FILE_OPEN_2 &&
	    hook != HOOK_MODRET_FILE_OPEN_3)
		return false;
	return (hook != HOOK_MODRET_FILE_OPEN && is_canary(HOOK_MODRET_FILE_OPEN)) ||
	       (hook != HOOK_MODRET_FILE_OPEN_2 && is_canary(HOOK_MODRET_FILE_OPEN_2)) ||
	       (hook != HOOK_MODRET_FILE_OPEN_3 && is_canary(HOOK_MODRET_FILE_OPEN_3));
}

/* Tells of a hit, and says what the hook is to return: 0 or -EPERM. */
static __always_inline int deny(struct verdict *v, const struct hit *hit)
{
	if (is_exempt() || is_canary_of_other_copy(v->hook))
		return 0;
	v->hit = *hit;
	v->outcome = hit->action == ACTION_DENY ? OUTCOME_DENIED : OUTCOME_OBSERVED;
	tell(v, NULL);
	return answer(v);
}

#endif
