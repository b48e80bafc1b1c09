//! Rules of a policy, as text.

/// A rule on a file or, where the path ends with `/`, on a folder.
pub fn rule(id: &str, path: &str, access: &str) -> String {
    format!("\n[[deny.file]]\nid = \"{id}\"\npath = \"{path}\"\naccess = \"{access}\"\n")
}
