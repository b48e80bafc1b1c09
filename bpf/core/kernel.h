/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The kernel's types, and libbpf's headers, which need them first. */
#ifndef AEGISBPF_CORE_KERNEL_H
#define AEGISBPF_CORE_KERNEL_H

#include "../vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#endif
