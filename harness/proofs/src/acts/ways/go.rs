//! How a way is tried: which file it leads to, what is passed to the kernel, and the act.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Error, Result};
use protocol::record::Helper;
use rustix::io::Errno;

use super::trees::{self, Tree};
use crate::acts::cause::NotHere;

/// Why an act gave no descriptor.
pub enum Failure {
    /// It never came to the forbidden call.
    NotTried(Error),
    /// This kernel has no such way, for this reason.
    Missing(NotHere),
    /// The forbidden call failed.
    Refused(Errno),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.downcast() {
            Ok(not_here) => Self::Missing(not_here),
            Err(error) => Self::NotTried(error),
        }
    }
}

/// What an act has to go by beside its way.
pub struct Setting<'a> {
    /// Where.
    pub tree: Tree,
    /// The secret, opened before the agent started.
    pub held: BorrowedFd<'a>,
    /// The socket from which that descriptor is received, for [`Before::Sent`].
    pub sent: Option<BorrowedFd<'a>>,
    /// Where what leaks goes.
    pub output: BorrowedFd<'a>,
    /// Called with the process that acted in place of this one.
    pub tell_helper: &'a dyn Fn(Helper) -> Result<()>,
}

/// The descriptor to read the secret from, if the act is one that yields any. A successful
/// `execve(2)` doesn't come back.
pub type Gone = Result<Option<OwnedFd>, Failure>;

/// What must be set up before the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// To be forked.
    Nothing,
    /// To be no process of its own: pid 1 itself opens the file.
    PidOne,
    /// To be the first of a pid namespace.
    PidNamespace,
    /// To be in a user namespace of its own. It has no name there: nothing is mapped.
    UserNamespace,
    /// The file to be gone.
    Removed,
    /// A socket from which the file, opened before the agent started, can be received.
    Sent,
}

/// How a way is tried.
#[derive(Debug, Clone, Copy)]
pub struct Go {
    /// The file that it leads to, relative to the tree's root.
    pub file: fn(Tree) -> String,
    /// Makes the path for the kernel from the file's name; none if no path is passed.
    pub passes: fn(Tree, &str) -> Option<String>,
    /// Where it leaves its effect, if not in that file.
    pub leaves: Option<&'static str>,
    /// What comes before it.
    pub before: Before,
    /// The act itself, with the path.
    pub act: fn(&Setting, &CStr) -> Gone,
}

impl Go {
    /// By this act, on the file that is only ever read, by its own path.
    pub const fn by(act: fn(&Setting, &CStr) -> Gone) -> Self {
        Self {
            file: |_| trees::SECRET.to_owned(),
            passes: |tree, file| Some(tree.path(file)),
            leaves: None,
            before: Before::Nothing,
            act,
        }
    }

    /// The same, to another file.
    pub const fn to(self, file: fn(Tree) -> String) -> Self {
        Self { file, ..self }
    }

    /// The same, with another path.
    pub const fn passing(self, passes: fn(Tree, &str) -> Option<String>) -> Self {
        Self { passes, ..self }
    }

    /// The same, by the bare name of the file.
    pub const fn by_name(self) -> Self {
        self.passing(|_, file| Some(file.to_owned()))
    }

    /// The same, with no path at all.
    pub const fn without_path(self) -> Self {
        self.passing(|_, _| None)
    }

    /// The same, with its effect at another name.
    pub const fn leaving(self, name: &'static str) -> Self {
        let leaves = Some(name);
        Self { leaves, ..self }
    }

    /// The same, after this.
    pub const fn after(self, before: Before) -> Self {
        Self { before, ..self }
    }

    /// The path by which the agent knows the rule that covers the file.
    pub fn target(&self, tree: Tree) -> String {
        let file = (self.file)(tree);
        match file.split_once('/') {
            Some((folder, _)) => tree.path(folder),
            None => tree.path(&file),
        }
    }

    /// The path that it passes to the kernel.
    pub fn passed(&self, tree: Tree) -> Option<String> {
        (self.passes)(tree, &(self.file)(tree))
    }
}
