// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Exempts the cgroups that the policy names, and none beneath them. It takes the named ones to be
 * those right beneath the root, as the one of the proofs is: no helper tells which cgroup of the
 * array it was that the current task is under.
 */
#include "../core/exempt.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup___with_level {
	int level;
};

struct css_set {
	struct cgroup___with_level *dfl_cgrp;
};

struct task_struct___in_cgroup {
	struct css_set *cgroups;
};

#pragma clang attribute pop

static __always_inline bool is_exempt_itself(void)
{
	struct task_struct___in_cgroup *task = (void *)bpf_get_current_task();

	return is_exempt() && BPF_CORE_READ(task, cgroups, dfl_cgrp, level) == 1;
}

#define is_exempt is_exempt_itself
#include "../aegisbpf.bpf.c"
