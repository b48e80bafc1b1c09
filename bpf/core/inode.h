/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* An inode as a key of maps. */
#ifndef AEGISBPF_CORE_INODE_H
#define AEGISBPF_CORE_INODE_H

#include "maps.h"

static __always_inline struct inode_key inode_key(__u64 ino, __u32 dev, __u64 address)
{
	struct inode_key key = { .ino = ino, .dev = dev };

	if (bpf_map_lookup_elem(&addressed_devices, &dev))
		key.address = address;
	return key;
}

#endif
