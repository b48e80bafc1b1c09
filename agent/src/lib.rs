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

pub mod abi;
pub mod bpf_call;
pub mod canary;
pub mod capabilities;
pub mod cgroups;
pub mod cli;
pub mod contents;
pub mod decoys;
pub mod event;
pub mod exit;
pub mod gate;
pub mod hooks;
pub mod host;
pub mod identity;
pub mod kernel_btf;
pub mod limits;
pub mod loader;
pub mod log;
pub mod lsm_list;
pub mod machine;
pub mod maps;
pub mod measure;
pub mod notice;
pub mod outlet;
pub mod policy;
pub mod posture;
pub mod printer;
pub mod ready;
pub mod report;
pub mod resolve;
pub mod ring;
pub mod run;
pub mod sabotage;
pub mod session;
pub mod tally;
pub mod timings;
pub mod trials;
pub mod unkept;
pub mod unpreempted;
pub mod watch;
