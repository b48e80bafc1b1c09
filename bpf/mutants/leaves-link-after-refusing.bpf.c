// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Makes the gate refuse; agent/src/sabotage/ then leaves the programs behind. */
#include "lsm-returns-zero.bpf.c"
