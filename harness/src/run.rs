//! Runs a command and listens to it.
//!
//! In: a command. Out: whether it succeeded, and all that it said, with each line shown to the
//! caller as it comes. Both of its streams in one: only together they tell what went wrong.

use std::{
    io::{self, BufRead as _, BufReader},
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

#[cfg(test)]
mod tests {
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
}
