use super::*;

const FLAVOUR: &str = "cloud-amd64";

fn offer(package: &str, version: &str, suite: &str) -> Offer {
    Offer {
        package: package.to_owned(),
        version: version.to_owned(),
        suite: suite.to_owned(),
        sha256: format!("{:0>64x}", package.len() + version.len()),
        size: 1,
        filename: format!("pool/{package}_{version}_amd64.deb"),
        depends: Vec::new(),
    }
}

fn image(build: &str, version: &str, suite: &str) -> Offer {
    offer(&format!("linux-image-{build}-{FLAVOUR}"), version, suite)
}

fn split(build: &str, version: &str, parts: &[&str]) -> Vec<Offer> {
    let mut whole = image(build, version, "trixie-backports");
    whole.depends = ["linux-base-", "linux-binary-", "linux-modules-"]
        .map(|prefix| format!("{prefix}{build}-{FLAVOUR}"))
        .to_vec();
    let part = |prefix: &&str| {
        let package = format!("{prefix}{build}-{FLAVOUR}");
        offer(&package, version, "trixie-backports")
    };
    let mut all: Vec<_> = parts.iter().map(part).collect();
    all.push(whole);
    all
}

fn kernel(series: &str) -> Kernel {
    Kernel {
        name: series.to_owned(),
        source: Source::Debian {
            series: series.to_owned(),
            flavour: FLAVOUR.to_owned(),
        },
        memory_mib: 256,
        skips: Vec::new(),
        allows: Vec::new(),
        line: 1,
    }
}

fn suites() -> Vec<String> {
    ["bookworm", "bookworm-security", "trixie-backports"]
        .map(str::to_owned)
        .to_vec()
}

