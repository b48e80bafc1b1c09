//! The table of ways to a denied file, and of neighbours that must be spared. A row has the way's
//! name, what it is, the act, and its result in each tier.

use protocol::record::Effect;

use super::way::{By, Free, InSignal, Way};
#[cfg(feature = "acts")]
use crate::acts::ways::calls::{self, ELSEWHERE, REOPENED};
#[cfg(feature = "acts")]
use crate::acts::ways::go::{Before, Go};
#[cfg(feature = "acts")]
use crate::acts::ways::trees::{self, Tree};
use crate::sabotage::Mutant;
use crate::tier::Tier;

/// How a way is tried; nothing where the acts aren't built.
#[cfg(feature = "acts")]
macro_rules! go {
    ($go:expr) => {
        $go
    };
}
#[cfg(not(feature = "acts"))]
macro_rules! go {
    ($go:expr) => {
        ()
    };
}

/// How the way of this name is tried.
#[cfg(feature = "acts")]
#[must_use]
pub fn go(name: &str) -> Option<Go> {
    let way = WAYS.iter().find(|way| way.name == name)?;
    Some(way.go)
}

/// All of them, in the order in which they are reported.
pub static WAYS: &[Way] =
    &[
        Way::new(
            "relative-path",
            "a path relative to the working folder",
            go!(Go::by(calls::in_working_folder).by_name()),
        )
        .catching(&[(Tier::Signal, GOES_BY_SPELLING)]),
        Way::new(
            "dirfd",
            "a path relative to a folder's descriptor",
            go!(Go::by(calls::dirfd).by_name()),
        ),
        Way::new(
            "double-slash",
            "`//` in the path",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path("/secret")))),
        ),
        Way::new(
            "dot",
            "`/./` in the path",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path("./secret")))),
        ),
        Way::new(
            "dot-dot",
            "`..` in the path",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path("side/../secret")))),
        ),
        Way::new(
            "symlink",
            "a symbolic link",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path(trees::LINK)))),
        ),
        Way::new(
            "symlink-chain",
            "40 symbolic links one behind the other, as many as the kernel follows",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path(trees::CHAIN)))),
        ),
        Way::new(
            "hardlink",
            "a hard link, made before the agent started",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path(trees::SECOND)))),
        ),
        Way::new(
            "bind-mount",
            "a bind mount, made before the agent started",
            go!(Go::by(calls::plainly).passing(|tree, _| Some(tree.path(trees::MOUNTED)))),
        ),
        Way::new(
            "renamed",
            "the file under another name, given to it while the agent is up",
            go!(Go::by(calls::renamed)
                .to(|_| trees::MOVING.to_owned())
                .passing(|tree, _| Some(tree.path(trees::MOVED)))),
        ),
        Way::new(
            "mount-namespace",
            "a bind mount in a mount namespace of its own",
            go!(Go::by(calls::mount_namespace)
                .passing(|_, file| Some(format!("{ELSEWHERE}/{file}")))),
        ),
        Way::new(
            "chroot",
            "`chroot(2)` into the file's folder",
            go!(Go::by(calls::chroot).passing(|_, file| Some(format!("/{file}")))),
        ),
        Way::new(
            "proc-self-root",
            "a path through `/proc/self/root`",
            go!(Go::by(calls::plainly)
                .passing(|tree, file| Some(format!("/proc/self/root{}", tree.path(file))))),
        ),
        Way::new(
            "proc-self-cwd",
            "a path through `/proc/self/cwd`",
            go!(Go::by(calls::in_working_folder)
                .passing(|_, file| Some(format!("/proc/self/cwd/{file}")))),
        ),
        Way::new(
            "proc-self-fd",
            "an `O_PATH` descriptor, opened again through `/proc/self/fd`",
            go!(Go::by(calls::proc_self_fd)
                .passing(|_, _| Some(format!("/proc/self/fd/{REOPENED}")))),
        ),
        Way::new("openat2", "`openat2(2)`", go!(Go::by(calls::openat2))),
        Way::new(
            "openat2-no-symlinks",
            "`openat2(2)` with `RESOLVE_NO_SYMLINKS`",
            go!(Go::by(calls::openat2_no_symlinks).by_name()),
        ),
        Way::new(
            "openat2-beneath",
            "`openat2(2)` with `RESOLVE_BENEATH`",
            go!(Go::by(calls::openat2_beneath).by_name()),
        ),
        Way::new(
            "openat2-in-root",
            "`openat2(2)` with `RESOLVE_IN_ROOT`",
            go!(Go::by(calls::openat2_in_root).passing(|_, file| Some(format!("/{file}")))),
        ),
        Way::new(
            "openat2-no-xdev",
            "`openat2(2)` with `RESOLVE_NO_XDEV`",
            go!(Go::by(calls::openat2_no_xdev).by_name()),
        ),
        Way::new(
            "openat2-no-magiclinks",
            "`openat2(2)` with `RESOLVE_NO_MAGICLINKS`",
            go!(Go::by(calls::openat2_no_magiclinks).by_name()),
        ),
        Way::new(
            "openat2-cached",
            "`openat2(2)` with `RESOLVE_CACHED`",
            go!(Go::by(calls::openat2_cached).by_name()),
        ),
        Way::new("open", "`open(2)`", go!(Go::by(calls::open_call))),
        Way::new(
            "creat",
            "`creat(2)`, which truncates",
            go!(Go::by(calls::creat).to(|_| trees::CREATED_ANEW.to_owned())),
        )
        .free_to(Free::Leaves(Effect::Truncated)),
        Way::new(
            "file-handle",
            "`open_by_handle_at(2)`",
            go!(Go::by(calls::file_handle).without_path()),
        ),
        Way::new(
            "compat",
            "the 32-bit `open(2)`, through `int 0x80`",
            go!(Go::by(calls::compat)),
        )
        .catching(&[(Tier::Lsm, NO_IA32_EMULATION)]),
        Way::new(
            "compat-openat",
            "the 32-bit `openat(2)`, in the same way",
            go!(Go::by(calls::compat_openat)),
        ),
        Way::new(
            "io-uring",
            "`io_uring`, on the thread that submits",
            go!(Go::by(calls::io_uring)),
        )
        .catching(&[(Tier::Lsm, NO_IO_URING)]),
        Way::new(
            "io-uring-worker",
            "`io_uring`, on a worker (`IOSQE_ASYNC`)",
            go!(Go::by(calls::io_uring_worker)),
        )
        .carried_out_by(By::Worker)
        .catching(&[(Tier::Lsm, SPARES_THREADS), (Tier::Modret, SPARES_THREADS)]),
        Way::new(
            "io-uring-sqpoll",
            "`io_uring`, on the thread that polls for submissions (`IORING_SETUP_SQPOLL`)",
            go!(Go::by(calls::io_uring_sqpoll)),
        )
        .carried_out_by(By::Worker),
        Way::new(
            "unmapped-path",
            "a path on a page that isn't mapped in when the call begins",
            go!(Go::by(calls::unmapped_path)),
        ),
        Way::new(
            "late-path",
            "a path that a second thread writes once the call is under way",
            go!(Go::by(calls::late_path)),
        )
        .catching(&[(Tier::Lsm, NO_USERFAULTFD)]),
        Way::new(
            "rewritten-path",
            "a path that a second thread writes over another file's once the call is \
         under way",
            go!(Go::by(calls::rewritten_path)),
        )
        .race(),
        Way::new(
            "long-name",
            "a name of 255 bytes (`NAME_MAX`)",
            go!(Go::by(calls::plainly).to(|_| trees::LONG_NAME.clone())),
        ),
        Way::new(
            "long-path",
            "a path of 4095 bytes (`PATH_MAX`), beneath a denied folder",
            go!(Go::by(calls::plainly).to(Tree::longest)),
        ),
        Way::new(
            "truncate",
            "`O_TRUNC`",
            go!(Go::by(calls::truncate).to(|_| trees::EMPTIED.to_owned())),
        )
        .free_to(Free::Leaves(Effect::Truncated))
        .in_signal(InSignal::KilledAfter("truncates_before_kill")),
        Way::new(
            "create",
            "`O_CREAT` on a denied name that has no file",
            go!(Go::by(calls::create)
                .to(|_| trees::ABSENT.to_owned())
                .after(Before::Removed)),
        )
        .free_to(Free::Leaves(Effect::Created))
        .in_signal(InSignal::KilledAfter("creates_before_kill")),
        Way::new(
            "shared-fd-table",
            "a child that shares the table of descriptors (`CLONE_FILES`) opens the file \
         and dies",
            go!(Go::by(calls::shared_fd_table)),
        )
        .in_signal(InSignal::HelperKilled("shared_fd_table_leak"))
        .carried_out_by(By::Helper)
        .race(),
        Way::new(
            "traced-child",
            "a traced child opens the file and ends; its tracer takes the descriptor from \
         it (`pidfd_getfd(2)` at `PTRACE_EVENT_EXIT`)",
            go!(Go::by(calls::traced_child)),
        )
        .in_signal(InSignal::HelperKilled("descriptor_taken_before_death"))
        .carried_out_by(By::Helper),
        Way::new(
            "traced",
            "a process whose tracer holds every signal back that can be",
            go!(Go::by(calls::traced)),
        ),
        Way::new(
            "sigterm-ignored",
            "a process that ignores SIGTERM and every other signal that can be",
            go!(Go::by(calls::sigterm_ignored)),
        ),
        Way::new(
            "sigterm-blocked",
            "a process that blocks SIGTERM and every other signal that can be",
            go!(Go::by(calls::sigterm_blocked)),
        ),
        Way::new(
            "pid-namespace-init",
            "pid 1 of a pid namespace",
            go!(Go::by(calls::pid_namespace_init).after(Before::PidNamespace)),
        ),
        Way::new(
            "other-user",
            "a process of another user than root",
            go!(Go::by(calls::other_user)),
        )
        .catching(&[(Tier::Lsm, SPARES_USERS)]),
        Way::new(
            "user-namespace",
            "a process in a user namespace of its own",
            go!(Go::by(calls::plainly).after(Before::UserNamespace)),
        )
        .catching(&[(Tier::Lsm, NO_USER_NAMESPACES)]),
        Way::new(
            "exec",
            "`execve(2)` of a denied executable",
            go!(Go::by(calls::exec).to(|_| trees::TOOL.to_owned())),
        ),
        Way::new(
            "execveat",
            "`execveat(2)` of an `O_PATH` descriptor of a denied executable \
         (`AT_EMPTY_PATH`)",
            go!(Go::by(calls::execveat)
                .to(|_| trees::TOOL.to_owned())
                .without_path()),
        ),
        Way::new(
            "fanotify",
            "the descriptor that the kernel opens for whoever reads an event of \
         `fanotify(7)`",
            go!(Go::by(calls::fanotify).without_path()),
        )
        .catching(&[(Tier::Lsm, NO_FANOTIFY)]),
        Way::new(
            "beneath-folder",
            "a file beneath a denied folder",
            go!(Go::by(calls::plainly).to(|_| trees::BENEATH.to_owned())),
        ),
        Way::new(
            "deep-folder",
            "a file 200 levels beneath a denied folder",
            go!(Go::by(calls::plainly).to(|_| trees::DEEP.clone())),
        ),
        Way::new(
            "link",
            "`link(2)`: a second name, given while the agent is up",
            go!(Go::by(calls::link)
                .to(|_| trees::LINKED.to_owned())
                .leaving(trees::LINKED_AGAIN)),
        )
        .free_to(Free::Leaves(Effect::Created))
        .in_signal(InSignal::Unseen("links_denied_file")),
        Way::new(
            "replace",
            "`rename(2)`: another file, put in the denied one's place",
            go!(Go::by(calls::replace).to(|_| trees::REPLACED.to_owned())),
        )
        .free_to(Free::Leaves(Effect::Replaced))
        .in_signal(InSignal::Unseen("replaces_denied_name")),
        Way::new(
            "pid-one",
            "the machine's pid 1",
            go!(Go::by(calls::plainly).after(Before::PidOne)),
        )
        .in_signal(InSignal::Observed("spared_processes"))
        .by_pid_one(),
        Way::new(
            "already-open",
            "a descriptor opened before the agent started, and inherited",
            go!(Go::by(calls::already_open).without_path()),
        )
        .without_open()
        .leaking("already_open_files"),
        Way::new(
            "received-fd",
            "a descriptor opened before the agent started, and received over a Unix socket",
            go!(Go::by(calls::received_fd)
                .without_path()
                .after(Before::Sent)),
        )
        .without_open()
        .leaking("already_open_files"),
        Way::new(
            "o-path",
            "`O_PATH`: the descriptor tells of the file (`fstat(2)`), and can't be read",
            go!(Go::by(calls::o_path)),
        )
        .without_open()
        .free_to(Free::Nothing)
        .leaking("acts_other_than_open"),
        Way::new(
            "truncate-by-path",
            "`truncate(2)`, which opens nothing",
            go!(Go::by(calls::truncate_by_path).to(|_| trees::SHORTENED.to_owned())),
        )
        .without_open()
        .free_to(Free::Leaves(Effect::Truncated))
        .in_signal(InSignal::Unseen("changes_denied_file")),
        Way::new(
            "hardlink-out-of-folder",
            "a hard link outside of a denied folder, made before the agent started",
            go!(Go::by(calls::plainly)
                .to(|_| trees::BENEATH.to_owned())
                .passing(|tree, _| Some(tree.path(trees::OUTSIDE)))),
        )
        .leaking("hardlink_out_of_folder")
        .catching(&[(Tier::Lsm, OTHER_NAMES)]),
        Way::new(
            "reopened-pipe",
            "no way: a pipe, opened again through `/proc/self/fd`",
            go!(Go::by(calls::reopened_pipe)
                .passing(|_, _| Some(format!("/proc/self/fd/{REOPENED}")))),
        )
        .spared(),
        Way::new(
            "reopened-memfd",
            "no way: a `memfd_create(2)` file, opened again in the same way",
            go!(Go::by(calls::reopened_memfd)
                .passing(|_, _| Some(format!("/proc/self/fd/{REOPENED}")))),
        )
        .spared(),
        Way::new(
            "namespace-file",
            "no way: a namespace's file, `/proc/self/ns/mnt`",
            go!(Go::by(calls::namespace_file).passing(|_, _| Some("/proc/self/ns/mnt".to_owned()))),
        )
        .free_to(Free::Nothing)
        .spared(),
        Way::new(
            "pidfd",
            "no way: `pidfd_open(2)`, which newer kernels take for an open",
            go!(Go::by(calls::pidfd).without_path()),
        )
        .without_open()
        .free_to(Free::Nothing)
        .spared(),
    ];

