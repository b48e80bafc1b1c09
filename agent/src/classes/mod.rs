//! What rules can be about, a folder a class.
//!
//! In: rules of a policy. Out: for each class what its rules resolve to, what its maps hold, its
//! decoys and its part of an event.

pub mod file;
