//! The proofs, put to agents and worlds that are broken on purpose.
//!
//! A suite that can't fail proves nothing. Each mutant of the [`catalogue`] breaks one promise
//! and names the proof and the arm that must find it out, and in what words. [`plan`] puts many
//! of them into one boot, one life of the agent after the other, beside a control: the same
//! proofs with the same build and nothing broken. [`kernel`] takes a kernel's boots apart
//! by mutant, and [`judge`] holds what came out against what was declared; [`report`] shows it, with those that [`skip`] took out.

pub mod catalogue;
pub mod judge;
pub mod kernel;
pub mod plan;
pub mod report;
pub mod skip;
pub mod sweep;
