//! Writes an initramfs: a cpio archive in the `newc` format that the kernel unpacks.
//!
//! In: a tree of paths. Out: the archive's bytes, always the same for the same tree: sorted,
//! owned by root, dated 1970. The format is described in the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::bail;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Dir {
        /// Its permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Its permission bits.
        mode: u32,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// What it points to.
        target: String,
    },
    /// A character device.
    Device {
        /// Its permission bits.
        mode: u32,
        /// Its driver.
        major: u32,
        /// Its number there.
        minor: u32,
    },
}

/// A tree to be written. Sorted by path, which puts every folder before what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts a node at an absolute path, and folders above it where there are none.
    pub fn insert(&mut self, path: &str, node: Node) -> anyhow::Result<()> {
        let inner = path.strip_prefix('/').unwrap_or_default();
        let odd =
            |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
        if inner.split('/').any(odd) {
            bail!("{path:?} isn't a plain absolute path");
        }
        for (slash, _) in inner.match_indices('/') {
            let parent = &inner[..slash];
            match self.nodes.get(parent) {
                Some(Node::Dir { .. }) => {}
                Some(_) => bail!("{path:?} lies below /{parent}, which isn't a folder"),
                None => {
                    let folder = Node::Dir { mode: 0o755 };
                    self.nodes.insert(parent.to_owned(), folder);
                }
            }
        }
        match (self.nodes.get(inner), &node) {
            // Made on the way to something in it, and now described.
            (Some(Node::Dir { .. }), Node::Dir { .. }) | (None, _) => {}
            (Some(_), _) => bail!("{path:?} is there twice"),
        }
        self.nodes.insert(inner.to_owned(), node);
        Ok(())
    }

    /// Writes the archive.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (number, (path, node)) in (1..).zip(&self.nodes) {
            write_node(out, number, path, node)?;
        }
        write_record(
            out,
            &Record {
                name: "TRAILER!!!",
                ..Record::default()
            },
        )
    }
}

/// One header with its name and content.
#[derive(Default)]
struct Record<'a> {
    number: u32,
    mode: u32,
    links: u32,
    device: (u32, u32),
    name: &'a str,
    content: &'a [u8],
}

fn write_node(out: &mut impl Write, number: u32, name: &str, node: &Node) -> io::Result<()> {
    let record = Record {
        number,
        name,
        links: 1,
        ..Record::default()
    };
    let record = match node {
        Node::Dir { mode } => Record {
            mode: DIRECTORY | mode,
            links: 2,
            ..record
        },
        Node::File { mode, content } => Record {
            mode: REGULAR | mode,
            content,
            ..record
        },
        Node::Link { target } => Record {
            mode: SYMLINK | 0o777,
            content: target.as_bytes(),
            ..record
        },
        Node::Device { mode, major, minor } => Record {
            mode: CHARACTER | mode,
            device: (*major, *minor),
            ..record
        },
    };
    write_record(out, &record)
}

fn write_record(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    let too_big = |_| io::Error::other("a file of 4 GiB or more doesn't fit in an initramfs");
    let size = u32::try_from(record.content.len()).map_err(too_big)?;
    let name_size = u32::try_from(record.name.len() + 1).map_err(too_big)?;
    let (major, minor) = record.device;
    // Owner, group, time, the device that the archive is on, and the checksum stay 0.
    let fields = [
        record.number,
        record.mode,
        0,
        0,
        record.links,
        0,
        size,
        0,
        0,
        major,
        minor,
        name_size,
        0,
    ];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(record.name.as_bytes())?;
    out.write_all(b"\0")?;
    pad(out, 110 + record.name.len() + 1)?;
    out.write_all(record.content)?;
    pad(out, record.content.len())
}

/// Names and contents end at a multiple of four.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.wrapping_neg() % 4])
}

#[cfg(test)]
mod tests;
