// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Exempts nobody. */
#include "../core/exempt.h"

static __always_inline bool is_never_exempt(void)
{
	return false;
}

#define is_exempt is_never_exempt
#include "../aegisbpf.bpf.c"
