// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Each act of a flood is told of, as far as there is room. */
#include "../core/flood.h"

static __always_inline __s64 tell_always(__u32 rule, __u32 hook)
{
	return 0;
}

#define may_tell tell_always
#include "../aegisbpf.bpf.c"
