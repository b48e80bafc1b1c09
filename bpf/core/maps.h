/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The maps that every class uses. User space sizes those that hold something of the policy before
 * loading, so the sizes here are only what holds without one.
 */
#ifndef AEGISBPF_CORE_MAPS_H
#define AEGISBPF_CORE_MAPS_H

#include "../abi.h"
#include "kernel.h"

/*
 * The exempt cgroups, from index 0 without a gap. The kernel holds each one by itself: the id of a
 * cgroup that is gone can't come to mean another.
 */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1);
} exempt_cgroups SEC(".maps");

/* key: inode of an executable whose processes are never signalled; the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct inode_key);
	__type(value, __u32);
	__uint(max_entries, 16);
} protected_exes SEC(".maps");

/*
 * key: the device number of a file system on which a number alone doesn't name an inode, so that
 * its address goes into the key; the value says nothing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} addressed_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/*
 * One entry, which user space maps into its memory: a call on a map would keep the programs of
 * kprobes and tracepoints from running meanwhile.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tally);
	__uint(max_entries, 1);
} tally SEC(".maps");

static __always_inline struct tally *the_tally(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tally, &zero);
}

#endif
