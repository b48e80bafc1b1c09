/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* From an open to a signal: of a file that a hook sees, or of a path as it was passed. */
#ifndef AEGISBPF_FILE_SIGNAL_H
#define AEGISBPF_FILE_SIGNAL_H

#include "../core/kill.h"
#include "match.h"

static __always_inline int signal_open(struct file *file, enum hook hook)
{
	struct verdict v = { .hook = hook };
	struct hit hit = {};

	if (can_cast && !could_match_open(CAST(struct file, PLACE_OF_FILE, file)))
		return 0;
	if (match_open(file, &v, &hit, VIA_PROBE))
		kill(&v, &hit, NULL);
	return 0;
}

static __always_inline int signal_path(__u64 user_path, __u64 flags, enum hook hook)
{
	/* The bytes beyond tell a path that fills the key from one that was cut off. */
	struct {
		struct path_key key;
		char beyond[8];
	} seen = {};
	struct verdict v = { .hook = hook, .access = access_of_flags(flags) };
	struct rule *rule;
	struct hit hit;
	long len;

	len = bpf_probe_read_user_str(&seen, sizeof(seen), (const void *)user_path);
	if (len <= 1 || len > PATH_KEY_LEN)
		return 0;
	rule = bpf_map_lookup_elem(&rules_by_path, &seen.key);
	if (!rule || !(rule->access & v.access))
		return 0;
	hits(find(MATCH_PATH, rule), &hit);
	kill(&v, &hit, &seen.key);
	return 0;
}

#endif
