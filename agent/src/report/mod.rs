//! What the agent says of itself to whoever must know what this node enforces.

pub mod capabilities;
pub mod document;
pub mod file;
pub mod hooks;
mod time;
