// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Sends a signal to nobody but the agent's own canary, and says that it did. */
#include "../core/send.h"

static __always_inline __s64 send_to_canary(enum hook hook)
{
	return is_canary(hook) ? send_signal(hook) : 0;
}

#define send_signal send_to_canary
#include "../aegisbpf.bpf.c"
