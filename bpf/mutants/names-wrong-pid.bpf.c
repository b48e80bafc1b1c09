// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Names init in events, whoever acted. */
#include "../core/canary.h"

static __always_inline __u64 pid_of_init(void)
{
	return 1ULL << 32 | (__u32)bpf_get_current_pid_tgid();
}

#define bpf_get_current_pid_tgid pid_of_init
#include "../core/event.h"
#undef bpf_get_current_pid_tgid
#include "../aegisbpf.bpf.c"
