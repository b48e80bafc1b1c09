//! The watcher on real folders: what it tells of, and what it lets pass.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegisbpf::follow::{Affected, Changed, Watcher};
use tempfile::TempDir;

/// A folder of its own, without links in its name.
struct Lab {
    _folder: TempDir,
    root: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        Self {
            _folder: folder,
            root,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn folder(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    fn file(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

/// Runs a test in a runtime; one that waits in vain fails.
fn within_a_minute(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, test).await.expect("no wakeup");
    });
}

fn set(watcher: &mut Watcher, paths: &[PathBuf]) {
    let unwatched = watcher.set(paths.iter().map(PathBuf::as_path));
    assert_eq!(unwatched, []);
}

fn told(changed: Changed) -> BTreeSet<PathBuf> {
    assert!(changed.since <= Instant::now());
    match changed.paths {
        Affected::Paths(paths) => paths,
        Affected::All => panic!("told of all paths"),
    }
}

/// Watches `watched` in a lab, lets `change` happen, and checks that it is told for each of
/// `expected` and for nothing else.
fn check(prepare: impl Fn(&Lab), watched: &[&str], change: impl Fn(&Lab), expected: &[&str]) {
    let lab = Lab::new();
    prepare(&lab);
    let watched: Vec<PathBuf> = watched.iter().map(|name| lab.path(name)).collect();
    let expected: BTreeSet<PathBuf> = expected.iter().map(|name| lab.path(name)).collect();
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &watched);
        change(&lab);
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
    });
}

fn one_file(lab: &Lab) {
    lab.folder("folder");
    lab.file("folder/file");
    lab.file("folder/neighbour");
}

#[test]
fn a_file_that_appears_is_told() {
    let watched = ["folder/new", "folder/file"];
    check(
        one_file,
        &watched,
        |lab| lab.file("folder/new"),
        &["folder/new"],
    );
}

#[test]
fn a_second_name_given_to_a_file_is_told() {
    let link = |lab: &Lab| {
        fs::hard_link(lab.path("folder/file"), lab.path("folder/new")).unwrap();
    };
    check(
        one_file,
        &["folder/new", "folder/file"],
        link,
        &["folder/new"],
    );
}

#[test]
fn a_file_that_goes_and_comes_back_is_told_each_time() {
    let lab = Lab::new();
    one_file(&lab);
    let file = [lab.path("folder/file")];
    let expected = BTreeSet::from(file.clone());
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &file);
        for _ in 0..3 {
            fs::remove_file(&file[0]).unwrap();
            assert_eq!(told(watcher.changed().await.unwrap()), expected);
            set(&mut watcher, &file);
            lab.file("folder/file");
            assert_eq!(told(watcher.changed().await.unwrap()), expected);
            set(&mut watcher, &file);
        }
    });
}

#[test]
fn a_rename_over_a_file_is_told_and_its_source_isn_t() {
    let rename = |lab: &Lab| lab.rename("folder/neighbour", "folder/file");
    check(one_file, &["folder/file"], rename, &["folder/file"]);
}

#[test]
fn a_rename_of_a_folder_on_the_way_is_told_for_all_beneath() {
    let prepare = |lab: &Lab| lab.folder("a/b/c");
    let watched = ["a/b/c/one", "a/b/two", "a/three"];
    let told = ["a/b/c/one", "a/b/two"];
    check(prepare, &watched, |lab| lab.rename("a/b", "a/d"), &told);
}

#[test]
fn a_folder_that_takes_another_s_place_is_watched_in_its_stead() {
    let lab = Lab::new();
    lab.folder("a");
    lab.folder("b");
    let file = [lab.path("a/file")];
    let expected = BTreeSet::from(file.clone());
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &file);
        lab.rename("a", "c");
        lab.rename("b", "a");
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
        set(&mut watcher, &file);
        // In the folder that was there, and in the one that is.
        lab.file("c/file");
        lab.file("a/file");
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
        fs::remove_dir_all(lab.path("a")).unwrap();
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
        set(&mut watcher, &file);
        lab.folder("a");
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
    });
}

#[test]
fn a_link_that_is_swapped_is_told_wherever_it_stands_on_the_way() {
    let prepare = |lab: &Lab| {
        lab.folder("one");
        lab.folder("two");
        symlink("middle/file", lab.path("outer")).unwrap();
        symlink("inner", lab.path("middle")).unwrap();
        symlink("one", lab.path("inner")).unwrap();
        symlink("two", lab.path("next")).unwrap();
    };
    for link in ["outer", "middle", "inner"] {
        let swap = |lab: &Lab| lab.rename("next", link);
        check(prepare, &["outer", "two/file"], swap, &["outer"]);
    }
    let target = |lab: &Lab| lab.file("one/file");
    check(prepare, &["outer", "two/file"], target, &["outer"]);
}

