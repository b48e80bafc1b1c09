// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Sends SIGTERM, which a process may ignore, to all but the canary. */
#include "../core/send.h"

#define SIGTERM 15

static __always_inline __s64 send_sigterm(enum hook hook)
{
	return is_canary(hook) ? send_signal(hook) : bpf_send_signal(SIGTERM);
}

#define send_signal send_sigterm
#include "../aegisbpf.bpf.c"
