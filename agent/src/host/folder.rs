//! Folders in which nobody but root can put, replace or lead elsewhere what the agent writes.
//!
//! In: a path. Out: a descriptor of the folder, after a look at every folder and link on the way to
//! it, or a [`Weakness`] that says who could do what. What is written then goes by the descriptor, so
//! that nothing on the way matters any more.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use crate::output::text;

/// As many links as the kernel follows on one way.
const LINKS: usize = 40;

/// A folder's name, in which nobody else finds anything: what is in there is nobody else's to lock.
const CLOSED: &str = ".aegisbpf";

const SEARCH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a folder is to the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is passed, and what comes next is there and root's. Where the sticky bit is set, others
    /// may put names into it, but neither remove nor replace root's.
    Passed,
    /// Names are made in it.
    End,
    /// Nobody else may even enter it.
    Closed,
}

/// Why others than root could have a say in what is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Weakness {
    place: PathBuf,
    why: &'static str,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", text::path(&self.place), self.why)
    }
}

impl std::error::Error for Weakness {}

/// Opens a folder in which only root may write, and to which only root can lead. What isn't there
/// is made.
///
/// # Errors
/// A [`Weakness`], or the kernel's.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let path = std::path::absolute(path).context("no folder to start from")?;
    let mut rest: VecDeque<OsString> = names(&path);
    let (mut at, mut here) = (PathBuf::from("/"), root()?);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        check(&here, Place::Passed, &at)?;
        let next = at.join(&name);
        let opened = match openat(&here, &name, SEARCH, Mode::empty()) {
            Err(Errno::NOENT) => {
                made(mkdirat(&here, &name, Mode::from(0o755)))
                    .with_context(|| format!("mkdir {}", next.display()))?;
                openat(&here, &name, SEARCH, Mode::empty())
            }
            opened => opened,
        };
        let opened = opened.with_context(|| format!("failed to open {}", next.display()))?;
        let stat = fstat(&opened).with_context(|| next.display().to_string())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            (at, here) = (next, opened);
            continue;
        }
        // Whoever owns a link says where it leads.
        if !is_own(&stat) {
            let why = "it is a link that belongs to somebody else than root";
            return Err(Weakness { place: next, why }.into());
        }
        links += 1;
        if links > LINKS {
            let error = io::Error::from(Errno::LOOP);
            return Err(error).with_context(|| next.display().to_string());
        }
        let target = readlinkat(&opened, "", Vec::new());
        let target = target.with_context(|| format!("failed to read {}", next.display()))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            (at, here) = (PathBuf::from("/"), root()?);
        }
        for name in names(&target).into_iter().rev() {
            rest.push_front(name);
        }
    }
    check(&here, Place::End, &at)?;
    Ok(here)
}

/// Opens the closed folder in a folder, and makes it where it isn't there.
///
/// # Errors
/// A [`Weakness`], or the kernel's.
pub fn closed(folder: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    let path = path.join(CLOSED);
    made(mkdirat(folder, CLOSED, Mode::RWXU))
        .with_context(|| format!("mkdir {}", path.display()))?;
    let opened = openat(folder, CLOSED, SEARCH, Mode::empty());
    let opened = opened.with_context(|| format!("failed to open {}", path.display()))?;
    check(&opened, Place::Closed, &path)?;
    Ok(opened)
}

/// The root of this process.
fn root() -> Result<OwnedFd> {
    openat(CWD, "/", SEARCH, Mode::empty()).context("failed to open /")
}

/// The names of a path, in their order.
fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.map(OsStr::to_owned).collect()
}

/// That it was there already is as good.
fn made(made: Result<(), Errno>) -> Result<(), Errno> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

fn check(folder: &OwnedFd, place: Place, path: &Path) -> Result<()> {
    let stat = fstat(folder).with_context(|| path.display().to_string())?;
    match weakness(place, is_own(&stat), stat.st_mode) {
        None => Ok(()),
        Some(why) => {
            let place = path.to_owned();
            Err(Weakness { place, why }.into())
        }
    }
}

