// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Looks at no folder that the file's mount is mounted on. */
#include "../file/climb.h"

static __always_inline finding climb_nowhere(__u64 mount, __u32 access)
{
	return NO_RULE;
}

#define climb(mount, access) climb_nowhere(mount, access)
#include "../aegisbpf.bpf.c"
