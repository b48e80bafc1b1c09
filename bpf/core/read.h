/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* How a program reads the kernel's memory, so that a decision is one piece of code in every tier. */
#ifndef AEGISBPF_CORE_READ_H
#define AEGISBPF_CORE_READ_H

#include "../abi.h"
#include "kernel.h"

/*
 * Whether bpf_probe_read_kernel() may be called. Under lockdown=confidentiality the kernel refuses
 * a program that does. Set before loading, so that the verifier doesn't see what isn't reached.
 */
const volatile __u32 memory_readable = 1;

/* Whether the kernel has bpf_rdonly_cast(), as from 6.2 on. Set before loading. */
const volatile __u32 can_cast = 0;

static const void *(*const rdonly_cast)(const void *, __u32) = (void *)PLACE_OF_RDONLY_CAST;

/*
 * What is at an address that the verifier knows no type of, as a pointer for VIA_BTF: a load where
 * else a helper would have to copy. Only where can_cast.
 */
#define CAST(type, place, address) \
	((const type *)rdonly_cast((const void *)(address), (place)))

enum via {
	/*
	 * The pointer is an argument of the hook, or was read from one: the verifier knows its type
	 * and lets the program follow it. A load that faults gives 0.
	 */
	VIA_BTF,
	/* The pointer is a number to the verifier, as in a kprobe: a helper must copy from it. */
	VIA_PROBE,
};

/*
 * One field. `via` must be a constant where this is inlined. The pointer is copied to a variable
 * first: it may be an expression on our own struct, such as `o->sb`, and inside BPF_CORE_READ()
 * clang would relocate that access too.
 */
#define READ(via, pointer, field)                                           \
	({                                                                  \
		typeof(pointer) __pointer = (pointer);                      \
		typeof(__pointer->field) __value;                           \
		if ((via) == VIA_BTF)                                       \
			__value = __pointer->field;                         \
		else                                                        \
			BPF_CORE_READ_INTO(&__value, __pointer, field);     \
		__value;                                                    \
	})

/*
 * The number that a pointer is. The verifier knows nothing about the result of a byte swap, so the
 * number may be stored in a key or passed to a global function. It may also be compared with 0: the
 * verifier believes that some pointers are never NULL, and would remove a check of the pointer.
 */
static __always_inline __u64 number_of(const void *pointer)
{
	__u64 number = (__u64)pointer;

	asm volatile("%0 = be64 %0; %0 = be64 %0" : "+r"(number));
	return number;
}

#define OFFSET_OF(type, field) \
	__builtin_preserve_field_info(((type *)0)->field, BPF_FIELD_BYTE_OFFSET)

/*
 * The bytes of a kernel object from one of its fields on, so that one call of a helper serves
 * several fields: in a kprobe the calls are most of the cost.
 */
#define READ_FROM(into, pointer, first)                                     \
	bpf_probe_read_kernel((into), sizeof(*(into)),                      \
			      (char *)(pointer) + OFFSET_OF(typeof(*(pointer)), first))

/* One field of an object whose bytes were read from `first` on; what lies elsewhere is read now. */
#define FROM_READ(from, pointer, first, field)                                              \
	TAKE((from), (pointer), field,                                                      \
	     OFFSET_OF(typeof(*(pointer)), field) - OFFSET_OF(typeof(*(pointer)), first))

#define TAKE(from, pointer, field, at)                                                      \
	({                                                                                  \
		typeof(pointer) __from = (pointer);                                         \
		typeof(__from->field) __value;                                              \
		__u64 __at = (at);                                                          \
		if (__at <= sizeof(*(from)) - sizeof(__value))                                \
			__value = *(typeof(__value) *)((char *)(from) + __at);              \
		else                                                                        \
			BPF_CORE_READ_INTO(&__value, __from, field);                        \
		__value;                                                                    \
	})

/* The first bytes of a kernel object. */
struct head {
	__u64 words[14];
};

#define READ_HEAD(into, pointer) bpf_probe_read_kernel((into), sizeof(*(into)), (pointer))
#define FROM_HEAD(from, pointer, field) \
	TAKE((from), (pointer), field, (__u64)OFFSET_OF(typeof(*(pointer)), field))

#endif
