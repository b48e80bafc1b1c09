use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::testing::left_out;

fn file(content: &[u8]) -> Node {
    Node::File {
        mode: 0o644,
        content: content.to_vec(),
    }
}

fn bytes(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    tree.write(&mut out).unwrap();
    out
}

/// Reads an archive back, the way the kernel does: header, name, padding, content, padding.
fn read(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        assert_eq!(&archive[..6], b"070701");
        let field = |n: usize| {
            let text = std::str::from_utf8(&archive[6 + n * 8..14 + n * 8]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let name = String::from_utf8(archive[110..110 + name_size - 1].to_vec()).unwrap();
        assert_eq!(archive[110 + name_size - 1], 0);
        let start = (110 + name_size).next_multiple_of(4);
        let content = archive[start..start + size].to_vec();
        archive = &archive[(start + size).next_multiple_of(4)..];
        if name == "TRAILER!!!" {
            assert!(archive.is_empty());
            return all;
        }
        all.push((name, mode, content));
    }
}

#[test]
fn folders_come_before_what_is_in_them() {
    let mut tree = Tree::default();
    tree.insert("/usr/bin/agent", file(b"x")).unwrap();
    tree.insert("/usr-local", Node::Dir { mode: 0o700 })
        .unwrap();
    let names: Vec<_> = read(&bytes(&tree))
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["usr", "usr-local", "usr/bin", "usr/bin/agent"]);
}

#[test]
fn a_folder_made_on_the_way_can_still_be_described() {
    let mut tree = Tree::default();
    tree.insert("/tmp/x", file(b"")).unwrap();
    tree.insert("/tmp", Node::Dir { mode: 0o1777 }).unwrap();
    assert_eq!(read(&bytes(&tree))[0].1, DIRECTORY | 0o1777);
}

#[test]
fn a_path_that_is_odd_or_taken_is_refused() {
    let mut tree = Tree::default();
    tree.insert("/init", file(b"")).unwrap();
    for path in [
        "init", "", "/", "/a//b", "/a/../b", "/a/", "/./a", "/a\0b", "/init", "/init/x",
    ] {
        assert!(tree.insert(path, file(b"")).is_err(), "{path:?}");
    }
}

#[test]
fn cpio_reads_it() {
    // Nothing but this test needs it: the kernel is who reads the archive. But the kernel says
    // nothing about what it read.
    let Ok(mut child) = Command::new("cpio")
        .args(["--list", "--verbose", "--quiet", "--numeric-uid-gid"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        left_out("there is no cpio here (the package cpio)");
        return;
    };
    let mut tree = Tree::default();
    let device = Node::Device {
        mode: 0o600,
        major: 5,
        minor: 1,
    };
    tree.insert("/dev/console", device).unwrap();
    let link = Node::Link {
        target: "usr/bin".to_owned(),
    };
    tree.insert("/bin", link).unwrap();
    tree.insert("/init", file(b"12345")).unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&bytes(&tree))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for wanted in ["crw-------", "5,   1", "bin -> usr/bin", "drwxr-xr-x"] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        files in proptest::collection::btree_map("[a-z]{1,9}(/[a-z]{1,9}){0,3}", proptest::collection::vec(any::<u8>(), 0..40), 0..8)
    ) {
        let mut tree = Tree::default();
        let mut put = BTreeMap::new();
        for (path, content) in files {
            if tree.insert(&format!("/{path}"), file(&content)).is_ok() {
                put.insert(path, content);
            }
        }
        let archive = bytes(&tree);
        prop_assert_eq!(&archive, &bytes(&tree));
        let got: BTreeMap<_, _> = read(&archive)
            .into_iter()
            .filter(|(_, mode, _)| mode & 0o170_000 == REGULAR)
            .map(|(name, _, content)| (name, content))
            .collect();
        prop_assert_eq!(got, put);
    }

    #[test]
    fn any_path_is_taken_or_refused_without_a_panic(path in ".{0,20}") {
        let mut tree = Tree::default();
        if tree.insert(&path, file(b"x")).is_ok() {
            read(&bytes(&tree));
        }
    }
}