/// Whether it is root's; or this process's own, which is root where anything is written.
fn is_own(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Why others have a say in a folder of this mode. With an access control list, the group's bits say
/// what anybody on it may do at most.
fn weakness(place: Place, own: bool, mode: u32) -> Option<&'static str> {
    const STICKY: u32 = 0o1000;
    if FileType::from_raw_mode(mode) != FileType::Directory {
        return Some("it is no folder");
    }
    if !own {
        return Some("it belongs to somebody else than root");
    }
    match place {
        Place::Passed if mode & 0o022 != 0 && mode & STICKY == 0 => {
            Some("others than root may replace what is in it")
        }
        Place::End if mode & 0o022 != 0 => Some("others than root may write to it"),
        Place::Closed if mode & 0o077 != 0 => Some("others than root may enter it"),
        Place::Passed | Place::End | Place::Closed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    const FOLDER: u32 = 0o040_000;
    const LINK: u32 = 0o120_000;

    #[test]
    fn a_folder_is_weak_where_others_may_change_what_it_is_used_for() {
        use Place::{Closed, End, Passed};

        for (place, mode, weak) in [
            (Passed, 0o755, false),
            (Passed, 0o1777, false),
            (Passed, 0o777, true),
            (Passed, 0o775, true),
            (Passed, 0o757, true),
            (End, 0o755, false),
            (End, 0o700, false),
            (End, 0o775, true),
            (End, 0o1777, true),
            (End, 0o1775, true),
            (Closed, 0o700, false),
            (Closed, 0o711, true),
            (Closed, 0o750, true),
            (Closed, 0o701, true),
        ] {
            let found = weakness(place, true, FOLDER | mode).is_some();
            assert_eq!(found, weak, "{place:?} {mode:o}");
            assert!(weakness(place, false, FOLDER | mode).is_some());
            assert!(weakness(place, true, LINK | 0o777).is_some());
        }
    }

    /// A folder that only this user may write to, somewhere in a sticky one.
    fn ground() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn why(path: &Path) -> String {
        open(path)
            .unwrap_err()
            .downcast::<Weakness>()
            .unwrap()
            .to_string()
    }

    #[test]
    fn what_is_not_there_is_made_and_links_of_ones_own_are_followed() {
        let ground = ground();
        let real = ground.path().join("real");
        fs::create_dir(&real).unwrap();
        symlink("real/../real", ground.path().join("link")).unwrap();
        symlink(&real, ground.path().join("absolute")).unwrap();
        for by in ["link", "absolute"] {
            let opened = open(&ground.path().join(by).join("a/b")).unwrap();
            let there = fs::metadata(real.join("a/b")).unwrap();
            assert_eq!(fstat(&opened).unwrap().st_ino, there.ino());
        }
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let ground = ground();
        symlink("loop", ground.path().join("loop")).unwrap();
        let error = open(&ground.path().join("loop/x")).unwrap_err();
        assert_eq!(
            error.downcast_ref::<io::Error>().unwrap().raw_os_error(),
            Some(libc::ELOOP)
        );
    }

    #[test]
    fn whoever_may_write_on_the_way_or_at_its_end_is_named_with_the_place() {
        let ground = ground();
        let outer = ground.path().join("outer");
        fs::create_dir_all(outer.join("inner")).unwrap();
        set_mode(&outer, 0o777);
        let shown = outer.display();
        let replace = format!("{shown}: others than root may replace what is in it");
        assert_eq!(why(&outer.join("inner")), replace);
        assert_eq!(
            why(&outer),
            format!("{shown}: others than root may write to it")
        );
        // Only names that nobody else can replace.
        set_mode(&outer, 0o1777);
        assert!(open(&outer.join("inner")).is_ok());
        assert_eq!(
            why(&outer),
            format!("{shown}: others than root may write to it")
        );
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_no_folder() {
        let ground = ground();
        let file = ground.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(why(&file), format!("{}: it is no folder", file.display()));
        assert!(open(&file.join("x")).is_err());
    }

    #[test]
    fn the_closed_folder_is_entered_by_nobody_else() {
        let ground = ground();
        let folder = open(ground.path()).unwrap();
        closed(&folder, ground.path()).unwrap();
        let path = ground.path().join(CLOSED);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        // It is there already.
        closed(&folder, ground.path()).unwrap();
        set_mode(&path, 0o755);
        assert!(closed(&folder, ground.path()).is_err());
        fs::remove_dir(&path).unwrap();
        symlink("/", &path).unwrap();
        assert!(closed(&folder, ground.path()).is_err());
    }
}