fn added(series: &str, offers: &[Offer]) -> LockedKernel {
    match decide(&kernel(series), &suites(), None, offers, false) {
        Decision::Add(locked) => locked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_read_from_end_to_end() {
    let rows = [
        ("linux-image-6.1.0-56-cloud-amd64", Some("6.1")),
        ("linux-image-6.1.0-0.deb11.52-cloud-amd64", Some("6.1")),
        ("linux-image-5.10.0-0.bpo.12-cloud-amd64", Some("5.10")),
        ("linux-image-6.12.90+deb12.1-cloud-amd64", Some("6.12")),
        ("linux-image-7.3.4+deb13-cloud-amd64", Some("7.3")),
        ("linux-image-cloud-amd64", None),
        ("linux-image-6.1-cloud-amd64", None),
        ("linux-image-6.12-cloud-amd64", None),
        ("linux-image-6.1.0-56-cloud-amd64-dbg", None),
        ("linux-image-6.1.0-56-cloud-amd64-unsigned", None),
        ("linux-image-6.1.0-56-rt-cloud-amd64", None),
        ("linux-image-6.1.0-rc5-cloud-amd64", None),
        ("linux-image-6.1.0-56-amd64", None),
        ("linux-binary-7.3.4+deb13-cloud-amd64", None),
    ];
    for (package, series) in rows {
        assert_eq!(
            release(package, FLAVOUR).and_then(series_of),
            series,
            "{package}"
        );
    }
    assert_eq!(release("linux-image-6.1.0-56-cloud-amd64", "amd64"), None);
    assert_eq!(release("linux-image-6.1.0-56-rt-amd64", "amd64"), None);
}

#[test]
fn a_series_is_not_a_prefix() {
    let offers = [
        image("6.1.0-56", "6.1.192-2", "bookworm-security"),
        image("6.12.117+deb12", "6.12.117-1~deb12u1", "bookworm"),
        image("6.16.12+deb13", "6.16.12-1~bpo13+1", "trixie-backports"),
    ];
    assert_eq!(added("6.1", &offers).version, "6.1.192-2");
}

#[test]
fn the_package_version_decides_and_not_the_name() {
    let offers = [
        image("6.1.0-56", "6.1.192-2", "bookworm-security"),
        image("6.1.0-0.deb11.52", "6.1.190-1~deb11u1", "bookworm"),
        image("6.1.0-9", "6.1.27-1", "bookworm"),
        image("6.1.0-50", "6.1.170-1", "bookworm"),
    ];
    let locked = added("6.1", &offers);
    assert_eq!(locked.version, "6.1.192-2");
    assert_eq!(locked.release, "6.1.0-56-cloud-amd64");
    assert!(locked.modules);
    assert_eq!(locked.packages[0].role, Role::Image);
}

#[test]
fn of_equal_versions_the_suite_named_first_is_taken() {
    let offers = [
        image("6.1.0-50", "6.1.170-1", "bookworm"),
        image("6.1.0-50", "6.1.170-1", "bookworm-security"),
    ];
    assert_eq!(added("6.1", &offers).packages[0].suite, "bookworm");
}

#[test]
fn a_split_kernel_is_made_of_what_its_image_depends_on() {
    let offers = split(
        "7.3.4+deb13",
        "7.3.4-1~bpo13+1",
        &["linux-base-", "linux-binary-", "linux-modules-"],
    );
    let locked = added("7.3", &offers);
    let roles: Vec<_> = locked.packages.iter().map(|p| p.role).collect();
    assert_eq!(roles, [Role::Binary, Role::Modules, Role::Base]);
    assert!(locked.modules);
    assert_eq!(locked.binary().unwrap().role, Role::Binary);
    assert_eq!(locked.module_packages().count(), 2);
}

#[test]
fn a_kernel_without_modules_on_offer_resolves_all_the_same() {
    let offers = split("6.19.14+deb13", "6.19.14-1~bpo13+1", &["linux-binary-"]);
    let locked = added("6.19", &offers);
    assert!(!locked.modules);
    assert_eq!(locked.packages.len(), 1);
    assert_eq!(locked.module_packages().count(), 0);
}

#[test]
fn a_build_whose_kernel_is_gone_gives_way_to_the_next_one() {
    let mut offers = split("7.0.13+deb13", "7.0.13-1~bpo13+1", &[]);
    offers.extend(split(
        "7.0.12+deb13",
        "7.0.12-1~bpo13+1",
        &["linux-binary-"],
    ));
    assert_eq!(added("7.0", &offers).version, "7.0.12-1~bpo13+1");
}

#[test]
fn a_locked_version_stays_until_it_is_gone_or_an_update_is_asked_for() {
    let old = image("6.1.0-50", "6.1.170-1", "bookworm");
    let new = image("6.1.0-56", "6.1.192-2", "bookworm-security");
    let locked = added("6.1", std::slice::from_ref(&old));
    let both = [old, new.clone()];
    let on =
        |offers: &[Offer], update| decide(&kernel("6.1"), &suites(), Some(&locked), offers, update);

    assert_eq!(on(&both, false), Decision::Keep(locked.clone()));
    let replaced = Decision::Replace {
        old: "6.1.170-1".to_owned(),
        new: added("6.1", &both),
    };
    assert_eq!(on(&both, true), replaced);
    assert_eq!(on(&[new], false), replaced);
}

#[test]
fn a_version_that_was_rebuilt_under_its_name_counts_as_gone() {
    let old = image("6.1.0-50", "6.1.170-1", "bookworm");
    let locked = added("6.1", std::slice::from_ref(&old));
    let rebuilt = Offer {
        sha256: "f".repeat(64),
        ..old
    };
    let decision = decide(&kernel("6.1"), &suites(), Some(&locked), &[rebuilt], false);
    assert!(matches!(decision, Decision::Replace { .. }));
}

#[test]
fn a_gone_version_is_never_replaced_by_another_series() {
    let locked = added("6.1", &[image("6.1.0-50", "6.1.170-1", "bookworm")]);
    let other = [image("6.12.117+deb12", "6.12.117-1", "bookworm")];
    let decision = decide(&kernel("6.1"), &suites(), Some(&locked), &other, false);
    assert_eq!(decision, Decision::Unavailable);
}

#[test]
fn a_lock_for_something_else_is_not_a_replacement() {
    let offers = [image("6.1.0-50", "6.1.170-1", "bookworm")];
    let mut locked = added("6.1", &offers);
    locked.series = "6.12".to_owned();
    let decision = decide(&kernel("6.1"), &suites(), Some(&locked), &offers, false);
    assert!(matches!(decision, Decision::Add(_)));

    let locked = added("6.1", &offers);
    let elsewhere = ["trixie".to_owned()];
    assert!(fits(&kernel("6.1"), &suites(), &locked));
    assert!(!fits(&kernel("6.1"), &elsewhere, &locked));
}

#[test]
fn the_series_on_offer_are_listed_oldest_first() {
    let offers = [
        image("6.12.90+deb12.1", "6.12.90-2", "bookworm"),
        image("6.1.0-50", "6.1.170-1", "bookworm"),
        image("6.12.117+deb12", "6.12.117-1", "bookworm"),
        image("5.10.0-46", "5.10.262-1", "bookworm"),
    ];
    let listed = series_on_offer(FLAVOUR, &offers);
    let listed: Vec<_> = listed
        .iter()
        .map(|(s, v)| (s.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        listed,
        [
            ("5.10", "5.10.262-1"),
            ("6.1", "6.1.170-1"),
            ("6.12", "6.12.117-1")
        ]
    );
}
