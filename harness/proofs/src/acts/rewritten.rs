//! A report that is written anew without a new look: the path of a rule comes to lead somewhere, or
//! to nothing again, between two verifications.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::acts::reports::{Reports, boot_ms, oldest_evidence};
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

    /// Makes the folder, with nothing in it.
    ///
    /// # Errors
    /// It can't be made.
    pub fn lay(&self) -> Result<()> {
        let folder = self.path.parent().context("a path without a folder")?;
        // Another life of the configuration may have left it.
        let _ = fs::remove_dir_all(folder);
        fs::create_dir(folder).context("making the ground")
    }

    /// The rule.
    pub fn rule(&self) -> String {
        rule(self.id, &self.path.display().to_string(), "read")
    }

    /// Whether a report has the rule as one that isn't enforced.
    fn is_pending(&self, report: &Value) -> bool {
        let unenforced = report["rules"]["unenforced"].as_array();
        unenforced.is_some_and(|rules| rules.iter().any(|rule| rule["rule"] == self.id))
    }

    /// Has the file come or go until the agent wrote a report between two verifications: that one,
    /// and the one before. `meanwhile` is done after that, each time before the file comes or goes.
    ///
    /// # Errors
    /// The agent verified each time within the limit, or no report had the change.
    pub fn rewrite(
        &self,
        reports: &mut Reports,
        limit: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<(Value, Value)> {
        let deadline = Instant::now() + limit;
        loop {
            let before = reports.agent().report()?;
            meanwhile()?;
            let present = !self.path.exists();
            match present {
                true => fs::write(&self.path, "pending").context("making the file")?,
                false => fs::remove_file(&self.path).context("removing the file")?,
            }
            // A verification may have found it first.
            let after = reports.next("a report of the change of a rule's path", |report| {
                self.is_pending(report) != present
            })?;
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

    /// Has the file be there from now on, so that the rule on it is enforced like the others in this
    /// life of the agent.
    ///
    /// # Errors
    /// The file can't be made, or no report says within the limit that it is there.
    pub fn settle(&self, reports: &mut Reports) -> Result<()> {
        if !self.path.exists() {
            fs::write(&self.path, "pending").context("making the file")?;
        }
        let report = reports.next("a report without a pending rule", |report| {
            !self.is_pending(report)
        });
        report.map(drop)
    }
}
