//! A report that is written anew without a new look: the path of a rule comes to lead somewhere, or
//! to nothing again, between two verifications.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::acts::agent::Running;
use crate::acts::reports::{boot_ms, oldest_evidence};
use crate::acts::rule;

/// A rule on a path that leads nowhere when the agent starts.
pub struct Pending {
    /// What the rule is called.
    id: &'static str,
    path: PathBuf,
}

impl Pending {
    /// By this id, in this folder, which is to be made before the agent starts.
    pub fn on(id: &'static str, folder: PathBuf) -> Self {
        let path = folder.join("pending");
        Self { id, path }
    }

    /// The rule.
    pub fn rule(&self) -> String {
        rule(self.id, &self.path.display().to_string(), "read")
    }

    /// Has the file come or go until the agent wrote a report between two verifications: that one,
    /// and the one before. `meanwhile` is done after that, each time before the file comes or goes.
    ///
    /// # Errors
    /// The agent verified each time within the limit, or told of no change.
    pub fn rewrite(
        &self,
        agent: &Running,
        limit: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<(Value, Value)> {
        let deadline = Instant::now() + limit;
        let mut heard = agent.listen();
        loop {
            let before = agent.report()?;
            meanwhile()?;
            let present = !self.path.exists();
            match present {
                true => fs::write(&self.path, "pending").context("making the file")?,
                false => fs::remove_file(&self.path).context("removing the file")?,
            }
            // It tells of it once the report has it.
            heard.hear("the change of a rule's path", |line| {
                line["event"] == "resolved" && line["rule"] == self.id && line["present"] == present
            })?;
            let after = agent.report()?;
            let written = |report| boot_ms(report, "generated_at_boot_ms");
            if oldest_evidence(&after)? == oldest_evidence(&before)?
                && written(&after)? > written(&before)?
            {
                return Ok((before, after));
            }
            ensure!(
                Instant::now() < deadline,
                "the agent verified whenever the report was to be written"
            );
        }
    }
}
