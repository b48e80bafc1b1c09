/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What kernel side and user space exchange: the keys and values of the maps and the
 * record of an event. agent/src/kernel/abi.rs mirrors it, and its tests hold the two together.
 */
#ifndef AEGISBPF_ABI_H
#define AEGISBPF_ABI_H

#include "vmlinux.h"

/* Bytes of a path in a key, with the NUL. A longer path equals no key. */
#define PATH_KEY_LEN 256

/* Bytes of a name in a key: NAME_MAX and the NUL, so that every name fits. */
#define NAME_KEY_LEN 256

enum hook {
	HOOK_LSM_FILE_OPEN = 0,
	HOOK_LSM_INODE_CREATE = 1,
	HOOK_LSM_INODE_MKNOD = 2,
	HOOK_LSM_INODE_SYMLINK = 3,
	HOOK_LSM_INODE_LINK = 4,
	HOOK_LSM_INODE_RENAME = 5,
	HOOK_MODRET_FILE_OPEN = 6,
	HOOK_MODRET_INODE_CREATE = 7,
	HOOK_MODRET_INODE_MKNOD = 8,
	HOOK_MODRET_INODE_SYMLINK = 9,
	HOOK_MODRET_INODE_LINK = 10,
	HOOK_MODRET_INODE_RENAME = 11,
	HOOK_KPROBE_FILE_OPEN = 12,
	HOOK_SYS_OPENAT = 13,
	HOOK_SYS_OPENAT2 = 14,
	HOOK_SYS_OPEN = 15,
	HOOK_SYS_CREAT = 16,
	/* Copies of HOOK_MODRET_FILE_OPEN. */
	HOOK_MODRET_FILE_OPEN_2 = 17,
	HOOK_MODRET_FILE_OPEN_3 = 18,
	HOOK_LSM_INODE_MKDIR = 19,
	HOOK_LSM_INODE_UNLINK = 20,
	HOOK_LSM_INODE_RMDIR = 21,
	HOOK_LSM_INODE_SETATTR = 22,
	HOOK_LSM_INODE_SETXATTR = 23,
	HOOK_LSM_INODE_REMOVEXATTR = 24,
	HOOK_LSM_INODE_SET_ACL = 25,
	HOOK_LSM_INODE_REMOVE_ACL = 26,
	HOOK_MODRET_INODE_MKDIR = 27,
	HOOK_MODRET_INODE_UNLINK = 28,
	HOOK_MODRET_INODE_RMDIR = 29,
	HOOK_MODRET_INODE_SETATTR = 30,
	HOOK_MODRET_INODE_SETXATTR = 31,
	HOOK_MODRET_INODE_REMOVEXATTR = 32,
	HOOK_MODRET_INODE_SET_ACL = 33,
	HOOK_MODRET_INODE_REMOVE_ACL = 34,
};

enum action {
	ACTION_OBSERVE = 0,
	ACTION_DENY = 1,
};

/* What a bit of the filter stands for, beside an inode of the device with that number. */
enum filter_space {
	/* A superblock, by its address, on which a folder has a rule on all beneath it. */
	FILTER_SUPERBLOCK = 0xffffffff,
	/* What is beneath the folder with this inode: its address. */
	FILTER_BENEATH = 0xfffffffe,
};

/* Numbers that stand in the code where the loader puts the kernel's own number of something. */
enum placeholder {
	/* Of the function bpf_rdonly_cast(), in a call. */
	PLACE_OF_RDONLY_CAST = 0x7fff0001,
	/* Of types. */
	PLACE_OF_FILE = 0x7fff0002,
	PLACE_OF_MOUNT = 0x7fff0003,
	PLACE_OF_DENTRY = 0x7fff0004,
	PLACE_OF_SUPER_BLOCK = 0x7fff0005,
};

/* The shortest name that doesn't stand in the dentry itself on every kernel, with its NUL. */
#define NAME_INLINE_LEN 32

