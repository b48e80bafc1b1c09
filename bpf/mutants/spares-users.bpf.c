// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Lets everybody by but root. */
#include "../core/exempt.h"

static __always_inline bool is_exempt_or_user(void)
{
	return (__u32)bpf_get_current_uid_gid() || is_exempt();
}

#define is_exempt is_exempt_or_user
#include "../aegisbpf.bpf.c"
