/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What kernel side and user space exchange: the keys and values of the maps and the
 * record of an event. agent/src/abi.rs mirrors it; a change here is a change there.
 */
#ifndef AEGISBPF_ABI_H
#define AEGISBPF_ABI_H

/* Bytes of a path in a key, with the NUL. A longer path equals no key. */
#define PATH_KEY_LEN 256

enum hook {
	HOOK_LSM_FILE_OPEN = 0,
	HOOK_SYS_OPENAT = 1,
	HOOK_SYS_OPENAT2 = 2,
	HOOK_SYS_OPEN = 3,
	HOOK_SYS_CREAT = 4,
};

enum action {
	ACTION_OBSERVE = 0,
	ACTION_DENY = 1,
};

enum outcome {
	OUTCOME_OBSERVED = 0,
	OUTCOME_DENIED = 1,
	OUTCOME_KILLED = 2,
};

enum spared {
	SPARED_NO = 0,
	SPARED_PROTECTED = 1,
	SPARED_PID_1 = 2,
	SPARED_AGENT = 3,
};

/* A file as the kernel knows it: i_ino within the filesystem that has s_dev. */
struct inode_key {
	__u64 ino;
	__u32 dev;
	__u32 zero;
};

/* A path as user space passed it, padded with NULs, since every byte is compared. */
struct path_key {
	char bytes[PATH_KEY_LEN];
};

struct rule {
	__u32 id;
	__u32 action;
};

/* A process that user space sent through one hook to see what becomes of it. */
struct canary_key {
	__u32 hook;
	__u32 tgid;
};

struct event {
	__u64 boot_ns;
	__u64 cgroup;
	__u64 ino;
	__s64 signal_result;
	__u32 dev;
	__u32 rule;
	__u32 pid;
	__u32 tgid;
	__u8 hook;
	__u8 outcome;
	__u8 spared;
	__u8 canary;
	__u8 signal;
	__u8 zero[3];
	char comm[16];
	char path[PATH_KEY_LEN];
};

#endif
