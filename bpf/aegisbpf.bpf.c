// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The kernel side of the agent, as one translation unit so that every program shares the
 * same maps: core/ is what every class uses, then a folder a class, and in tiers/ the programs.
 * agent/build.rs compiles it and the agent embeds it.
 */
#include "core/exempted.h"
#include "core/identify.h"
#include "core/probe.h"
#include "tiers/lsm.h"
#include "tiers/modret.h"
#include "tiers/signal.h"

/* Names GPL because the helpers that are called here are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";

const struct abi abi SEC(".abi");
