use super::*;
use crate::exit::ExitCode;

struct Bench {
    folder: tempfile::TempDir,
    plan: GuestPlan,
    image: ImageSpec,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("guest"), b"GUEST").unwrap();
        fs::write(folder.path().join("agent"), b"AGENT").unwrap();
        let plan = GuestPlan {
            version: protocol::VERSION,
            kernel: "6.1".to_owned(),
            wait_ms: 1,
            boots: Vec::new(),
        };
        let image = ImageSpec::default();
        Self {
            folder,
            plan,
            image,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pack(&self, modules: Option<&Path>) -> Result<Packed> {
        let input = PackInput {
            sabotaged_agent: None,
            guest: &self.path("guest"),
            agent: &self.path("agent"),
            plan: &self.plan,
            image: &self.image,
            modules,
        };
        pack(&input, &self.path("out/initramfs"))
    }

    fn modules(&self) -> PathBuf {
        let folder = self.path("modules");
        fs::create_dir_all(folder.join("kernel")).unwrap();
        fs::write(
            folder.join("modules.dep"),
            "kernel/a-b.ko: kernel/c.ko\nkernel/c.ko:\n",
        )
        .unwrap();
        fs::write(folder.join("kernel/a-b.ko"), b"AB").unwrap();
        fs::write(folder.join("kernel/c.ko"), b"C").unwrap();
        folder
    }
}

fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn guest_agent_and_plan_are_where_the_guest_looks() {
    let bench = Bench::new();
    let packed = bench.pack(None).unwrap();
    for text in [
        "init\0",
        "GUEST",
        "usr/bin/aegisbpf\0",
        "AGENT",
        "plan.json\0",
        r#""kernel":"6.1""#,
        "lib/modules/load-order\0",
    ] {
        assert!(holds(&packed.path, text), "{text:?}");
    }
    assert_eq!(packed.bytes, fs::metadata(&packed.path).unwrap().len());
    assert!(packed.modules.is_empty() && packed.missing_modules.is_empty());
    let files = fs::read_dir(bench.path("out")).unwrap().count();
    assert_eq!(files, 1, "nothing but the image is left behind");
}

#[test]
fn modules_are_packed_in_load_order_and_missing_ones_named() {
    let mut bench = Bench::new();
    bench.image.modules = vec!["a_b".to_owned(), "gone".to_owned()];
    let packed = bench.pack(Some(&bench.modules())).unwrap();
    assert_eq!(packed.modules, ["c.ko", "a_b.ko"]);
    assert_eq!(packed.missing_modules, ["gone"]);
    assert!(holds(&packed.path, "c.ko\na_b.ko\n"));
}

#[test]
fn a_kernel_without_modules_lacks_all_that_are_asked_for() {
    let mut bench = Bench::new();
    bench.image.modules = vec!["overlay".to_owned()];
    assert_eq!(bench.pack(None).unwrap().missing_modules, ["overlay"]);
}

#[test]
fn the_same_input_gives_the_same_image() {
    let bench = Bench::new();
    let first = fs::read(bench.pack(None).unwrap().path).unwrap();
    assert_eq!(first, fs::read(bench.pack(None).unwrap().path).unwrap());
}

#[test]
fn a_missing_agent_is_named() {
    let bench = Bench::new();
    fs::remove_file(bench.path("agent")).unwrap();
    let failure = bench.pack(None).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(
        failure.to_string().contains("cannot read the agent"),
        "{failure}"
    );
    assert!(!bench.path("out").exists(), "nothing is left behind");
}

#[test]
fn images_cannot_replace_what_the_harness_puts_in() {
    let mut bench = Bench::new();
    let other = Node::File {
        mode: 0o755,
        content: Vec::new(),
    };
    bench.image.tree.insert("/init", other).unwrap();
    assert_eq!(bench.pack(None).unwrap_err().code, ExitCode::Usage);
}
