//! Worlds that lack what a kernel may lack, for proofs that must notice and not call it a denial.
//!
//! In: the world. Out: what imitates it: a system call that fails in the processes that act, or a
//! limit of 0 until [`Lost`] is dropped.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use protocol::sabotage::World;

use crate::acts::ways::raw::Refusal;

/// How many user namespaces there may be.
pub const MAX_USER_NAMESPACES: &str = "/proc/sys/user/max_user_namespaces";

/// Why there are no user namespaces to be had here, if so.
pub fn lacks_user_namespaces() -> Option<&'static str> {
    if !Path::new("/proc/self/ns/user").exists() {
        return Some("the kernel has no user namespaces (CONFIG_USER_NS)");
    }
    let allowed = fs::read_to_string(MAX_USER_NAMESPACES).unwrap_or_default();
    (allowed.trim() == "0").then_some(
        "the kernel's user namespaces (CONFIG_USER_NS) are switched off by \
         user.max_user_namespaces=0",
    )
}

/// What is lost until this is dropped.
pub struct Lost {
    call: Option<World>,
    namespaces: Option<String>,
}

impl Lost {
    /// Takes away what the world lacks.
    ///
    /// # Errors
    /// It can't be taken away.
    pub fn of(world: Option<World>) -> Result<Self> {
        let mut lost = Self {
            call: world.filter(|world| refusal(*world).is_some()),
            namespaces: None,
        };
        if world == Some(World::NoUserNamespaces) {
            let allowed =
                fs::read_to_string(MAX_USER_NAMESPACES).context("how many there may be")?;
            fs::write(MAX_USER_NAMESPACES, "0").context("allowing no user namespaces")?;
            lost.namespaces = Some(allowed);
        }
        Ok(lost)
    }

    /// The world that lacks a call, which each process must give up by itself.
    pub fn call(&self) -> Option<World> {
        self.call
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if let Some(allowed) = &self.namespaces
            && let Err(error) = fs::write(MAX_USER_NAMESPACES, allowed)
        {
            // The proofs that need some will say so.
            eprintln!("guest: allowing user namespaces again: {error}");
        }
    }
}

/// What stands for the missing call in a world that lacks one: what a kernel without it answers.
pub fn refusal(world: World) -> Option<Refusal> {
    let call = |number| Some(Refusal::Call(number, libc::ENOSYS));
    match world {
        World::NoIoUring => call(libc::SYS_io_uring_setup),
        World::NoUserfaultfd => call(libc::SYS_userfaultfd),
        World::NoFanotify => call(libc::SYS_fanotify_init),
        World::NoIa32 => Some(Refusal::Ia32(libc::ENOSYS)),
        World::SecretMissing | World::ArmSkipped | World::NoUserNamespaces => None,
    }
}
