//! Other programs: finds one, or runs one and listens to it.
//!
//! In: a name, or a command. Out: where it is; or whether it succeeded, and all that it said, with each line shown to the
//! caller as it comes. Both of its streams in one: only together they tell what went wrong.

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Context as _;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Whether it ended with exit code 0.
    pub succeeded: bool,
    /// All it said, on either stream.
    pub said: String,
}

/// Runs a command to its end, without input.
pub fn listen(mut command: Command, mut see: impl FnMut(&str)) -> anyhow::Result<Heard> {
    let shown = format!("{command:?}");
    let mut listen = || -> io::Result<Heard> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null());
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // Ours would keep the pipe open after the child's end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut said = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            see(&line);
            said.push_str(&line);
            said.push('\n');
        }
        let succeeded = child.wait()?.success();
        Ok(Heard { succeeded, said })
    };
    listen().with_context(|| format!("cannot run {shown}"))
}

/// Finds a program along PATH, or where root's shell would.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_along(&path, name)
}

fn find_along(path: &OsStr, name: &str) -> Option<PathBuf> {
    let own = std::env::split_paths(path);
    let root = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let executable = |program: &PathBuf| {
        let metadata = program.metadata();
        metadata.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let mut candidates = own.chain(root).map(|folder| folder.join(name));
    candidates.find(executable)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_heard_and_the_end_is_known() {
        let mut seen = 0;
        let heard = listen(sh("echo out; echo err >&2; exit 3"), |_| seen += 1).unwrap();
        assert!(!heard.succeeded);
        assert!(heard.said.contains("out\n") && heard.said.contains("err\n"));
        assert_eq!(seen, 2);
        assert!(listen(sh("exit 0"), |_| {}).unwrap().succeeded);
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = listen(Command::new("/nonexistent/tool"), |_| {}).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/tool"), "{error}");
    }

    #[test]
    fn a_program_must_be_one_that_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let program = folder.path().join("no-such-tool");
        assert_eq!(find_along(path, "no-such-tool"), None);
        fs::write(&program, "").unwrap();
        assert_eq!(find_along(path, "no-such-tool"), None);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_along(path, "no-such-tool"), Some(program));
    }
}
