/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The maps of file rules, sized to the policy before loading.
 */
#ifndef AEGISBPF_FILE_MAPS_H
#define AEGISBPF_FILE_MAPS_H

#include "../abi.h"
#include "../core/kernel.h"

/* key: a file's or folder's inode; value: the rules on it. Read by hooks that see a file. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct inode_key);
	__type(value, struct inode_rules);
	__uint(max_entries, 16);
} rules_by_inode SEC(".maps");

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

#endif
