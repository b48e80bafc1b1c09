//! Makes sense of what apt said. Pure.
//!
//! In: its output. Out: one sentence with the cause and the way out; or how far it is.

/// What apt's complaints come down to.
pub fn explain(said: &str) -> String {
    let complaints: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| ["E:", "Err:", "W:"].iter().any(|p| line.starts_with(p)))
        .collect();
    let has = |words: &[&str]| {
        said.lines()
            .find(|line| words.iter().any(|w| line.contains(w)))
    };
    let first = complaints.first().copied().unwrap_or("apt gave no reason");
    if let Some(line) = has(&[
        "NO_PUBKEY",
        "EXPKEYSIG",
        "BADSIG",
        "is not signed",
        "Missing key",
    ]) {
        return format!(
            "a signature can't be checked ({}); install or upgrade the package \
             debian-archive-keyring, which has Debian's keys",
            line.trim()
        );
    }
    let unreachable = [
        "Temporary failure resolving",
        "Could not resolve",
        "Could not connect",
        "Unable to connect",
        "Cannot initiate the connection",
        "connection timed out",
        "Connection timed out",
        "Network is unreachable",
    ];
    if let Some(line) = has(&unreachable) {
        return format!(
            "no way to the mirror ({}); with a filled cache --offline works without one",
            line.trim()
        );
    }
    if let Some(line) = has(&["404 "]) {
        return format!(
            "the mirror doesn't have it ({}); a suite that is gone must leave kernels.toml",
            line.trim()
        );
    }
    first.to_owned()
}

/// The percentage in a line like `dlstatus:1:38.25:Retrieving file 1 of 4`.
pub fn percent(line: &str) -> Option<u64> {
    let percent = line.strip_prefix("dlstatus:")?.split(':').nth(1)?;
    let whole = percent.split('.').next()?;
    whole.parse().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_comes_with_its_way_out() {
        let rows = [
            "Err:1 http://mirror.example/debian bookworm InRelease\n  Temporary failure resolving 'mirror.example'\nE: Failed to fetch",
            "W: GPG error: http://mirror.example bullseye InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 112695A0E562B32A",
            "E: The repository 'http://mirror.example/debian gone Release' does not have a Release file.\nErr:2 http://mirror.example/debian gone Release\n  404  Not Found",
            "E: Could not open lock file",
            "",
        ];
        let told: Vec<_> = rows.into_iter().map(explain).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn progress_is_read_from_status_lines_only() {
        assert_eq!(
            percent("dlstatus:2:38.2561:Retrieving file 2 of 4"),
            Some(38)
        );
        assert_eq!(percent("dlstatus:1:100.0000:x"), Some(100));
        for other in [
            "Get:1 http://mirror.example/",
            "dlstatus:",
            "dlstatus:1:x:y",
            "",
        ] {
            assert_eq!(percent(other), None, "{other}");
        }
    }
}
