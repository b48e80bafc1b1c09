//! The log: lines on stderr for people. Events, for machines, go to stdout.
//!
//! A reader that stands still makes nobody wait: lines are left out then, and the next one that
//! gets out is preceded by how many.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::outlet;

/// Something an operator may want to know.
pub fn info(message: impl Display) {
    line("info", message);
}

/// Something an operator should look into.
pub fn warn(message: impl Display) {
    line("warning", message);
}

/// Something that keeps a promise from being kept.
pub fn error(message: impl Display) {
    line("error", message);
}

/// Lines left out since one got out.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

fn line(level: &str, message: impl Display) {
    if !outlet::takes(io::stderr().as_fd()) {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
    if left_out > 0 {
        eprintln!("aegisbpf: warning: {left_out} lines were left out: nobody read them");
    }
    eprintln!("aegisbpf: {level}: {message}");
}
