//! Paths as a policy spells them.
//!
//! In: a string. Out: the one spelling that the agent works with, or what is wrong with it.

/// The longest path that the kernel takes, without the NUL.
const PATH_MAX: usize = 4095;

/// The longest name that the kernel takes.
const NAME_MAX: usize = 255;

/// How much of a value an error shows.
const SHOWN: usize = 100;

/// A path in the one spelling that its other spellings come down to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spelling {
    /// Without `//`, `/./` and a final slash; the root is empty.
    pub(super) path: String,
    /// Whether it had a final slash.
    pub(super) final_slash: bool,
}

/// A reason to refuse a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) why: &'static str,
    pub(super) way_out: &'static str,
}

/// Brings an absolute path to its one spelling.
pub(super) fn spelling(value: &str) -> Spelling {
    let mut path = String::with_capacity(value.len());
    for name in names(value) {
        path.push('/');
        path.push_str(name);
    }
    Spelling {
        path,
        final_slash: value.ends_with('/'),
    }
}

/// What is wrong with a path, whatever it is meant for.
pub(super) fn complaints(value: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |why, way_out| complaints.push(Complaint { why, way_out });
    if value.is_empty() {
        complain("it is empty", "write an absolute path");
    } else if !value.starts_with('/') {
        complain(
            "it is relative, and the agent has no folder of yours to start from",
            "start it with /",
        );
    }
    if value.contains('\0') {
        complain("no path on Linux holds a NUL", "remove it");
    }
    if names(value).any(|name| name == "..") {
        complain(
            "it has a `..`, which means another file when a folder on the way is a link",
            "write the path without it",
        );
    }
    if names(value).any(|name| name.len() > NAME_MAX) {
        complain(
            "it has a name of more than 255 bytes, and the kernel takes none",
            "shorten that name",
        );
    }
    if spelling(value).path.len() > PATH_MAX {
        complain("the kernel takes paths of up to 4095 bytes", "shorten it");
    }
    complaints
}

/// Whether the last thing that it says is that it is a folder, by a slash or a dot.
pub(super) fn ends_as_folder(value: &str) -> bool {
    value.ends_with('/') || ends_in_dot(value)
}

/// Whether its last name is the dot.
pub(super) fn ends_in_dot(value: &str) -> bool {
    value.rsplit('/').next() == Some(".")
}

/// A value for an error's eyes: quoted, escaped, and not too much of it.
pub(super) fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The names that lead on: `//` and `/./` don't.
fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split('/').filter(|name| !matches!(*name, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_comes_down_to_one() {
        for (value, path, final_slash) in [
            ("/a/b", "/a/b", false),
            ("/a//b", "/a/b", false),
            ("//a/./b", "/a/b", false),
            ("/a/b/", "/a/b", true),
            ("/a/b/.//", "/a/b", true),
            ("/a/..b/...", "/a/..b/...", false),
            ("/", "", true),
            ("//./", "", true),
            ("/.", "", false),
        ] {
            let expected = Spelling {
                path: path.to_owned(),
                final_slash,
            };
            assert_eq!(spelling(value), expected, "{value}");
        }
    }

    #[test]
    fn lengths_are_the_kernel_s_to_the_byte() {
        let name = |length| format!("/{}", "x".repeat(length));
        assert_eq!(complaints(&name(255)), []);
        assert_eq!(complaints(&name(256)).len(), 1);
        // 15 × 256 bytes, and the rest.
        let path = |length: usize| name(255).repeat(15) + &name(length - 15 * 256 - 1);
        assert_eq!(complaints(&path(4095)), []);
        assert_eq!(complaints(&(path(4095) + "//./")), []);
        assert_eq!(complaints(&(path(4095) + "/x")).len(), 1);
    }

    #[test]
    fn everything_wrong_with_a_path_is_told() {
        assert_eq!(complaints("a\0/../b").len(), 3);
    }
}
