//! Finds Debian's mirror among the sources that a machine is configured with.
//!
//! In: apt's index targets and the Release files that came with them. Out: the two bases
//! that all suites hang from. A source counts by what its signed Release file says it is,
//! never by its host's name; third parties are ignored.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What to ask `apt-get indextargets` for; read by [`parse_target`].
pub const FORMAT: &str = "$(CREATED_BY)\t$(REPO_URI)\t$(METAKEY)\t$(FILENAME)\t$(SOURCESENTRY)";

/// One index of a configured source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    base: String,
    /// Without its last word, which is `InRelease` or `Release`.
    release_file: String,
    entry: PathBuf,
    number: usize,
}

/// A source with what its Release file calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Where its suites hang from, with a slash at the end.
    pub base: String,
    /// Its label, if its origin is Debian and the file is here.
    pub label: Option<String>,
    /// The keyrings that its entry names.
    pub keyrings: Vec<PathBuf>,
}

/// The bases that Debian's suites hang from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    debian: String,
    security: String,
    /// Keyrings that the machine's entries for them name.
    pub keyrings: Vec<PathBuf>,
}

/// Reads a line of `apt-get indextargets` in [`FORMAT`].
pub fn parse_target(line: &str) -> Option<Target> {
    let [created_by, base, metakey, filename, entry] =
        line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    if created_by != "Packages" {
        return None;
    }
    // apt names the files of a suite alike up to the index's own name.
    let index = metakey.replace('/', "_");
    let (release_file, _) = filename.rsplit_once(&index)?;
    let (entry, number) = entry.rsplit_once(':')?;
    Some(Target {
        base: format!("{}/", base.trim_end_matches('/')),
        release_file: release_file.to_owned(),
        entry: entry.into(),
        number: number.parse().ok()?,
    })
}

impl Target {
    /// Reads the files that apt keeps about it.
    pub fn labelled(self) -> Labelled {
        let read = |end| fs::read_to_string(format!("{}{end}", self.release_file)).ok();
        let release = read("InRelease").or_else(|| read("Release"));
        let entry = fs::read_to_string(&self.entry).unwrap_or_default();
        Labelled {
            base: self.base,
            label: release.as_deref().and_then(debian_label),
            keyrings: signed_by(&entry, &self.entry, self.number),
        }
    }
}

/// The label in a Release file whose origin is Debian.
fn debian_label(release: &str) -> Option<String> {
    let head = release
        .lines()
        .take_while(|line| !line.ends_with("Sum:") && *line != "SHA256:");
    let mut origin = None;
    let mut label = None;
    for line in head {
        match line.split_once(": ") {
            Some(("Origin", value)) => origin = Some(value.trim()),
            Some(("Label", value)) => label = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    label.filter(|_| origin.is_some_and(|origin| origin.starts_with("Debian")))
}

/// The keyring files that an entry of a source list names: the stanza of that number in a
/// `.sources` file, the line of that number elsewhere.
fn signed_by(text: &str, file: &Path, number: usize) -> Vec<PathBuf> {
    let index = number.saturating_sub(1);
    let paths = if file.extension().is_some_and(|e| e == "sources") {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        let mut stanzas = text
            .split("\n\n")
            .filter(|stanza| !stanza.trim().is_empty());
        let stanza = stanzas.nth(index).unwrap_or_default().to_owned();
        let field = stanza.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("signed-by:")
                .then(|| &line[10..])
        });
        field.unwrap_or_default().replace(',', " ")
    } else {
        let line = text.lines().nth(index).unwrap_or_default();
        let option = line.split_once("signed-by=").map_or("", |(_, rest)| rest);
        let end = option.find([' ', ']']).unwrap_or(option.len());
        option[..end].replace(',', " ")
    };
    let absolute = paths
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    absolute.map(PathBuf::from).collect()
}

/// Picks the bases; the error says what to add to the machine's configuration.
pub fn choose(sources: &[Labelled]) -> Result<Mirrors, String> {
    let called = |names: &'static [&'static str]| {
        let fits = move |s: &&Labelled| {
            let known = s
                .label
                .as_deref()
                .is_some_and(|label| names.contains(&label));
            known && !s.base.starts_with("cdrom:")
        };
        sources.iter().filter(fits)
    };
    let Some(debian) = called(&["Debian", "Debian Backports"]).next() else {
        return Err(format!(
            "apt's configuration has no Debian mirror (it has {}); add a line such as \
             `deb http://MIRROR/debian bookworm main` to /etc/apt/sources.list and run \
             `apt-get update`",
            listed(sources)
        ));
    };
    let security = match called(&["Debian-Security"]).next() {
        Some(security) => security.base.clone(),
        // Mirrors carry both side by side. Should this one not, apt's error will name it.
        None => beside(&debian.base).ok_or_else(|| {
            format!(
                "apt's configuration has no Debian-Security source, and none can be told from \
                 {}; add a line such as `deb http://MIRROR/debian-security bookworm-security \
                 main` to /etc/apt/sources.list and run `apt-get update`",
                debian.base
            )
        })?,
    };
    let mut keyrings: Vec<_> = called(&["Debian", "Debian Backports", "Debian-Security"])
        .flat_map(|source| source.keyrings.clone())
        .collect();
    keyrings.sort();
    keyrings.dedup();
    Ok(Mirrors {
        debian: debian.base.clone(),
        security,
        keyrings,
    })
}

