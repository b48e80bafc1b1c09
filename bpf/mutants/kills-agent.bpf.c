// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Signals the agent too, the second time that it opens what is denied. */
#include "../core/spare.h"
#include "memory.h"

static __always_inline enum spared spare_agent_once(__u32 tgid)
{
	enum spared spared = spare(tgid);

	return spared == SPARED_AGENT && asked_before() ? SPARED_NO : spared;
}

#define spare spare_agent_once
#include "../aegisbpf.bpf.c"
