//! Reads what a bzImage says about itself. Pure.
//!
//! In: the start of the file. Out: its release and version, or why it isn't a bzImage. The
//! layout is the x86 boot protocol's: `HdrS` at 0x202, and at 0x20e the offset of the version
//! text, counted from 0x200.

/// How much of the file [`parse`] needs: the setup code is at most 64 sectors.
pub const HEAD: usize = 0x200 * 65;

/// A kernel's own idea of what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What `uname -r` will say.
    pub release: String,
    /// What `uname -v` will say, roughly: the compile line behind the release.
    pub version: String,
}

impl Header {
    /// Debian's package version as it stands in the version text.
    pub fn debian_version(&self) -> Option<&str> {
        let mut words = self.version.split_whitespace();
        words.find(|word| *word == "Debian")?;
        words.next()
    }
}

/// Reads the header; the error is a fragment.
pub fn parse(head: &[u8]) -> Result<Header, &'static str> {
    if head.get(0x202..0x206) != Some(b"HdrS") {
        return Err("not a bzImage (no boot header)");
    }
    let offset = match head.get(0x20e..0x210) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => return Err("truncated in its boot header"),
    };
    if offset == 0 {
        return Err("a bzImage that doesn't carry its version");
    }
    let text = head
        .get(0x200 + offset..)
        .and_then(|text| text.split(|byte| *byte == 0).next())
        .filter(|text| !text.is_empty())
        .ok_or("truncated before its version text")?;
    let text = std::str::from_utf8(text).map_err(|_| "a bzImage with a garbled version text")?;
    let (release, version) = text.split_once(' ').unwrap_or((text, ""));
    Ok(Header {
        release: release.to_owned(),
        // Between the two stands who built it, in parentheses.
        version: version
            .find('#')
            .map_or(version, |start| &version[start..])
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(text: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn finds_release_and_version() {
        let text = "6.1.0-56-cloud-amd64 (builder@example.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-14)";
        let header = parse(&image(text)).unwrap();
        assert_eq!(header.release, "6.1.0-56-cloud-amd64");
        assert_eq!(
            header.version,
            "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-14)"
        );
        assert_eq!(header.debian_version(), Some("6.1.192-2"));
    }

    #[test]
    fn a_kernel_of_ones_own_has_no_debian_version() {
        let header = parse(&image("6.1.192 (me@here) #3 SMP Tue")).unwrap();
        assert_eq!(header.release, "6.1.192");
        assert_eq!(header.debian_version(), None);
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert!(parse(b"").is_err());
        assert!(parse(b"\x7fELF").is_err());
        assert!(parse(&image("6.1.0 x")[..0x20f]).is_err());
        assert!(parse(&image("6.1.0 x")[..0x300]).is_err());
        assert!(parse(&image("")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..0x500), magic: bool) {
            if magic && bytes.len() > 0x206 {
                bytes[0x202..0x206].copy_from_slice(b"HdrS");
            }
            let _ = parse(&bytes);
        }
    }
}
