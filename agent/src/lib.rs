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

pub mod exit;
pub mod follow;
pub mod host;
pub mod output;
pub mod policy;

// With the feature `sabotage`, each of these is wrapped by a module of the same name that breaks
// promises on request. Nothing else here knows of it.
#[cfg_attr(feature = "sabotage", path = "sabotage/classes.rs")]
pub mod classes;
#[cfg_attr(feature = "sabotage", path = "sabotage/cli.rs")]
pub mod cli;
#[cfg_attr(feature = "sabotage", path = "sabotage/daemon.rs")]
pub mod daemon;
#[cfg_attr(feature = "sabotage", path = "sabotage/kernel.rs")]
pub mod kernel;
#[cfg_attr(feature = "sabotage", path = "sabotage/posture.rs")]
pub mod posture;
#[cfg_attr(feature = "sabotage", path = "sabotage/report.rs")]
pub mod report;
#[cfg(feature = "sabotage")]
mod sabotage;
#[cfg_attr(feature = "sabotage", path = "sabotage/verify.rs")]
pub mod verify;
