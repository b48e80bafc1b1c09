//! The kernel's taint flags: which of them a proof has raised.
//!
//! In: `/proc/sys/kernel/tainted` before and after. Out: the new flags by name. A warning or
//! an oops during a proof doesn't always end the guest; without this the proof would pass.

/// Bit, the kernel's letter for it, and what it means, from the kernel's own documentation
/// of `tainted`.
const FLAGS: &[(u32, char, &str)] = &[
    (0, 'P', "proprietary module"),
    (1, 'F', "module loaded by force"),
    (2, 'S', "processor out of specification"),
    (3, 'R', "module unloaded by force"),
    (4, 'M', "machine check"),
    (5, 'B', "bad page"),
    (6, 'U', "taint asked for by user space"),
    (7, 'D', "kernel oops or BUG"),
    (8, 'A', "ACPI table overridden"),
    (9, 'W', "kernel warning"),
    (10, 'C', "staging driver"),
    (11, 'I', "firmware workaround"),
    (12, 'O', "module from outside the kernel's tree"),
    (13, 'E', "unsigned module"),
    (14, 'L', "soft lockup"),
    (15, 'K', "live patch"),
    (16, 'X', "auxiliary taint of the distributor"),
    (17, 'T', "randomized struct layout"),
    (18, 'N', "in-kernel test"),
    (19, 'J', "fwctl debug command"),
];

/// The flags that speak of trouble: D (oops or BUG), W (warning), L (soft lockup).
pub const TROUBLE: u64 = 1 << 7 | 1 << 9 | 1 << 14;

/// The flags set in `now` and not in `before`, as `W (kernel warning)`; empty if none is.
pub fn raised(before: u64, now: u64) -> Vec<String> {
    let new = now & !before;
    (0..u64::BITS)
        .filter(|bit| new & (1 << bit) != 0)
        .map(|bit| match FLAGS.iter().find(|flag| flag.0 == bit) {
            Some((_, letter, meaning)) => format!("{letter} ({meaning})"),
            None => format!("bit {bit}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_flags_count_and_each_has_a_name() {
        assert!(raised(0, 0).is_empty());
        assert!(raised(1 << 9, 1 << 9).is_empty());
        assert!(raised(1 << 9, 0).is_empty());
        assert_eq!(raised(0, 1 << 9), ["W (kernel warning)"]);
        assert_eq!(
            raised(1 << 9, 1 << 7 | 1 << 9 | 1 << 14),
            ["D (kernel oops or BUG)", "L (soft lockup)"]
        );
        assert_eq!(raised(0, 1 << 63), ["bit 63"]);
    }
}
