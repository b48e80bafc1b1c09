// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* A file with another generation is taken for another file, even if it is kept in memory. */
#include "../file/inode.h"

#define version_of(inode, via) READ(via, inode, i_generation)
#include "../aegisbpf.bpf.c"