const GOES_BY_SPELLING: Mutant = Mutant::new(
    "compares-paths-only",
    "a rule goes by its path's spelling",
    "during",
    "saw allowed",
);
const SPARES_THREADS: Mutant = Mutant::new(
    "spares-threads",
    "only a process's first thread is denied",
    "during",
    "saw allowed",
);
const SPARES_USERS: Mutant = Mutant::new(
    "spares-users",
    "whoever isn't root is let by",
    "during",
    "saw allowed",
);
const OTHER_NAMES: Mutant = Mutant::new(
    "denies-other-names",
    "a leak that is declared, a hard link out of a denied folder, doesn't leak",
    "during",
    "unexpected pass: `hardlink_out_of_folder` is declared",
)
.unexpected_pass();
const NO_IO_URING: Mutant = Mutant::lacking(
    "no-io-uring",
    "the kernel has no io_uring",
    "the kernel has no io_uring (CONFIG_IO_URING)",
);
const NO_USERFAULTFD: Mutant = Mutant::lacking(
    "no-userfaultfd",
    "the kernel has no userfaultfd",
    "the kernel has no userfaultfd (CONFIG_USERFAULTFD)",
);
const NO_FANOTIFY: Mutant = Mutant::lacking(
    "no-fanotify",
    "the kernel has no fanotify",
    "the kernel has no fanotify (CONFIG_FANOTIFY)",
);
const NO_IA32_EMULATION: Mutant = Mutant::lacking(
    "no-ia32-emulation",
    "the kernel takes no 32-bit system calls",
    "the kernel takes no 32-bit system calls (CONFIG_IA32_EMULATION)",
);
const NO_USER_NAMESPACES: Mutant = Mutant::lacking(
    "no-user-namespaces",
    "the kernel allows no user namespaces",
    "the kernel's user namespaces (CONFIG_USER_NS) are switched off",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::record::Fate;

    use super::*;

    #[test]
    fn every_way_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = WAYS.iter().map(|way| way.name).collect();
        assert_eq!(names.len(), WAYS.len());
    }

    #[test]
    fn both_tiers_that_deny_promise_the_same() {
        for way in WAYS {
            assert_eq!(way.met(Tier::Lsm), way.met(Tier::Modret), "{}", way.name);
        }
    }

    #[test]
    fn a_tier_that_denies_lets_nothing_happen() {
        for way in WAYS {
            let met = way.met(Tier::Lsm);
            if met.limit.is_none() && !way.is_neighbour() {
                assert_eq!(met.fate, Fate::Denied { errno: 1 }, "{}", way.name);
                assert!(!met.leaks && met.effects.is_empty(), "{}", way.name);
            }
        }
    }

    #[test]
    fn the_signal_comes_after_the_fact() {
        let truncates = WAYS.iter().find(|way| way.name == "truncate");
        let met = truncates.expect("it is a way").met(Tier::Signal);
        assert_eq!(met.fate, Fate::Killed { signal: 9 });
        assert_eq!(met.effects, [Effect::Truncated]);
        assert_eq!(met.limit, Some("truncates_before_kill"));
    }
}

