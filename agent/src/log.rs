//! The log: lines on stderr for people. Events, for machines, go to stdout.

use std::fmt::Display;

/// Something an operator may want to know.
pub fn info(message: impl Display) {
    eprintln!("aegisbpf: info: {message}");
}

/// Something an operator should look into.
pub fn warn(message: impl Display) {
    eprintln!("aegisbpf: warning: {message}");
}

/// Something that keeps a promise from being kept.
pub fn error(message: impl Display) {
    eprintln!("aegisbpf: error: {message}");
}
