//! Attempts at more than opening a file for reading, and the account of each as a document:
//! `{"fate", "leaked", "pid", "events"}`.
//!
//! The guest re-executes itself for each, since it may cost the process its life, and the
//! account's `events` are all that the agent told of that process.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::record::{Fate, Observation};
use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use rustix::mount::mount_bind_recursive;
use serde_json::{Value, json};

use crate::acts::act::{self, NOT_TRIED};
use crate::acts::anew;
use crate::acts::cgroup::{self, Place};
use crate::acts::handle::Handle;
use crate::acts::wait;
use crate::acts::ways::raw;

/// The content of a file whose execution prints something.
pub const SCRIPT: &str = "#!/init exclaim\n";

/// By which an attempt says that it opens for writing.
pub const WRITING: &str = "write";

/// Whom nothing is allowed to.
const USER: u32 = 65_534;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Opens a file, and copies it to the output.
    Read,
    /// The same, by a process that ignores SIGTERM.
    ReadIgnoringTerm,
    /// The same, by a process of a user's.
    ReadAsUser,
    /// The same, by a process with root's rights that a user has started, as of a set-user-ID program.
    ReadForUser,
    /// The same, by a handle of the file: `path` is a folder of its file system, `to` its [`Handle`].
    ReadByHandle,
    /// Opens it for writing only.
    Write,
    /// Opens it for reading and writing.
    ReadWrite,
    /// Opens it for appending.
    Append,
    /// Opens it for reading, and truncates it by that.
    Truncate,
    /// Executes it.
    Execute,
    /// Opens a folder and lists it.
    List,
    /// Opens a file that mustn't be there yet.
    Create,
    /// Makes a folder.
    Mkdir,
    /// Makes a FIFO.
    Mknod,
    /// Makes a symbolic link, to `to` if there is one.
    Symlink,
    /// Gives a file a second name, `to`.
    Link,
    /// Gives it another one.
    Rename,
    /// Swaps the names of two.
    Exchange,
    /// Changes its mode.
    Chmod,
    /// Gives it to the group `to`, of its owner's.
    Chown,
    /// Sets its times, to the beginning of all.
    Utimes,
    /// Empties it by its path.
    TruncateByPath,
    /// Gives it the extended attribute `to`.
    Setxattr,
    /// Takes the extended attribute `to` from it.
    Removexattr,
    /// Gives it an access control list.
    SetAcl,
    /// Takes its access control list away.
    RemoveAcl,
    /// Removes a file.
    Unlink,
    /// Removes a folder.
    Rmdir,
    /// Gives it another generation; opens it for that for reading, or for writing if `to` says so.
    Regenerate,
    /// Connects to a socket.
    Connect,
    /// Makes a subvolume of a btrfs.
    Subvolume,
    /// Makes a snapshot of one, `to`.
    Snapshot,
    /// Opens a file of procfs or sysfs, mounted anew in namespaces of the process's own, and copies it
    /// to the output.
    ReadMountedAnew,
}

/// The extended attribute that holds an access control list.
const ACCESS_LIST: &CStr = c"system.posix_acl_access";

const VERBS: [(Verb, &str); 33] = [
    (Verb::Read, "read"),
    (Verb::ReadIgnoringTerm, "read-ignoring-term"),
    (Verb::ReadAsUser, "read-as-user"),
    (Verb::ReadForUser, "read-for-user"),
    (Verb::ReadByHandle, "read-by-handle"),
    (Verb::Write, "write"),
    (Verb::ReadWrite, "read-write"),
    (Verb::Append, "append"),
    (Verb::Truncate, "truncate"),
    (Verb::Execute, "execute"),
    (Verb::List, "list"),
    (Verb::Create, "create"),
    (Verb::Mkdir, "mkdir"),
    (Verb::Mknod, "mknod"),
    (Verb::Symlink, "symlink"),
    (Verb::Link, "link"),
    (Verb::Rename, "rename"),
    (Verb::Exchange, "exchange"),
    (Verb::Chmod, "chmod"),
    (Verb::Chown, "chown"),
    (Verb::Utimes, "utimes"),
    (Verb::TruncateByPath, "truncate-by-path"),
    (Verb::Setxattr, "setxattr"),
    (Verb::Removexattr, "removexattr"),
    (Verb::SetAcl, "set-acl"),
    (Verb::RemoveAcl, "remove-acl"),
    (Verb::Unlink, "unlink"),
    (Verb::Rmdir, "rmdir"),
    (Verb::Regenerate, "regenerate"),
    (Verb::Connect, "connect"),
    (Verb::Subvolume, "subvolume"),
    (Verb::Snapshot, "snapshot"),
    (Verb::ReadMountedAnew, "read-mounted-anew"),
];

