//! Processes of the machine, found by their command line and watched by event.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// The processes that mention a path in their command line, which only a test's own do.
pub fn mentioning(path: &Path) -> Vec<Pid> {
    let wanted = path.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for item in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let name = item.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since the folder was listed.
        let cmdline = fs::read(item.path().join("cmdline")).unwrap_or_default();
        if cmdline.windows(wanted.len()).any(|part| part == wanted) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}

/// The processes that mention a path and don't end within the limit. They are ended then, so
/// that a test which fails over them doesn't leave them behind.
pub fn outliving(path: &Path, limit: Duration) -> Vec<Pid> {
    let mut left = Vec::new();
    for pid in mentioning(path) {
        // Ended since, if it can't be watched.
        let Some(process) = Watched::find(pid) else {
            continue;
        };
        if !process.ended_within(limit) {
            left.push(pid);
            // It may end by itself just now, which is as good.
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
        }
    }
    left
}

/// A child with whatever it starts in a process group of its own, which a test that fails
/// doesn't leave behind.
pub struct Group(pub Child);

impl Group {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.expect("the program is there"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once it is reaped, the number may be another's.
        if let Ok(None) = self.0.try_wait() {
            // It may end by itself just now, which is as good.
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Waits until a file has something in it, for which a run must go on. Its folder must be there.
pub fn until_written(file: &Path, run: &Group) {
    let folder = file.parent().expect("it is in a folder");
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
    let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
    inotify::add_watch(&watch, folder, changes).expect("it is there");
    let own = Pid::from_child(&run.0);
    let ended = pidfd_open(own, PidfdFlags::empty()).expect("our own child");
    while fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        let mut fds = [
            PollFd::new(&watch, PollFlags::IN),
            PollFd::new(&ended, PollFlags::IN),
        ];
        poll(&mut fds, None).expect("both can be polled");
        let over = !fds[1].revents().is_empty();
        assert!(!over, "the run ended before {}", file.display());
        rustix::io::read(&watch, &mut [0_u8; 4096]).expect("something has changed");
    }
}

/// A process whose end can be waited for, though it is nobody's child here.
pub struct Watched {
    pidfd: OwnedFd,
}

impl Watched {
    /// Watches a process that is there.
    pub fn new(pid: Pid) -> Self {
        Self::find(pid).expect("the process is there")
    }

    /// Watches a process, unless it has gone.
    fn find(pid: Pid) -> Option<Self> {
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pidfd })
    }

    /// Waits for its end, and tells whether that came within the limit.
    pub fn ended_within(&self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).expect("a limit in range");
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)));
        ready.expect("a pidfd can be polled") == 1
    }
}
