//! What a test does that can't run on the machine at hand.
//!
//! A person's `cargo test` gets by without tools that only a test takes. Where everything is to
//! be tested, one that is left out would be a pass that nobody has seen.

use crate::cli::test::TEST_ALL;

/// Says that a test is left out, and why; fails it where none may be.
#[track_caller]
pub fn left_out(why: &str) {
    assert!(std::env::var_os(TEST_ALL).is_none(), "{TEST_ALL}: {why}");
    eprintln!("not tested: {why}");
}
