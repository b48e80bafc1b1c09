/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Every map of the agent. User space sizes the rule maps to the policy before loading, so
 * the sizes here are only what holds without one.
 */
#ifndef AEGISBPF_MAPS_H
#define AEGISBPF_MAPS_H

#include "abi.bpf.h"
#include "sabotage.bpf.h"

/* key: a file's or folder's inode; value: the rules on it. Read by hooks that see a file. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct inode_key);
	__type(value, struct inode_rules);
	__uint(max_entries, 16);
} rules_by_inode SEC(".maps");

/* key: the address of a folder's inode, which the agent keeps in memory; value: its rule. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct folder_rule);
	__uint(max_entries, 16);
} rules_by_folder SEC(".maps");

/* key: a name in a folder; value: the rule on it, whatever file has that name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct name_key);
	__type(value, struct rule);
	__uint(max_entries, 16);
} rules_by_name SEC(".maps");

/*
 * key: a path, as written; value: the rule on it. Read by the syscall tracepoints, which see
 * no file; it holds the rules that no inode and no folder is known for yet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct path_key);
	__type(value, struct rule);
	__uint(max_entries, 16);
} rules_by_path SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct settings);
	__uint(max_entries, 1);
} settings SEC(".maps");

/* key: cgroup id; the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, __u32);
	__uint(max_entries, 16);
} exempt_cgroups SEC(".maps");

/* key: inode of an executable whose processes are never signalled; the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct inode_key);
	__type(value, __u32);
	__uint(max_entries, 16);
} protected_exes SEC(".maps");

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

#endif
