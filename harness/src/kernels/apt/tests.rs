//! The edge against an `apt-get` that is a script.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{
    exit::ExitCode,
    kernels::{index, lock::Role},
    testing::left_out,
};

struct Silent;

impl Progress for Silent {
    fn line(&self, _: &str) {}
    fn step(&self, _: &str, _: Option<u64>) {}
    fn idle(&self) {}
}

struct Bench {
    folder: tempfile::TempDir,
    suites: Vec<String>,
}

impl Bench {
    /// A machine whose `apt-get` knows these words of its arguments, each with what it then
    /// does. `$LISTS` is a folder with a Release file of Debian's.
    fn new(answers: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::write(at.join("m_InRelease"), "Origin: Debian\nLabel: Debian\n").unwrap();
        let cases: String = answers
            .iter()
            .map(|(word, action)| format!("*\"{word}\"*) {action};;\n"))
            .collect();
        let script = format!(
            "#!/bin/sh\nLISTS={}\necho \"$*\" >>$LISTS/calls\ncase \"$*\" in\n{cases}esac\n",
            at.display()
        );
        fs::create_dir(at.join("bin")).unwrap();
        for (name, text) in [
            ("apt-get", script.as_str()),
            ("apt-config", "#!/bin/sh\necho \"PARTS='/nonexistent/'\"\n"),
        ] {
            let path = at.join("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let suites = vec!["bookworm".to_owned()];
        Self { folder, suites }
    }

    fn offers(&self) -> Result<Vec<Offer>> {
        self.archive().offers()
    }

    fn archive(&self) -> AptArchive<'_> {
        let bin = self.folder.path().join("bin");
        let path = format!("{}:/usr/bin:/bin", bin.display());
        AptArchive::new(self.folder.path().join("apt"), &self.suites, &Silent)
            .with_path(path.into())
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }
}

/// What the machine is configured with: one mirror, whose Release file is in `$LISTS`.
const MIRROR: (&str, &str) = (
    "indextargets --no-release-info",
    r"printf 'Packages\thttp://mirror.example/debian/\tmain/Packages\t%s/m_main_Packages\t/etc/x.list:1\n' $LISTS",
);

#[test]
fn the_suites_are_read_through_a_root_of_our_own() {
    let index = "Package: linux-image-6.1.0-56-cloud-amd64\\nVersion: 6.1.192-2\\nArchitecture: amd64\\nFilename: pool/x.deb\\nSize: 1\\nSHA256: aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11\\n";
    let listed =
        format!("printf '{index}' >$LISTS/i; printf 'bookworm\\t%s/i\\nother\\t/x\\n' $LISTS");
    let bench = Bench::new(&[MIRROR, ("indextargets", &listed), ("update", "true")]);
    if !Path::new("/usr/lib/apt/apt-helper").exists() {
        left_out("there is no apt-helper here (the package apt)");
        return;
    }
    let offers = bench.offers().unwrap();
    assert_eq!(
        offers,
        index::parse(&index.replace("\\n", "\n"), "bookworm")
    );
    assert_eq!(offers.len(), 1);

    let root = bench.folder.path().join("apt");
    let list = fs::read_to_string(root.join("sources.list")).unwrap();
    assert!(
        list.contains("http://mirror.example/debian/ bookworm main"),
        "{list}"
    );
    for call in bench
        .calls()
        .lines()
        .filter(|call| !call.contains("--no-release-info"))
    {
        assert!(
            call.contains("/apt/apt.conf"),
            "{call:?} touched the machine's own apt"
        );
    }
}

#[test]
fn without_a_network_the_error_names_the_cause_and_the_way_out() {
    let fails = "echo 'Err:1 http://mirror.example/debian bookworm InRelease'; echo \"  Temporary failure resolving 'mirror.example'\"; echo 'E: Some index files failed to download.' >&2; exit 100";
    let bench = Bench::new(&[MIRROR, ("update", fails)]);
    let failure = bench.offers().unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    insta::assert_snapshot!(failure.to_string());
}

#[test]
fn without_a_debian_mirror_the_error_names_the_line_to_add() {
    let foreign = MIRROR.1.replace("m_main", "third_main");
    let bench = Bench::new(&[(MIRROR.0, &foreign), ("update", "true")]);
    let failure = bench.offers().unwrap_err();
    assert_eq!(failure.code, ExitCode::Prerequisite);
    insta::assert_snapshot!(failure.to_string());

    let none = Bench::new(&[]);
    assert_eq!(none.offers().unwrap_err().code, ExitCode::Prerequisite);
}

#[test]
fn a_machine_whose_lists_were_never_read_is_asked_who_its_sources_are() {
    // Its Release file turns up only once the probe has fetched it.
    let later = MIRROR.1.replace("m_main", "later_main");
    let bench = Bench::new(&[
        (MIRROR.0, &later),
        ("probe", "cp $LISTS/m_InRelease $LISTS/later_InRelease"),
        ("update", "exit 100"),
    ]);
    let failure = bench.offers().unwrap_err();
    assert!(
        failure
            .to_string()
            .starts_with("cannot read Debian's package lists"),
        "{failure}"
    );
    assert!(bench.calls().contains("/apt/probe/apt.conf update"));
}

#[test]
fn a_signature_that_cannot_be_checked_names_the_package_with_the_keys() {
    let fails = "echo 'W: GPG error: http://mirror.example bookworm InRelease: NO_PUBKEY 0123456789ABCDEF'; exit 100";
    let bench = Bench::new(&[MIRROR, ("update", fails)]);
    let failure = bench.offers().unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    assert!(
        failure.to_string().contains("debian-archive-keyring"),
        "{failure}"
    );
}

#[test]
fn a_failed_download_names_the_package() {
    let fails = "echo 'E: Version was not found'; exit 100";
    let bench = Bench::new(&[MIRROR, ("download", fails)]);
    let package = LockedPackage {
        package: "linux-image-6.1.0-56-cloud-amd64".to_owned(),
        version: "6.1.192-2".to_owned(),
        role: Role::Image,
        suite: "bookworm".to_owned(),
        sha256: "aa".repeat(32),
        size: 26_000_000,
        filename: "pool/x.deb".to_owned(),
    };
    let into = tempfile::tempdir().unwrap();
    let failure = bench
        .archive()
        .download(&[&package], into.path())
        .unwrap_err();
    insta::assert_snapshot!(failure.to_string(), @"cannot download linux-image-6.1.0-56-cloud-amd64: E: Version was not found");
    assert!(
        bench
            .calls()
            .contains("download linux-image-6.1.0-56-cloud-amd64=6.1.192-2")
    );
}

#[test]
fn the_keys_of_machine_and_debian_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("parts")).unwrap();
    for name in ["parts/a.gpg", "parts/b.asc", "parts/note.txt", "own.gpg"] {
        fs::write(at.join(name), "key").unwrap();
    }
    for _ in 0..2 {
        let own = [at.join("own.gpg"), at.join("gone.gpg")];
        link_keys(&at.join("keys"), &at.join("parts"), &own).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(at.join("keys"))
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("debian-archive"))
        .collect();
    names.sort();
    assert_eq!(names, ["a.gpg", "b.asc", "own.gpg"]);
}