impl Verb {
    fn name(self) -> &'static str {
        let known = VERBS.iter().find(|(verb, _)| *verb == self);
        known.map_or("", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        let known = VERBS.iter().find(|(_, known)| *known == name);
        known.map(|(verb, _)| *verb)
    }
}

/// The child's side: `attempt CGROUP_DIR VERB PATH TO USER SHOWN PLACE`.
pub fn commit(arguments: &[String]) -> ExitCode {
    let [cgroup, verb, path, to, user, shown, place] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    let (Some(verb), Ok(user)) = (Verb::from_name(verb), user.parse()) else {
        return ExitCode::from(NOT_TRIED);
    };
    if cgroup::join(Path::new(cgroup)).is_err() {
        return ExitCode::from(NOT_TRIED + 1);
    }
    if user != ROOT && raw::become_user(user).is_err() {
        return ExitCode::from(NOT_TRIED + 4);
    }
    if !shown.is_empty() && show(Path::new(shown), Path::new(place)).is_err() {
        return ExitCode::from(NOT_TRIED + 5);
    }
    let error = match carry_out(verb, Path::new(path), to) {
        Ok(bytes) => match io::stdout().write_all(&bytes) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::from(NOT_TRIED + 2),
        },
        Err(error) => error,
    };
    let errno = error
        .raw_os_error()
        .and_then(|errno| u8::try_from(errno).ok());
    ExitCode::from(errno.unwrap_or(NOT_TRIED + 3))
}

/// What [`SCRIPT`] comes to.
pub fn exclaim() -> ExitCode {
    println!("executed");
    ExitCode::SUCCESS
}

/// Shows a folder, with what is mounted beneath it, or a file in another place too, in namespaces of
/// one's own, as any user can.
fn show(shown: &Path, place: &Path) -> Result<(), Errno> {
    raw::own_user_and_mount_namespace()?;
    mount_bind_recursive(shown, place)
}

/// Does it, and gives what there was to read.
fn carry_out(verb: Verb, path: &Path, to: &str) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let mode = Mode::from_raw_mode(0o600);
    match verb {
        Verb::Read => return read(File::open(path)?),
        Verb::ReadIgnoringTerm => {
            // SAFETY: ignoring a signal runs no handler, so nothing of ours is called by it.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            return read(File::open(path)?);
        }
        Verb::ReadAsUser => {
            raw::become_user(USER)?;
            return read(File::open(path)?);
        }
        Verb::ReadForUser => {
            // Its real id alone is the user's.
            // SAFETY: takes no pointer.
            match unsafe { libc::setresuid(USER, 0, 0) } {
                0 => return read(File::open(path)?),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Verb::ReadByHandle => return read(open_handle(path, to)?),
        Verb::Write => drop(options.write(true).open(path)?),
        Verb::ReadWrite => return read(options.read(true).write(true).open(path)?),
        Verb::Append => drop(options.append(true).open(path)?),
        Verb::Truncate => {
            options.read(true).custom_flags(libc::O_TRUNC);
            drop(options.open(path)?);
        }
        Verb::Execute => return Err(Command::new(path).exec()),
        Verb::List => {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            return Ok(names
                .iter()
                .flat_map(|name| name.as_bytes().to_vec())
                .collect());
        }
        Verb::Create => drop(options.write(true).create_new(true).open(path)?),
        Verb::Mkdir => fs::create_dir(path)?,
        Verb::Mknod => rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?,
        Verb::Symlink if to.is_empty() => rustix::fs::symlink("target", path)?,
        Verb::Symlink => rustix::fs::symlink(to, path)?,
        Verb::Link => fs::hard_link(path, to)?,
        Verb::Rename => fs::rename(path, to)?,
        Verb::Chmod => fs::set_permissions(path, Permissions::from_mode(0o640))?,
        Verb::Chown => {
            let group = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
            std::os::unix::fs::chown(path, None, Some(group))?;
        }
        Verb::Utimes => {
            let beginning = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: beginning,
                last_modification: beginning,
            };
            rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?;
        }
        Verb::TruncateByPath => raw::truncate(&CString::new(path.as_os_str().as_bytes())?)?,
        Verb::Setxattr => rustix::fs::setxattr(path, to, b"", XattrFlags::empty())?,
        Verb::Removexattr => rustix::fs::removexattr(path, to)?,
        Verb::SetAcl => give_list(path)?,
        Verb::RemoveAcl => rustix::fs::removexattr(path, ACCESS_LIST)?,
        Verb::Unlink => fs::remove_file(path)?,
        Verb::Rmdir => fs::remove_dir(path)?,
        Verb::Regenerate => anew::regenerate(path, to == WRITING)?,
        Verb::Connect => drop(UnixStream::connect(path)?),
        Verb::Subvolume => anew::subvolume(path)?,
        Verb::Snapshot => anew::snapshot(path, Path::new(to))?,
        Verb::ReadMountedAnew => return anew::read(path),
        Verb::Exchange => {
            rustix::fs::renameat_with(CWD, path, CWD, to, RenameFlags::EXCHANGE)?;
        }
    }
    Ok(Vec::new())
}

