//! The arms of an enforcement proof, for the act of opening a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::record::Act;

use crate::acts::act;
use crate::acts::cgroup::{self, Place};

/// The files that the proofs fight over, and the policy that forbids one of them.
pub struct Ground {
    secret: PathBuf,
    benign: PathBuf,
    limit: Duration,
}

impl Ground {
    /// Makes the files and the cgroups.
    ///
    /// # Errors
    /// Any of them can't be made.
    pub fn make(limit: Duration) -> Result<Self> {
        let ground = Self {
            secret: PathBuf::from("/srv/secret"),
            benign: PathBuf::from("/srv/benign"),
            limit,
        };
        for path in [&ground.secret, &ground.benign] {
            fs::write(path, format!("the content of {}\n", path.display()))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        cgroup::make_all()?;
        Ok(ground)
    }

    /// A policy that denies the secret to all but the exempt cgroup, protects these executables,
    /// and goes on with these rules.
    pub fn policy(&self, protected: &[&str], rules: &str) -> String {
        format!(
            "version = 1\nexempt_cgroups = [\"{}\"]\nprotected_executables = {protected:?}\n\n\
             [[deny.file]]\npath = \"{}\"\n{rules}",
            cgroup::EXEMPT,
            self.secret.display()
        )
    }

    /// The denied file.
    pub fn secret(&self) -> &Path {
        &self.secret
    }

    /// Its neighbour, which no rule names.
    pub fn benign(&self) -> &Path {
        &self.benign
    }

    /// Takes the denied file away, for whoever must notice that nothing was there to be denied.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn lose_secret(&self) -> Result<()> {
        fs::remove_file(&self.secret).context("removing the secret")
    }

    /// How long anything may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Opens the secret from a place.
    pub fn open_secret(&self, place: Place) -> Result<Act> {
        self.open(place, &self.secret)
    }

    /// Opens the secret's neighbour from the plain place.
    pub fn open_benign(&self) -> Result<Act> {
        self.open(Place::Plain, &self.benign)
    }

    /// Opens any file from a place.
    pub fn open(&self, place: Place, path: &Path) -> Result<Act> {
        act::open(place, path, self.limit)
            .with_context(|| format!("opening {} from {place:?}", path.display()))
    }
}
