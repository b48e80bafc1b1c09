//! Evidence: a canary through each hook, and what was counted against a claim.

pub mod canary;
pub mod evidence;
pub mod losses;
pub mod measurement;
pub mod resend;
pub mod trials;
