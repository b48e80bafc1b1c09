use super::*;
use crate::exit::ExitCode;

fn parse(text: &str) -> Result<Manifest, Invalid> {
    Manifest::parse(text, "kernels.toml", Path::new("/repo"))
}

const SUITES: &str = "suites = [\"bookworm\"]\n";

fn with(kernel: &str) -> String {
    format!("{SUITES}[[kernel]]\n{kernel}\n")
}

#[test]
fn the_repository_s_own_manifest_and_lock_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = Manifest::load(&root.join("kernels.toml")).unwrap();
    let lock = crate::kernels::lock::Lock::load(&root.join("kernels.lock")).unwrap();
    let names: Vec<_> = manifest.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"
        ]
    );
    for kernel in &manifest.kernels {
        let pin = lock.find(&kernel.name).expect("a pin for each kernel");
        assert!(crate::kernels::resolve::fits(kernel, &manifest.suites, pin));
    }
}

#[test]
fn defaults_are_filled_in_and_paths_made_absolute() {
    let text = "\
suites = [\"trixie\"]
[defaults]
flavour = \"amd64\"
memory_mib = 512
[[kernel]]
name = \"6.12\"
debian = \"6.12\"
[[kernel]]
name = \"mine\"
path = \"out/bzImage\"
modules = \"out/modules\"
memory_mib = 1024
[[kernel.skip]]
proof = \"kills-denied-open\"
reason = \"built without tracepoints\"
";
    let manifest = parse(text).unwrap();
    let [debian, mine] = manifest.kernels.as_slice() else {
        panic!("{manifest:?}");
    };
    assert_eq!((debian.memory_mib, mine.memory_mib), (512, 1024));
    assert!(matches!(&debian.source, Source::Debian { flavour, .. } if flavour == "amd64"));
    let expected = Source::Path {
        vmlinuz: "/repo/out/bzImage".into(),
        modules: Some("/repo/out/modules".into()),
    };
    assert_eq!(mine.source, expected);
    assert_eq!(mine.skips[0].boot, None);
    assert_eq!((debian.line, mine.line), (6, 9));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_way_out() {
    let rows = [
        String::new(),
        "suits = []".to_owned(),
        "suites = [\"bookworm\"\n".to_owned(),
        with("name = \"6.1\"\ndebian = \"6.1\"\nflavor = \"amd64\""),
        with("debian = \"6.1\""),
        with("name = \"6.1\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\npath = \"x\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\nmodules = \"x\""),
        with("name = \"6.1\"\npath = \"x\"\nflavour = \"amd64\""),
        with("name = \"6.1\"\ndebian = \"6\""),
        with("name = \"6.1\"\ndebian = \"6.1.0-56\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\nflavour = \"arm64\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\nmemory_mib = 8"),
        with("name = \"6.1\"\ndebian = \"6.1\"\nmemory_mib = \"8\""),
        with("name = \"a/b\"\ndebian = \"6.1\""),
        with("name = \"../x\"\ndebian = \"6.1\""),
        with("name = \"6.*\"\ndebian = \"6.1\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\n[[kernel]]\nname = \"6.1\"\ndebian = \"6.12\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\n[[kernel.skip]]\nproof = \"p\""),
        with("name = \"6.1\"\ndebian = \"6.1\"\n[[kernel.skip]]\nproof = \"p\"\nreason = \" \""),
        "[[kernel]]\nname = \"6.1\"\ndebian = \"6.1\"".to_owned(),
        "suites = [\"bookworm\", \"sid\"]".to_owned(),
        "suites = [\"stable\"]".to_owned(),
        "suites = [\"bookworm/updates\"]".to_owned(),
        "suites = [\"bookworm-proposed\"]".to_owned(),
        "suites = [\"bookworm\", \"bookworm\"]".to_owned(),
    ];
    let told: Vec<_> = rows
        .iter()
        .map(|text| parse(text).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_manifest_that_is_not_there_is_the_user_s_mistake() {
    let failure = Manifest::load(Path::new("/nonexistent/kernels.toml")).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
}

#[test]
fn kernels_are_chosen_by_name_or_glob_in_the_manifest_s_order() {
    let text = with(
        "name = \"6.1\"\ndebian = \"6.1\"\n[[kernel]]\nname = \"6.12\"\ndebian = \"6.12\"\n[[kernel]]\nname = \"7.0\"\ndebian = \"7.0\"",
    );
    let kernels = parse(&text).unwrap().kernels;
    let choose = |patterns: &[&str]| {
        let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let chosen = select(&kernels, &patterns).map_err(|f| (f.code, f.to_string()))?;
        let names = chosen.iter().map(|kernel| kernel.name.clone());
        Ok::<_, (ExitCode, String)>(names.collect::<Vec<_>>())
    };
    assert_eq!(choose(&[]).unwrap(), ["6.1", "6.12", "7.0"]);
    assert_eq!(choose(&["6.1"]).unwrap(), ["6.1"]);
    assert_eq!(
        choose(&["7.0", "6.*", "6.1"]).unwrap(),
        ["6.1", "6.12", "7.0"]
    );
    let (code, message) = choose(&["6.1", "6.9"]).unwrap_err();
    assert_eq!(code, ExitCode::Usage);
    insta::assert_snapshot!(message, @r#"no kernel is called "6.9"; kernels.toml has 6.1, 6.12, 7.0"#);
    assert_eq!(choose(&["6.[1"]).unwrap_err().0, ExitCode::Usage);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(suites|kernel|name|debian|path|[\\[\\]=\".,a-z0-9 é\n]){0,30}") {
            let _ = parse(&text);
        }
    }
}

#[test]
fn what_a_kernel_may_say_has_a_text_of_some_length_and_a_reason() {
    let of = |allow: &str| {
        let text = format!(
            "suites = [\"trixie\"]\n[[kernel]]\nname = \"mine\"\npath = \"vmlinuz\"\n\
             [[kernel.allow]]\n{allow}\n"
        );
        Manifest::parse(&text, "kernels.toml", Path::new("/"))
    };
    let manifest = of("console = \"WARNING: of a driver\"\nreason = \"none of ours\"").unwrap();
    assert_eq!(
        manifest.kernels[0].allows[0].console,
        "WARNING: of a driver"
    );
    for (allow, told) in [
        ("console = \"BUG:\"\nreason = \"x\"", "fewer than 8 letters"),
        (
            "console = \"WARNING: of a driver\"\nreason = \" \"",
            "has no reason",
        ),
        (
            "console = \"WARNING: of a driver\"",
            "missing field `reason`",
        ),
    ] {
        let error = of(allow).unwrap_err().to_string();
        assert!(
            error.contains(told) && error.contains("kernels.toml:5"),
            "{error}"
        );
    }
}
