/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What the sabotaged build breaks in the kernel, for the proofs to catch. In every other build
 * is_mutant() is 0, and nothing of this is in the object. agent/src/sabotage.rs has all mutants.
 */
#ifndef AEGISBPF_SABOTAGE_H
#define AEGISBPF_SABOTAGE_H

#ifdef SABOTAGE
enum mutant {
	MUTANT_LSM_RETURNS_ZERO = 1,
	MUTANT_NEVER_SIGNALS = 2,
	MUTANT_SIGNALS_ONLY_CANARIES = 3,
	MUTANT_DENIES_NEIGHBOURS = 4,
	MUTANT_IGNORES_EXEMPTIONS = 5,
	MUTANT_IGNORES_EXEMPT_DESCENDANTS = 6,
	MUTANT_DENIES_EVERYTHING = 7,
	MUTANT_DENIES_ONLY_CANARIES = 8,
	MUTANT_TIRES_AFTER_100 = 9,
	MUTANT_IGNORES_HELPER_RESULT = 10,
	MUTANT_SPARES_THREADS = 11,
	MUTANT_LEAVES_LINK_AFTER_REFUSING = 24,
	MUTANT_SPARES_SECOND_TRY = 34,
	MUTANT_DENIES_WITH_EACCES = 35,
	MUTANT_KILLS_PROTECTED = 40,
	MUTANT_KILLS_AGENT = 41,
	MUTANT_SIGNAL_REFUSED = 44,
	MUTANT_DENIES_OTHER_NAMES = 47,
	MUTANT_SPARES_USERS = 48,
};

/* Set before loading. */
const volatile __u32 mutant = 0;

#define is_mutant(name) (mutant == MUTANT_##name)

/* One number: how often something was decided, or on whom it was last. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} decisions SEC(".maps");

/* Whether so much was decided that the mutant has had enough. */
static __always_inline bool is_tired(void)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&decisions, &zero);

	if (count && *count < 100)
		__sync_fetch_and_add(count, 1);
	return count && *count >= 100;
}

/* Whether it was this process too that something was last decided on. */
static __always_inline bool is_second_try(void)
{
	__u32 zero = 0;
	__u64 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 *last = bpf_map_lookup_elem(&decisions, &zero);
	bool again = last && *last == tgid;

	if (last)
		*last = tgid;
	return again;
}

/* Whether current is the thread after which its process is named. */
static __always_inline bool is_first_thread(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	return (__u32)pid_tgid == pid_tgid >> 32;
}
#else
#define is_mutant(name) 0
#define is_tired() false
#define is_second_try() false
#define is_first_thread() true
#endif

#endif
