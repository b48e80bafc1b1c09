/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The signal that the signal tier sends. */
#ifndef AEGISBPF_CORE_SEND_H
#define AEGISBPF_CORE_SEND_H

#include "canary.h"

/*
 * Set before loading. SIGKILL is the one that a process can neither ignore nor block.
 */
const volatile __u32 enforce_signal = 9;

/* Sends it to the current process: 0, or the helper's negative errno. */
static __always_inline __s64 send_signal(enum hook hook)
{
	return bpf_send_signal(enforce_signal);
}

#endif
