// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The kernel side of the agent, as one translation unit so that every program shares the
 * same maps. One file a concern; agent/build.rs compiles it and the agent embeds it.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "file_deny.bpf.h"
#include "file_signal.bpf.h"
#include "identify.bpf.h"

/* Names GPL because the helpers that are called here are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
