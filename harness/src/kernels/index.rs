//! Reads the kernel packages out of a suite's package index. Pure.
//!
//! In: the text of a `Packages` file. Out: an [`Offer`] for each package that a kernel can
//! be made of. Stanzas that lack what pinning needs are left out; nothing here can fail.

/// A kernel package that a suite has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// e.g. `linux-image-6.1.0-56-cloud-amd64`.
    pub package: String,
    /// The package's version, e.g. `6.1.192-2`.
    pub version: String,
    /// The suite that has it.
    pub suite: String,
    /// Of the .deb file, in hexadecimal.
    pub sha256: String,
    /// Of the .deb file, in bytes.
    pub size: u64,
    /// The .deb file's path below the mirror's base.
    pub filename: String,
    /// The names that it depends on; of alternatives the first.
    pub depends: Vec<String>,
}

/// What the names of kernel packages start with.
const PREFIXES: [&str; 4] = [
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];

/// The kernel packages in a `Packages` file of `suite`.
pub fn parse(text: &str, suite: &str) -> Vec<Offer> {
    let mut offers = Vec::new();
    let mut stanza = Stanza::default();
    for line in text.lines() {
        if line.trim_end().is_empty() {
            offers.extend(std::mem::take(&mut stanza).offer(suite));
        } else {
            stanza.read(line);
        }
    }
    offers.extend(stanza.offer(suite));
    offers
}

/// The fields of one package, borrowed from the index: most packages aren't kernels, and an
/// index is tens of megabytes.
#[derive(Default)]
struct Stanza<'a> {
    package: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    sha256: Option<&'a str>,
    size: Option<&'a str>,
    filename: Option<&'a str>,
    depends: Option<&'a str>,
}

impl<'a> Stanza<'a> {
    fn read(&mut self, line: &'a str) {
        // A continued line starts with a blank; none of our fields spans lines.
        let Some((field, value)) = line.split_once(':') else {
            return;
        };
        let slot = match field {
            "Package" => &mut self.package,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "SHA256" => &mut self.sha256,
            "Size" => &mut self.size,
            "Filename" => &mut self.filename,
            "Depends" => &mut self.depends,
            _ => return,
        };
        *slot = Some(value.trim());
    }

    fn offer(self, suite: &str) -> Option<Offer> {
        let package = self.package?;
        if !PREFIXES.iter().any(|prefix| package.starts_with(prefix)) {
            return None;
        }
        if self.architecture? != "amd64" {
            return None;
        }
        let sha256 = self.sha256?;
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(Offer {
            package: package.to_owned(),
            version: self.version?.to_owned(),
            suite: suite.to_owned(),
            sha256: sha256.to_ascii_lowercase(),
            size: self.size?.parse().ok()?,
            filename: self.filename?.to_owned(),
            depends: self.depends.map(depends).unwrap_or_default(),
        })
    }
}

/// The names in a `Depends` field, e.g. `kmod, a (= 1) | b` gives `kmod` and `a`.
fn depends(field: &str) -> Vec<String> {
    let first = |one: &str| {
        let alternative = one.split('|').next().unwrap_or_default();
        let name = alternative.split(['(', '[', '<', ':']).next();
        name.unwrap_or_default().trim().to_owned()
    };
    field
        .split(',')
        .map(first)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDEX: &str = "\
Package: linux-image-6.19.14+deb13-cloud-amd64
Source: linux-signed-amd64 (6.19.14+1~bpo13+1)
Version: 6.19.14-1~bpo13+1
Architecture: amd64
Depends: dracut | initramfs-tools (>= 0.120+deb8u2), kmod, linux-binary-6.19.14+deb13-cloud-amd64 (= 6.19.14-1~bpo13+1)
Description: Linux 6.19 for x86-64 cloud
 Package: not-a-field
Filename: pool/main/l/linux-signed-amd64/linux-image-6.19.14+deb13-cloud-amd64_6.19.14-1~bpo13+1_amd64.deb
Size: 2072
SHA256: AA11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11

Package: bash
Version: 5.2
Architecture: amd64

Package: linux-image-6.1.0-56-arm64
Version: 6.1.192-2
Architecture: arm64
Filename: pool/x.deb
Size: 1
SHA256: bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11bb11
";

    #[test]
    fn finds_the_kernel_packages_of_this_architecture() {
        let offers = parse(INDEX, "trixie-backports");
        assert_eq!(offers.len(), 1);
        let offer = &offers[0];
        assert_eq!(offer.package, "linux-image-6.19.14+deb13-cloud-amd64");
        assert_eq!(offer.version, "6.19.14-1~bpo13+1");
        assert_eq!(offer.suite, "trixie-backports");
        assert_eq!(offer.size, 2072);
        assert!(offer.sha256.starts_with("aa11"));
        assert_eq!(
            offer.depends,
            ["dracut", "kmod", "linux-binary-6.19.14+deb13-cloud-amd64"]
        );
    }

    #[test]
    fn a_package_that_cannot_be_pinned_is_left_out() {
        for field in ["SHA256:", "Size:", "Filename:", "Version:"] {
            let cut: String = INDEX
                .lines()
                .take_while(|line| !line.is_empty())
                .filter(|line| !line.starts_with(field))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(parse(&cut, "s"), [], "without {field}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(Package|SHA256|Size|Depends|[a-z:|(, \n]){0,40}") {
            parse(&text, "s");
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&String::from_utf8_lossy(&bytes), "s");
        }
    }
}