fn listed(sources: &[Labelled]) -> String {
    let mut bases: Vec<_> = sources.iter().map(|s| s.base.as_str()).collect();
    bases.sort_unstable();
    bases.dedup();
    match bases.as_slice() {
        [] => "no source at all".to_owned(),
        bases => bases.join(", "),
    }
}

/// The security archive next to `…/debian/`.
fn beside(debian: &str) -> Option<String> {
    let parent = debian.strip_suffix("/debian/")?;
    Some(format!("{parent}/debian-security/"))
}

impl Mirrors {
    /// A source list of these suites.
    pub fn source_list(&self, suites: &[String]) -> String {
        let line = |suite: &String| {
            let base = if suite.ends_with("-security") {
                &self.security
            } else {
                &self.debian
            };
            // Only the package lists: a machine may have apt fetch a lot more with them.
            format!("deb [arch=amd64 target=Packages lang=none] {base} {suite} main\n")
        };
        suites.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(base: &str, label: Option<&str>) -> Labelled {
        Labelled {
            base: base.to_owned(),
            label: label.map(str::to_owned),
            keyrings: Vec::new(),
        }
    }

    const IN_RELEASE: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian-Security\nSuite: oldstable-security\nMD5Sum:\n 00 Label: x\n";

    #[test]
    fn a_source_is_known_by_its_release_file() {
        assert_eq!(debian_label(IN_RELEASE).as_deref(), Some("Debian-Security"));
        let foreign = IN_RELEASE.replace("Origin: Debian", "Origin: Somebody");
        assert_eq!(debian_label(&foreign), None);
        assert_eq!(debian_label(""), None);
    }

    #[test]
    fn a_target_leads_to_its_release_file() {
        let line = "Packages\thttp://mirror.example/debian/\tmain/binary-amd64/Packages\t/var/lib/apt/lists/mirror.example_debian_dists_bookworm_main_binary-amd64_Packages.lz4\t/etc/apt/sources.list.d/debian.sources:2";
        let target = parse_target(line).unwrap();
        assert_eq!(target.base, "http://mirror.example/debian/");
        assert_eq!(
            target.release_file,
            "/var/lib/apt/lists/mirror.example_debian_dists_bookworm_"
        );
        assert_eq!(target.number, 2);
        assert_eq!(
            parse_target(&line.replace("Packages\th", "DEP-11\th")),
            None
        );
        assert_eq!(parse_target("nonsense"), None);
    }

    #[test]
    fn third_parties_are_ignored() {
        let mirrors = choose(&[
            source("http://third.example/debian/", None),
            source("http://other.example/debian/", Some("Somebody")),
            source("cdrom://Debian/", Some("Debian")),
            source("http://mirror.example/debian/", Some("Debian")),
            source("http://security.example/", Some("Debian-Security")),
        ])
        .unwrap();
        assert_eq!(mirrors.debian, "http://mirror.example/debian/");
        assert_eq!(mirrors.security, "http://security.example/");
    }

    #[test]
    fn the_security_archive_is_looked_for_beside_the_mirror() {
        let mirrors = choose(&[source("http://mirror.example/debian/", Some("Debian"))]).unwrap();
        assert_eq!(mirrors.security, "http://mirror.example/debian-security/");
        insta::assert_snapshot!(
            choose(&[source("http://mirror.example/d/", Some("Debian"))]).unwrap_err()
        );
    }

    #[test]
    fn without_a_mirror_the_line_to_add_is_named() {
        insta::assert_snapshot!(choose(&[source("http://third.example/", None)]).unwrap_err());
        assert!(choose(&[]).unwrap_err().contains("no source at all"));
    }

    #[test]
    fn each_suite_hangs_from_its_base() {
        let mirrors = Mirrors {
            debian: "http://mirror.example/debian/".to_owned(),
            security: "http://mirror.example/debian-security/".to_owned(),
            keyrings: Vec::new(),
        };
        let suites = ["bookworm", "bullseye-security", "trixie-backports"].map(str::to_owned);
        insta::assert_snapshot!(mirrors.source_list(&suites));
    }

    #[test]
    fn the_keys_of_an_entry_are_found_in_both_kinds_of_file() {
        let sources = "Types: deb\n# a comment\nURIs: http://a.example\n\nTypes: deb\nSigned-By: /k/a.gpg, /k/b.asc\n";
        let file = Path::new("/etc/apt/sources.list.d/x.sources");
        assert_eq!(signed_by(sources, file, 1), Vec::<PathBuf>::new());
        let keys = [PathBuf::from("/k/a.gpg"), PathBuf::from("/k/b.asc")];
        assert_eq!(signed_by(sources, file, 2), keys);

        let list =
            "# first\ndeb [arch=amd64 signed-by=/k/a.gpg,/k/b.asc] http://a.example b main\n";
        let file = Path::new("/etc/apt/sources.list");
        assert_eq!(signed_by(list, file, 2), keys);
        assert_eq!(signed_by(list, file, 9), Vec::<PathBuf>::new());
    }
}
