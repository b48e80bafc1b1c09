//! The kernel that runs: its modules, and how far it is locked down.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Loads what a list of the image names; there may be no such list.
///
/// # Errors
/// A module can't be read or loaded.
pub fn load_listed(list: &Path) -> Result<Vec<String>> {
    let Ok(order) = fs::read_to_string(list) else {
        return Ok(Vec::new());
    };
    let mut loaded = Vec::new();
    for name in order.lines().filter(|line| !line.is_empty()) {
        let path = Path::new(protocol::MODULES_DIR).join(name);
        let image = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        match rustix::system::init_module(&image, c"") {
            Ok(()) | Err(rustix::io::Errno::EXIST) => loaded.push(name.to_owned()),
            Err(error) => {
                return Err(error).with_context(|| format!("loading the module {name}"));
            }
        }
    }
    Ok(loaded)
}

/// The level that the kernel is locked down to; none without the lockdown LSM.
///
/// # Errors
/// The kernel's file can't be read, or marks no level.
pub fn lockdown() -> Result<Option<String>> {
    const PATH: &str = "/sys/kernel/security/lockdown";
    match fs::read_to_string(PATH) {
        Ok(text) => {
            let level = in_brackets(&text).with_context(|| format!("{PATH} says {text:?}"))?;
            Ok(Some(level.to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {PATH}")),
    }
}

/// The word that the kernel marks among those that it offers, as in `none [integrity]`.
fn in_brackets(text: &str) -> Option<&str> {
    let words = text.split_whitespace();
    let mut marked = words.filter_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    marked.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockdown_level_is_the_marked_one() {
        let marked = in_brackets("none integrity [confidentiality]\n");
        assert_eq!(marked, Some("confidentiality"));
        assert_eq!(
            in_brackets("[none] integrity confidentiality"),
            Some("none")
        );
        assert_eq!(in_brackets("none integrity confidentiality"), None);
    }
}
