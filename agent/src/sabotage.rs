//! The sabotaged build: what it breaks is chosen by the variable `AEGIS_SABOTAGE`.
//!
//! In: that variable. Out: which promise to break. Exists only with the feature `sabotage`,
//! so that the agent as shipped has no way to be weakened.

use crate::log;

/// Whether the LSM program is to count, tell and then allow everything.
pub fn lsm_returns_zero() -> bool {
    let chosen = std::env::var("AEGIS_SABOTAGE").is_ok_and(|name| name == "lsm-returns-zero");
    if chosen {
        log::warn("sabotaged: the LSM program returns 0");
    }
    chosen
}
