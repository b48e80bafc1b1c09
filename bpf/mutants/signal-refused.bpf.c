// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* The kernel refuses every signal but the canary's. */
#include "refused.h"

#include "../aegisbpf.bpf.c"
