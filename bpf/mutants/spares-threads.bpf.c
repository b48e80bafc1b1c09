// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Lets every thread by but the first of its process. */
#include "../core/exempt.h"

static __always_inline bool is_exempt_or_thread(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	return (__u32)pid_tgid != pid_tgid >> 32 || is_exempt();
}

#define is_exempt is_exempt_or_thread
#include "../aegisbpf.bpf.c"
