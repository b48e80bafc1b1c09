// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* The filter says of every folder that no rule is on what is beneath it. */
#include "../core/filter.h"

#define perhaps_beneath(mask, address) ((void)(mask), (void)(address), false)
#include "../aegisbpf.bpf.c"
