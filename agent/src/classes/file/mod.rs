//! Opening files: what a file rule resolves to, what the maps hold of it, and its decoys.

pub mod contents;
pub mod decoys;
pub mod resolve;
