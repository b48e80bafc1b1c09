use protocol::plan::{BootPlan, ExpectedMachine, PlannedProof};

use super::*;
use crate::exit::ExitCode;
use crate::image::artifacts::Program;

struct Bench {
    folder: tempfile::TempDir,
    artifacts: Artifacts,
    plan: GuestPlan,
    image: ImageSpec,
    disks: BTreeMap<Filesystem, Disk>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = |content: &str| Program::of(Path::new(content), content.into());
        let artifacts = Artifacts {
            agent: program("AGENT"),
            sabotaged_agent: None,
            other_agent: None,
            guest: program("GUEST"),
            commit: None,
        };
        let plan = GuestPlan {
            version: protocol::VERSION,
            kernel: "6.1".to_owned(),
            wait_ms: 1,
            boots: Vec::new(),
        };
        let image = ImageSpec::default();
        Self {
            folder,
            artifacts,
            plan,
            image,
            disks: BTreeMap::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pack(&self, modules: Option<&Path>) -> Result<Packed> {
        let input = PackInput {
            artifacts: &self.artifacts,
            plan: &self.plan,
            image: &self.image,
            disks: &self.disks,
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
fn images_cannot_replace_what_the_harness_puts_in() {
    let mut bench = Bench::new();
    let other = Node::File {
        mode: 0o755,
        content: Vec::new(),
    };
    bench.image.tree.insert("/init", other).unwrap();
    assert_eq!(bench.pack(None).unwrap_err().code, ExitCode::Usage);
}

/// A plan with one proof on each of these.
fn plan_on(bench: &mut Bench, filesystems: &[Filesystem]) {
    let proofs = filesystems.iter().map(|filesystem| PlannedProof {
        id: format!("holds-on-{}", filesystem.name()),
        configuration: "enforce".to_owned(),
        filesystem: Some(*filesystem),
        arms: Vec::new(),
    });
    bench.plan.boots = vec![BootPlan {
        boot: "bpf-lsm".to_owned(),
        machine: ExpectedMachine {
            release: String::new(),
            version_word: None,
            cmdline: Vec::new(),
            memory_mib: 256,
            processors: 1,
            bpf_in_lsm: true,
            locked_down: false,
        },
        proofs: proofs.collect(),
        bench: None,
    }];
}

#[test]
fn what_a_file_system_takes_is_packed_only_where_a_proof_on_it_is_planned() {
    let mut bench = Bench::new();
    for filesystem in [Filesystem::Xfs, Filesystem::Btrfs] {
        let spec = FilesystemSpec {
            modules: vec!["a_b".to_owned()],
            modules_where_there: vec!["gone".to_owned()],
            disk: None,
        };
        bench.image.filesystems.insert(filesystem, spec);
        let disk = Disk {
            size: 1 << 20,
            runs: vec![(8192, b"SUPERBLOCK".to_vec())],
        };
        bench.disks.insert(filesystem, disk);
    }
    let modules = bench.modules();
    let unplanned = bench.pack(Some(&modules)).unwrap();
    for text in ["SUPERBLOCK", "a_b.ko", "lib/modules/filesystems"] {
        assert!(!holds(&unplanned.path, text), "{text:?}");
    }
    plan_on(&mut bench, &[Filesystem::Xfs, Filesystem::Tmpfs]);
    let packed = bench.pack(Some(&modules)).unwrap();
    // Loaded when the proof comes, and not by every boot.
    assert_eq!(packed.modules, [""; 0]);
    assert_eq!(packed.missing_modules, [""; 0]);
    for text in [
        "lib/modules/filesystems/xfs\0",
        "c.ko\na_b.ko\n",
        "lib/modules/a_b.ko\0",
        "disks/xfs/size\0",
        "1048576",
        "disks/xfs/8192\0",
        "SUPERBLOCK",
    ] {
        assert!(holds(&packed.path, text), "{text:?}");
    }
    for text in ["btrfs", "tmpfs\0"] {
        assert!(!holds(&packed.path, text), "{text:?}");
    }
    assert_eq!(bench.pack(None).unwrap().missing_modules, ["a_b"]);
}

#[test]
fn a_module_that_two_file_systems_take_is_packed_once_and_listed_twice() {
    let mut bench = Bench::new();
    for (filesystem, modules) in [(Filesystem::Xfs, "c"), (Filesystem::Btrfs, "a_b")] {
        let spec = FilesystemSpec {
            modules: vec![modules.to_owned()],
            ..FilesystemSpec::default()
        };
        bench.image.filesystems.insert(filesystem, spec);
    }
    bench.image.modules = vec!["c".to_owned()];
    plan_on(&mut bench, &[Filesystem::Xfs, Filesystem::Btrfs]);
    let packed = bench.pack(Some(&bench.modules())).unwrap();
    assert_eq!(packed.modules, ["c.ko"]);
    let image = fs::read(&packed.path).unwrap();
    let text = String::from_utf8_lossy(&image);
    assert_eq!(text.matches("lib/modules/c.ko\0").count(), 1);
    assert_eq!(text.matches("c.ko\na_b.ko\n").count(), 1);
}
