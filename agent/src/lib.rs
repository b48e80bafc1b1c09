//! The agent `aegisbpf`: denies what a policy names, and claims only what it has verified.
//!
//! In: a policy, the operator's choice of fallbacks, the machine. Out: programs attached in
//! the kernel, `capabilities.json` (the posture and its evidence) and events on stdout.
//!
//! How a start flows, one module a step: [`policy`] → [`machine`] → [`resolve`] → [`trials`]
//! attach [`hooks`] through the [`loader`], with maps that hold only [`decoys`] → a
//! [`canary`] goes through each hook ([`measure`]) → [`gate`] decides → the [`session`] puts
//! the real rules ([`contents`]) into the [`maps`] → [`report`] → [`ready`] → [`run`] tells
//! [`event`]s and verifies again. [`gate`], [`policy`], [`contents`] and [`unkept`] are pure; [`abi`],
//! [`loader`], [`bpf_call`], [`identity`], [`maps`] (written [`unpreempted`]), [`tally`], [`ring`],
//! [`canary`] and [`ready`] are the edges. [`watch`] tells when to resolve again.

pub mod classes;
pub mod cli;
pub mod daemon;
pub mod exit;
pub mod follow;
pub mod host;
pub mod kernel;
pub mod output;
pub mod policy;
pub mod posture;
pub mod report;
pub mod verify;