/// Gives a file an access control list.
///
/// # Errors
/// The kernel's.
pub fn give_list(path: &Path) -> io::Result<()> {
    let nothing = XattrFlags::empty();
    Ok(rustix::fs::setxattr(
        path,
        ACCESS_LIST,
        &access_list(),
        nothing,
    )?)
}

/// An access control list that lets one more user read, in the layout of the kernel's
/// `include/uapi/linux/posix_acl_xattr.h`.
fn access_list() -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    let mut list = VERSION.to_le_bytes().to_vec();
    // Owner, that user, group, mask and others.
    for (tag, permissions, id) in [
        (0x01_u16, 6_u16, NOBODY),
        (0x02, 4, USER),
        (0x04, 4, NOBODY),
        (0x10, 4, NOBODY),
        (0x20, 4, NOBODY),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

fn read(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One try, by a process of its own.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// By which program: this one, or a copy of it.
    pub program: &'a Path,
    /// What.
    pub verb: Verb,
    /// On what.
    pub path: &'a Path,
    /// The other path, or what else the verb takes.
    pub to: &'a Path,
    /// From where.
    pub place: Place,
    /// By which user.
    pub user: u32,
    /// In user and mount namespaces of one's own in which the first of these is mounted on the second.
    pub showing: Option<(&'a Path, &'a Path)>,
}

/// The user that an attempt is by unless it says otherwise.
const ROOT: u32 = 0;

impl<'a> Attempt<'a> {
    /// On one path, from a plain place.
    pub fn on(verb: Verb, path: &'a Path) -> Self {
        let (to, place) = (Path::new(""), Place::Plain);
        Self {
            program: Path::new("/proc/self/exe"),
            verb,
            path,
            to,
            place,
            user: ROOT,
            showing: None,
        }
    }

    /// On two paths, from a plain place.
    pub fn between(verb: Verb, path: &'a Path, to: &'a Path) -> Self {
        Self {
            to,
            ..Self::on(verb, path)
        }
    }

    /// The same by a copy of this program.
    pub fn by(self, program: &'a Path) -> Self {
        Self { program, ..self }
    }

    /// The same by a user who has nothing that root has.
    pub fn as_user(self, user: u32) -> Self {
        Self { user, ..self }
    }

    /// The same in user and mount namespaces of one's own, in which a folder or a file is shown in
    /// another place too.
    pub fn showing(self, shown: &'a Path, place: &'a Path) -> Self {
        let showing = Some((shown, place));
        Self { showing, ..self }
    }

    /// The same from an exempt place.
    pub fn exempt(self) -> Self {
        let place = Place::Exempt;
        Self { place, ..self }
    }

    /// Tries, and gives the account.
    ///
    /// # Errors
    /// The process couldn't be started, or didn't end within the limit.
    pub fn make(&self, limit: Duration) -> Result<Value> {
        let (shown, place) = self.showing.unwrap_or((Path::new(""), Path::new("")));
        let mut child = Command::new(self.program)
            .args(["attempt".as_ref(), self.place.dir().as_os_str()])
            .arg(self.verb.name())
            .args([self.path, self.to])
            .arg(self.user.to_string())
            .args([shown, place])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the process that attempts it")?;
        let pid = child.id();
        let mut output = child.stdout.take().context("its stdout is piped")?;
        // Safe to read after its end: what there is to read is far smaller than a pipe's buffer.
        let status = wait::ended(&mut child, limit, "the process that attempts it")?;
        let mut bytes = Vec::new();
        output
            .read_to_end(&mut bytes)
            .context("reading its output")?;
        let leaked = !bytes.is_empty();
        Ok(json!({"fate": word(act::fate(status)), "leaked": leaked, "pid": pid, "events": null}))
    }

    /// Tries, and gives only what came of it.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn fate(&self, limit: Duration) -> Result<Value> {
        Ok(self.make(limit)?["fate"].take())
    }
}

/// An account with what else came of the attempt, as an observation.
pub fn account(mut document: Value, also: Value) -> Observation {
    if let (Value::Object(document), Value::Object(also)) = (&mut document, also) {
        document.extend(also);
    }
    Observation::Document { document }
}

