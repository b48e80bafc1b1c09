/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* A signal that the kernel refuses to send; that of the canary it sends. */
#ifndef AEGISBPF_MUTANTS_REFUSED_H
#define AEGISBPF_MUTANTS_REFUSED_H

#include "../core/send.h"

/* No kernel can be made to refuse the signal itself, so there is no such signal. */
static __always_inline __s64 send_refused(enum hook hook)
{
	return is_canary(hook) ? send_signal(hook) : bpf_send_signal(~0U >> 1);
}

#define send_signal send_refused

#endif
