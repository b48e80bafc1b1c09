/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What no verifier lets a program do. */
#ifndef AEGISBPF_MUTANTS_REJECTED_H
#define AEGISBPF_MUTANTS_REJECTED_H

#include "../file/judge.h"

/* A load from a number. */
static __always_inline int load_from_nowhere(void)
{
	return *(volatile int *)sizeof(int);
}

#endif
