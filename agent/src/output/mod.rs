//! What the agent tells while it runs: events and notices on stdout, the log on stderr.

pub mod event;
pub mod log;
pub mod notice;
pub mod printer;
pub mod text;
pub mod writer;
