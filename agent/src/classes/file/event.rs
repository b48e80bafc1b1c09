//! What an event tells of an open beside who did it and what became of it.

use serde::Serialize;

use crate::kernel::abi::{self, RawEvent};
use crate::output::text;

/// The fields of an event that files alone have.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FileEvent {
    /// By what it matched: `inode`, `name` (of a file that wasn't there when the agent last
    /// looked), `folder`, `path`; `too_deep` or `detached`: no rule matched, but
    /// not all folders above the file could be found, so a folder rule may cover it.
    pub matched: &'static str,
    /// `read`, `write` or `read-write`: what was asked for.
    pub access: &'static str,
    /// The path as the hook saw it, as [`text::name`] writes it; null where the hook sees none.
    pub path: Option<String>,
    /// The inode as the hook saw it; null where the hook sees none.
    pub inode: Option<u64>,
    /// `MAJOR:MINOR`, beside `inode`.
    pub device: Option<String>,
}

impl FileEvent {
    /// Reads the fields of a record. `None` if they aren't ours, which no program writes.
    pub fn read(raw: &RawEvent) -> Option<Self> {
        let matched = *["path", "inode", "name", "folder", "too_deep", "detached"]
            .get(usize::from(raw.matched))?;
        let access = *["", "read", "write", "read-write"].get(usize::from(raw.access))?;
        let seen_inode = raw.ino != 0;
        Some(Self {
            matched,
            access,
            path: (raw.path[0] != 0).then(|| text::name(abi::before_nul(&raw.path))),
            inode: seen_inode.then_some(raw.ino),
            device: seen_inode.then(|| abi::device_name(raw.dev)),
        })
    }
}
