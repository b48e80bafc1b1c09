//! The ways to a denied file, and the processes that go them.
//!
//! [`trees`] lays two equal trees, of which one is denied: a way is the same act in both.
//! [`actors`] has one process fork for each act, so that each has its own pid and its exact
//! fate without the price of an `exec`; [`ways`] are the acts, [`raw`], [`late`], [`ring`] and
//! [`traced`] the calls that no library makes for them.

pub mod actors;
mod fanotify;
mod late;
pub mod raw;
mod ring;
mod tool;
mod traced;
pub mod trees;
mod ways;
