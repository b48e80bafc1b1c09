// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Counts without an atomic, so that of two that count at once one is counted. */
#include "../core/maps.h"
#include "processors.h"

#define __sync_fetch_and_add(counter, more)                          \
	do {                                                         \
		__u64 before = *(volatile __u64 *)(counter);         \
		/* Few are lost: long enough for the other to be one. */ \
		linger(4 * LINGERS);                                 \
		*(volatile __u64 *)(counter) = before + (more);      \
	} while (0)

#include "../aegisbpf.bpf.c"