#[cfg(all(test, feature = "acts"))]
mod tests_of_acts {
    use super::*;

    #[test]
    fn a_way_that_a_path_does_not_lead_says_so_and_no_two_trees_share_a_path() {
        for way in WAYS {
            let (denied, free) = (way.go.passed(Tree::Denied), way.go.passed(Tree::Free));
            assert_eq!(denied.is_some(), free.is_some());
            if let (Some(denied), Some(free)) = (denied, free)
                && denied.contains("/srv/")
            {
                assert_ne!(denied, free, "{}", way.name);
            }
        }
    }

    #[test]
    fn every_way_leads_to_a_file_that_a_rule_covers() {
        let rules = trees::rules();
        for way in WAYS {
            let rule = format!("path = \"{}", way.go.target(Tree::Denied));
            let covered = [format!("{rule}\"\n"), format!("{rule}/\"\n")];
            assert!(covered.iter().any(|rule| rules.contains(rule)), "{rule}");
            assert!(!rules.contains(&way.go.target(Tree::Free)));
        }
        for other_name in [
            trees::LINK,
            trees::CHAIN,
            trees::SECOND,
            trees::MOUNTED,
            trees::MOVED,
            trees::OUTSIDE,
            trees::LINKED_AGAIN,
            trees::REPLACEMENT,
        ] {
            let path = Tree::Denied.path(other_name);
            assert!(!rules.contains(&format!("\"{path}\"")), "{path}");
        }
    }
}
