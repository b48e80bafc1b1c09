/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What this kernel lets programs do, found out by loading one that does it and nothing else. */
#ifndef AEGISBPF_CORE_PROBE_H
#define AEGISBPF_CORE_PROBE_H

#include "read.h"

/* Loads only where programs may read the kernel's memory; it is never attached. */
SEC("iter/task_file")
int reads_memory(struct bpf_iter__task_file *ctx)
{
	__u64 word;

	return bpf_probe_read_kernel(&word, sizeof(word), NULL) && 0;
}

/* Loads only where programs may cast an address to a pointer; it is never attached. */
SEC("iter/task_file")
int casts_address(struct bpf_iter__task_file *ctx)
{
	return CAST(struct file, PLACE_OF_FILE, number_of(ctx->file))->f_mode == 1;
}

#endif