#[test]
fn folders_that_appear_one_after_the_other_are_followed_to_the_file() {
    let lab = Lab::new();
    let file = [lab.path("a/b/c/file")];
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &file);
        for step in ["a", "a/b", "a/b/c", "a/b/c/file"] {
            lab.folder(step);
            let expected = BTreeSet::from(file.clone());
            assert_eq!(told(watcher.changed().await.unwrap()), expected, "{step}");
            set(&mut watcher, &file);
        }
    });
}

/// Somebody else makes folders and file as fast as he can, at any moment of the watcher's
/// work. A loop as the agent has it must see the file in the end, without any other cue.
#[test]
fn folders_that_race_with_the_watcher_hide_no_file() {
    for round in 0..200 {
        let lab = Lab::new();
        let file = [lab.path("a/b/c/d/file")];
        within_a_minute(async {
            let mut watcher = Watcher::new().unwrap();
            set(&mut watcher, &file);
            let path = file[0].clone();
            let writer = std::thread::spawn(move || {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            });
            while !file[0].exists() {
                watcher.changed().await.unwrap();
                set(&mut watcher, &file);
            }
            writer.join().unwrap();
        });
        assert!(file[0].exists(), "{round}");
    }
}

#[test]
fn noise_is_not_told() {
    let noise_and_a_change = |lab: &Lab| {
        for name in ["noise", "folder/noise", "folder/fil", "folder/file2"] {
            lab.file(name);
            lab.rename(name, "away");
            fs::remove_file(lab.path("away")).unwrap();
        }
        // What is read and written stays what it is.
        fs::write(lab.path("folder/file"), "more").unwrap();
        lab.folder("folder/file3/file");
        lab.file("folder/new");
    };
    let watched = ["folder/file", "folder/new"];
    check(one_file, &watched, noise_and_a_change, &["folder/new"]);
}

#[test]
fn set_to_the_same_paths_loses_nothing_and_set_to_others_forgets() {
    let lab = Lab::new();
    lab.folder("a");
    lab.folder("b");
    let (first, second) = (lab.path("a/file"), lab.path("b/file"));
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, std::slice::from_ref(&first));
        lab.file("a/file");
        set(&mut watcher, std::slice::from_ref(&first));
        let told_first = told(watcher.changed().await.unwrap());
        assert_eq!(told_first, BTreeSet::from([first]));

        set(&mut watcher, std::slice::from_ref(&second));
        fs::remove_file(lab.path("a/file")).unwrap();
        lab.file("b/file");
        let told_second = told(watcher.changed().await.unwrap());
        assert_eq!(told_second, BTreeSet::from([second]));
    });
}

#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let lab = Lab::new();
    let file = [lab.path("file")];
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &file);
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = watcher.changed() => panic!("told of nothing"),
                _ = tokio::task::yield_now() => {}
            }
        }
        lab.file("file");
        assert_eq!(told(watcher.changed().await.unwrap()), BTreeSet::from(file));
    });
}

#[test]
fn ten_thousand_paths_are_set_quickly_and_one_of_them_is_told() {
    let lab = Lab::new();
    lab.folder("a/b/c");
    let paths: Vec<PathBuf> = (0..10_000)
        .map(|n| lab.path(&format!("a/b/c/{n}")))
        .collect();
    for path in &paths {
        fs::write(path, "").unwrap();
    }
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &paths);
        let start = Instant::now();
        set(&mut watcher, &paths);
        println!("set again: {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10));
        fs::remove_file(&paths[77]).unwrap();
        let expected = BTreeSet::from([paths[77].clone()]);
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
        // All of them at once, again and again: told for all, and no slower for it.
        let start = Instant::now();
        for _ in 0..2_000 {
            lab.rename("a/b", "a/d");
            lab.rename("a/d", "a/b");
        }
        println!("renamed: {:?}", start.elapsed());
        assert_eq!(told(watcher.changed().await.unwrap()).len(), paths.len());
        println!("told: {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

/// More events than the queue holds, unread.
#[test]
fn a_queue_that_overflows_is_told_as_all() {
    let sysctl = "/proc/sys/fs/inotify/max_queued_events";
    let size: usize = fs::read_to_string(sysctl).unwrap().trim().parse().unwrap();
    let lab = Lab::new();
    lab.folder("folder");
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &[lab.path("folder/file")]);
        // Each is two events, and no two in a row are the same.
        for _ in 0..=size / 2 {
            lab.file("folder/noise");
            fs::remove_file(lab.path("folder/noise")).unwrap();
        }
        assert_eq!(watcher.changed().await.unwrap().paths, Affected::All);
    });
}

/// Set where a test that changes the machine runs in namespaces of its own.
const WITHIN: &str = "AEGISBPF_TEST_NAMESPACES";

/// Whether it does; elsewhere such a test does nothing, and another one runs it.
fn within_namespaces() -> bool {
    std::env::var_os(WITHIN).is_some()
}

/// Set where no test may be left out; `cargo xtask test` does it.
const TEST_ALL: &str = "AEGISBPF_TEST_ALL";

