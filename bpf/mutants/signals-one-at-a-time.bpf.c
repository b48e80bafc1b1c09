// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Sends nobody a signal who is judged while another processor judges too, but to canaries. */
#include "../core/send.h"
#include "processors.h"

static __always_inline __s64 send_to_one(enum hook hook)
{
	return is_canary(hook) || !has_company() ? send_signal(hook) : 0;
}

#define send_signal send_to_one
#include "../aegisbpf.bpf.c"
