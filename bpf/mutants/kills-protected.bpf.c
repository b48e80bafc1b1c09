// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Signals protected executables too. */
#include "../core/spare.h"

static __always_inline enum spared spare_no_executable(__u32 tgid)
{
	enum spared spared = spare(tgid);

	return spared == SPARED_PROTECTED ? SPARED_NO : spared;
}

#define spare spare_no_executable
#include "../aegisbpf.bpf.c"
