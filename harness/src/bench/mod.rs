//! What the agent costs, measured: from what is wanted to a table.
//!
//! `plan` → a boot that measures (see [`protocol::bench`]) → `read` → `numbers` → `report`. Each is
//! a module with plain data on both sides; booting is the engine's, as for proofs.

pub mod numbers;
pub mod plan;
pub mod read;
pub mod report;