/// A fate in the word by which a plan's clauses know it.
pub fn word(fate: Fate) -> String {
    match fate {
        Fate::Allowed => "allowed".to_owned(),
        Fate::Denied { errno: libc::EPERM } => "EPERM".to_owned(),
        Fate::Denied { errno } => format!("errno {errno}"),
        Fate::Killed {
            signal: libc::SIGKILL,
        } => "SIGKILL".to_owned(),
        Fate::Killed {
            signal: libc::SIGTERM,
        } => "SIGTERM".to_owned(),
        Fate::Killed { signal } => format!("signal {signal}"),
        Fate::Broken { code } => format!("not tried: {code}"),
    }
}

/// Whether a document is an account to which nothing was added yet.
pub fn awaits(document: &Value) -> bool {
    document.get("events") == Some(&Value::Null)
}

/// Adds to each account what the agent told of its process, as far as a plan can know it.
pub fn join<'a>(events: &[Value], observations: impl Iterator<Item = &'a mut Observation>) {
    for observation in observations {
        let Observation::Document { document } = observation else {
            continue;
        };
        if !awaits(document) {
            continue;
        }
        let mine = events
            .iter()
            .filter(|event| event["tgid"] == document["pid"]);
        let told = mine.map(|event| {
            let [rule, hook, outcome, matched, access] =
                ["rule", "hook", "outcome", "matched", "access"].map(|field| &event[field]);
            let mut told = json!({"rule": rule, "hook": hook, "outcome": outcome,
                                  "matched": matched, "access": access});
            // Of next to nobody.
            if let Some(spared) = event["spared"].as_str() {
                told["spared"] = spared.into();
            }
            told
        });
        document["events"] = told.collect();
    }
}

fn open_handle(folder: &Path, text: &str) -> io::Result<File> {
    let odd = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let handle: Handle = text.parse().map_err(odd)?;
    Ok(handle.open(File::open(folder)?.as_fd())?.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn every_verb_is_known_by_its_name_and_no_other() {
        for (verb, name) in VERBS {
            assert_eq!(verb.name(), name);
            assert_eq!(Verb::from_name(name), Some(verb));
        }
        assert_eq!(Verb::from_name("unlink-all"), None);
    }

    #[test]
    fn a_fate_is_exact() {
        let of = |raw| word(act::fate(ExitStatus::from_raw(raw)));
        assert_eq!(of(0), "allowed");
        assert_eq!(of(libc::EPERM << 8), "EPERM");
        assert_eq!(of(libc::EACCES << 8), "errno 13");
        assert_eq!(of(libc::SIGKILL), "SIGKILL");
        assert_eq!(of(libc::SIGTERM), "SIGTERM");
        assert_eq!(of(libc::SIGHUP), "signal 1");
        assert_eq!(of(i32::from(NOT_TRIED) << 8), "not tried: 200");
    }

    #[test]
    fn an_account_has_all_events_of_its_process_and_no_other_document_any() {
        let event = |tgid| {
            json!({"tgid": tgid, "rule": "r", "hook": "h", "outcome": "denied",
                   "matched": "name", "access": "read", "spared": null, "time": "now"})
        };
        let document = json!({"fate": "EPERM", "leaked": false, "pid": 7, "events": null});
        let report = Observation::Document {
            document: json!({"pid": 7}),
        };
        let mut seen = [account(document, json!({"exists": false})), report.clone()];
        let mut spared = event(7);
        spared["spared"] = "agent".into();
        join(&[event(7), event(8), spared], seen.iter_mut());
        let Observation::Document { document } = &seen[0] else {
            panic!("it stays a document");
        };
        assert_eq!(document["events"].as_array().expect("joined").len(), 2);
        assert_eq!(document["events"][0]["matched"], "name");
        assert_eq!(document["events"][0].get("time"), None);
        assert_eq!(document["events"][0].get("spared"), None);
        assert_eq!(document["events"][1]["spared"], "agent");
        assert_eq!(document["exists"], false);
        assert_eq!(seen[1], report);
    }

    #[test]
    fn what_a_file_denies_is_told_by_its_errno_and_what_it_lets_by_its_bytes() {
        let path = std::env::temp_dir().join(format!("guest-attempt-{}", std::process::id()));
        let missing = carry_out(Verb::Read, &path, "").expect_err("it isn't there");
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(carry_out(Verb::Create, &path, "").expect("it wasn't"), b"");
        let twice = carry_out(Verb::Create, &path, "").expect_err("it is there");
        fs::write(&path, "secret").expect("a file of our own");
        let read = carry_out(Verb::Read, &path, "");
        let truncated = carry_out(Verb::Truncate, &path, "");
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        fs::remove_file(&path).expect("a file of our own");
        assert_eq!(twice.raw_os_error(), Some(libc::EEXIST));
        assert_eq!(read.expect("it may be read"), b"secret");
        assert_eq!(truncated.expect("it may be truncated"), b"");
        assert_eq!(length.expect("it is there"), 0);
    }
}
