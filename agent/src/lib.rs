//! The agent `aegisbpf`: denies what a policy names, and claims only what it has verified.
//!
//! In: a policy, the operator's choice of fallbacks, the machine. Out: programs attached in
//! the kernel, `capabilities.json` (the posture and its evidence) and events on stdout.
//!
//! A start goes through these, in this order: [`policy`] reads what is denied → [`host`] looks at
//! the machine → [`classes`] resolves the rules' targets → [`kernel`] makes maps and programs, with
//! decoys only → [`verify`] sends a canary through each hook that a rule needs → [`posture`] decides
//! what may be claimed → [`daemon`] fills the maps with the rules, has [`report`] write the report,
//! and tells that it is ready. From then on it tells events through [`output`], verifies again, and
//! resolves again when [`follow`] says that a path may lead elsewhere.
//!
//! [`policy`] and [`posture`] decide and do no I/O. [`kernel`] and [`host`] are the edges. An arrow
//! goes from an outer module to an inner one: `daemon` → `report`, `follow` → `verify` → `classes` →
//! `kernel`, `host` → `policy`, `posture`. [`output`]'s log and text may be used by all.

pub mod exit;
pub mod follow;
pub mod policy;

// With the feature `sabotage`, each of these is wrapped by a module of the same name that breaks
// promises on request. Nothing else here knows of it.
#[cfg_attr(feature = "sabotage", path = "sabotage/classes.rs")]
pub mod classes;
#[cfg_attr(feature = "sabotage", path = "sabotage/cli.rs")]
pub mod cli;
#[cfg_attr(feature = "sabotage", path = "sabotage/daemon.rs")]
pub mod daemon;
#[cfg_attr(feature = "sabotage", path = "sabotage/host.rs")]
pub mod host;
#[cfg_attr(feature = "sabotage", path = "sabotage/kernel.rs")]
pub mod kernel;
#[cfg_attr(feature = "sabotage", path = "sabotage/output.rs")]
pub mod output;
#[cfg_attr(feature = "sabotage", path = "sabotage/posture.rs")]
pub mod posture;
#[cfg_attr(feature = "sabotage", path = "sabotage/report.rs")]
pub mod report;
#[cfg(feature = "sabotage")]
mod sabotage;
#[cfg_attr(feature = "sabotage", path = "sabotage/verify.rs")]
pub mod verify;