/// Runs such a test where this user is root of namespaces of its own. Where there are
/// none to be had, says so and leaves it.
fn in_namespaces(test: &str) {
    let unshare = |arguments: &[&str]| {
        std::process::Command::new("unshare")
            .env(WITHIN, "1")
            .args(["--user", "--map-root-user", "--mount"])
            .args(arguments)
            .output()
    };
    let probe = unshare(&["true"]);
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        let said = match &probe {
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("unshare: {error}"),
        };
        // The kernel makes no user namespace for a process in a chroot, root's or not.
        let why = format!(
            "there are no namespaces to be had here ({said}): raise the sysctl \
             user.max_user_namespaces, and run it neither in a chroot nor in a container that \
             forbids unshare"
        );
        assert!(std::env::var_os(TEST_ALL).is_none(), "{TEST_ALL}: {why}");
        eprintln!("not tested: {why}");
        return;
    }
    let program = std::env::current_exe().unwrap().display().to_string();
    let output = unshare(&[&program, "--exact", test]).unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn mounts_on_the_way_are_told() {
    in_namespaces("mounts");
}

#[test]
fn too_few_watches_are_told_with_the_way_out_and_old_ones_make_room() {
    in_namespaces("few_watches");
}

#[test]
fn few_watches() {
    if !within_namespaces() {
        return;
    }
    let lab = Lab::new();
    lab.folder("a");
    lab.folder("b");
    let (a, b) = (lab.path("a/file"), lab.path("b/file"));
    // The folders on the way to one file, and none for another.
    let watches = a.parent().unwrap().components().count();
    fs::write("/proc/sys/user/max_inotify_watches", watches.to_string()).unwrap();
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, std::slice::from_ref(&a));
        set(&mut watcher, std::slice::from_ref(&b));

        let unwatched = watcher.set([b.as_path(), a.as_path()].into_iter());
        assert_eq!(unwatched.len(), 1);
        assert_eq!(unwatched[0].folder, lab.path("a"));
        let way_out = "raise the sysctl fs.inotify.max_user_watches";
        assert_eq!(unwatched[0].way_out, way_out);
        // The rest is watched still.
        lab.file("b/file");
        let expected = BTreeSet::from([b]);
        assert_eq!(told(watcher.changed().await.unwrap()), expected);
    });
}

/// Other mounts of the machine may wake it too, and a wakeup without a difference is told as
/// one about all paths.
fn includes(changed: Changed, expected: &BTreeSet<PathBuf>) {
    if let Affected::Paths(paths) = changed.paths {
        assert_eq!(&paths, expected);
    }
}

#[test]
fn mounts() {
    if !within_namespaces() {
        return;
    }
    let lab = Lab::new();
    lab.folder("a/b");
    lab.folder("elsewhere");
    let file = [lab.path("a/b/file")];
    let expected = BTreeSet::from(file.clone());
    let run = |arguments: &[&str], point: &str| {
        let (program, arguments) = arguments.split_first().unwrap();
        let mut command = std::process::Command::new(program);
        let status = command.args(arguments).arg(lab.path(point)).status();
        assert!(status.unwrap().success());
    };
    let mount = |point: &str| run(&["mount", "-t", "tmpfs", "none"], point);
    let unmount = |point: &str| run(&["umount"], point);
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &file);
        mount("elsewhere");
        mount("a");
        includes(watcher.changed().await.unwrap(), &expected);
        set(&mut watcher, &file);

        lab.folder("a/b");
        includes(watcher.changed().await.unwrap(), &expected);
        set(&mut watcher, &file);
        unmount("elsewhere");
        lab.file("a/b/file");
        includes(watcher.changed().await.unwrap(), &expected);

        set(&mut watcher, &file);
        unmount("a");
        includes(watcher.changed().await.unwrap(), &expected);
        set(&mut watcher, &file);
        lab.file("a/b/file");
        includes(watcher.changed().await.unwrap(), &expected);
    });
    assert!(Path::exists(&file[0]));
}

#[test]
fn mounts_beneath_a_folder_and_others_of_the_same_are_told() {
    in_namespaces("mounts_beneath");
}

#[test]
fn mounts_beneath() {
    if !within_namespaces() {
        return;
    }
    let lab = Lab::new();
    lab.folder("a/b/c");
    lab.folder("elsewhere");
    lab.folder("another");
    let folder = [lab.path("a")];
    let expected = BTreeSet::from(folder.clone());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        let status = command.current_dir(&lab.root).args(arguments).status();
        assert!(status.unwrap().success());
    };
    within_a_minute(async {
        let mut watcher = Watcher::new().unwrap();
        set(&mut watcher, &folder);
        for (program, arguments) in [
            ("mount", &["-t", "tmpfs", "none", "a/b/c"][..]),
            ("mount", &["--bind", "a/b/c", "elsewhere"]),
            ("umount", &["elsewhere"]),
            ("umount", &["a/b/c"]),
        ] {
            run("mount", &["-t", "tmpfs", "none", "another"]);
            run(program, arguments);
            includes(watcher.changed().await.unwrap(), &expected);
            set(&mut watcher, &folder);
            run("umount", &["another"]);
        }
    });
}
