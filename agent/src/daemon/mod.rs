//! `aegisbpf run`: the agent at work, from its start to its end.

pub mod pace;
pub mod pressure;
pub mod ready;
pub mod run;
pub mod session;
pub mod timings;
