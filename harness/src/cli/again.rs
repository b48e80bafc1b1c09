//! The command line that does again what a result came of, as a shell takes it apart.

use std::path::{Path, PathBuf};

use crate::vm::{Accelerator, Launcher};

/// Such a line, in the making.
#[derive(Debug, Clone)]
pub(super) struct Again {
    words: Vec<String>,
}

impl Again {
    /// The command, on one kernel, launched and run as it was.
    pub(super) fn new(
        command: &[&str],
        kernel: &str,
        launcher: Launcher,
        accelerator: Accelerator,
    ) -> Self {
        let words = ["cargo", "xtask"].iter().chain(command);
        let again = Self {
            words: words.map(|&word| word.to_owned()).collect(),
        };
        again
            .option("--kernel", kernel)
            .option("--launcher", launcher.name())
            .option("--accel", accelerator.name())
    }

    /// The same, with a flag that takes no value.
    pub(super) fn flag(mut self, name: &str) -> Self {
        self.words.push(name.to_owned());
        self
    }

    /// The same, with an option.
    pub(super) fn option(self, name: &str, value: &str) -> Self {
        self.flag(name).flag(value)
    }

    /// The same, with an option for each of the values.
    pub(super) fn options<T: AsRef<str>>(
        self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter();
        values.fold(self, |again, value| again.option(name, value.as_ref()))
    }

    /// The same, with a path, if there is one. The line is to work wherever it is read; a path that
    /// can't be made absolute is shown as it was given.
    pub(super) fn path(self, name: &str, path: Option<&PathBuf>) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = path.map(|path| absolute(path).display().to_string());
        self.options(name, path)
    }

    /// The line, quoted for a shell.
    pub(super) fn line(&self) -> String {
        let words = self.words.iter();
        let quoted: Vec<_> = words
            .map(|word| shlex::try_quote(word).map_or(word.as_str().into(), |quoted| quoted))
            .collect();
        quoted.join(" ")
    }
}
