//! The processes that go the ways to a denied file, and the acts of which the ways are made.
//!
//! [`trees`] lays two equal trees, of which one is denied: a way is the same act in both.
//! [`actors`] has one process fork for each act, so that each has its own pid and its exact
//! fate without the price of an `exec`; [`calls`] are the acts, [`raw`], [`late`], [`ring`] and
//! [`traced`] the calls that no library makes for them.

pub mod actors;
pub mod calls;
mod fanotify;
pub mod go;
mod late;
pub mod raw;
mod ring;
mod tool;
mod traced;
pub mod trees;