/* Bits: what a rule denies, and what an act is. A rule without any bit is no rule. */
enum access {
	ACCESS_READ = 1,
	ACCESS_WRITE = 2,
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

/* By what a rule matched. */
enum match {
	MATCH_PATH = 0,
	MATCH_INODE = 1,
	MATCH_NAME = 2,
	MATCH_FOLDER = 3,
	/* No rule did, but where the file is can't be said: deeper than the walk goes ... */
	MATCH_TOO_DEEP = 4,
	/* ... or in no folder at all, as one that was opened by a handle may be. */
	MATCH_DETACHED = 5,
};

/*
 * A file as the kernel knows it: i_ino within the filesystem that has s_dev. On btrfs every
 * subvolume numbers its inodes anew under the same s_dev, so there the inode's address goes
 * into the key; the agent keeps the inodes of its rules in memory, so that it stays the same.
 */
struct inode_key {
	__u64 ino;
	__u64 address;
	__u32 dev;
	__u32 zero;
};

/* A name in a folder, padded with NULs, since every byte is compared. */
struct name_key {
	struct inode_key folder;
	char name[NAME_KEY_LEN];
};

/* A path as user space passed it, padded with NULs, since every byte is compared. */
struct path_key {
	char bytes[PATH_KEY_LEN];
};

struct rule {
	__u32 id;
	__u16 action;
	__u16 access;
};

/* What is known of one inode. */
struct inode_rules {
	/* On the file itself. */
	struct rule exact;
	/* On all that is beneath this folder. */
	struct rule beneath;
	/*
	 * Where the inode is in memory, if the agent keeps it there, by a watch on it; else 0. On an
	 * overlay of two file systems another folder may have the same number, and isn't meant by
	 * `beneath`.
	 */
	__u64 address;
	/*
	 * i_generation: another file that was given the same number isn't meant. Whoever owns a file
	 * on some file systems can set it; the very inode that is kept in memory is meant all the same.
	 */
	__u32 generation;
	/* Whether a name in this folder has a rule. */
	__u32 has_names;
};

/* What doesn't belong to a single rule. */
struct settings {
	/* What becomes of a file whose folders can't be told, while there are folder rules. */
	__u32 unplaced_action;
};

/* A process that user space sent through one hook to see what becomes of it. */
struct canary {
	__u32 hook;
	/* 0 where there is none. */
	__u32 tgid;
};

/* What user space sees change without asking the kernel. */
struct tally {
	/* Written by user space before the canary acts; both sides take it as one number. */
	struct canary canary;
	/* How often the program of the canary's hook reached a verdict on it. */
	__u64 canary_hits;
	/* Events that found the ring full. */
	__u64 events_lost;
	/* Acts that weren't told of, being like too many before. */
	__u64 events_repeated;
	/*
	 * Signals that the kernel refused to send to whoever broke a rule. Their events say so too,
	 * but may be lost, or wait for somebody to read them.
	 */
	__u64 signals_refused;
};

/* One descriptor of the agent, and the file behind it as the hooks see it. */
struct identity {
	/* Always with the address. */
	struct inode_key inode;
	/* Where its superblock is in memory. */
	__u64 superblock;
	__u32 generation;
	__u32 fd;
};

/* An index of the exempt cgroups that holds one. */
struct exempted {
	/* Its id; 0 where programs may not read the kernel's memory. */
	__u64 cgroup;
	__u32 index;
	__u32 zero;
};

struct event {
	__u64 boot_ns;
	__u64 cgroup;
	__u64 ino;
	__s64 signal_result;
	/* How many like it weren't told of, as far as the kernel side remembers. */
	__u64 repeats;
	__u32 dev;
	__u32 rule;
	__u32 pid;
	__u32 tgid;
	__u8 hook;
	__u8 outcome;
	__u8 spared;
	__u8 canary;
	__u8 signal;
	__u8 match;
	__u8 access;
	__u8 zero;
	char comm[16];
	char path[PATH_KEY_LEN];
};

/*
 * All that both sides must agree on, so that the object's BTF has it: a compiler leaves out the
 * types that only functions use. Nothing of it is loaded; the agent's tests read it.
 */
struct abi {
	struct event event;
	struct identity identity;
	struct exempted exempted;
	enum action action;
	enum hook hook;
	enum match match;
	enum outcome outcome;
	enum spared spared;
	enum access access;
};

#endif
