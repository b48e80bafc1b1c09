//! What was found wrong, in the order of the file and without echoes.
//!
//! In: findings, each at a byte offset. Out: [`PolicyError`]s. Where a line isn't even TOML,
//! only that is told of it: what the parser made of the rest of the line is a guess.

use std::collections::HashSet;

use super::places::Places;
use super::{Policy, PolicyError};

/// Everything found so far.
pub(super) struct Findings<'a> {
    places: &'a Places<'a>,
    found: Vec<Finding>,
    /// Lines that aren't TOML.
    unreadable: HashSet<usize>,
}

struct Finding {
    offset: usize,
    what: String,
    why: String,
    way_out: String,
}

impl<'a> Findings<'a> {
    pub(super) fn new(places: &'a Places<'a>) -> Self {
        Self {
            places,
            found: Vec::new(),
            unreadable: HashSet::new(),
        }
    }

    /// Notes that what stands there isn't TOML: once a line, before anything else is noted.
    pub(super) fn unreadable(&mut self, offset: usize, what: String, why: &str, way_out: &str) {
        if self.unreadable.insert(self.places.line(offset)) {
            self.push(offset, what, why.to_owned(), way_out.to_owned());
        }
    }

    /// Notes what is TOML and makes no sense.
    pub(super) fn reject(&mut self, offset: usize, what: String, why: &str, way_out: &str) {
        if !self.unreadable.contains(&self.places.line(offset)) {
            self.push(offset, what, why.to_owned(), way_out.to_owned());
        }
    }

    /// Notes that something isn't there. What couldn't be read may hold it, so nothing is
    /// missing for sure until all of the file is TOML.
    pub(super) fn missing(&mut self, offset: usize, what: String, why: &str, way_out: &str) {
        if self.unreadable.is_empty() {
            self.push(offset, what, why.to_owned(), way_out.to_owned());
        }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.places.line(offset)
    }

    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        self.places.place(offset)
    }

    fn push(&mut self, offset: usize, what: String, why: String, way_out: String) {
        self.found.push(Finding {
            offset,
            what,
            why,
            way_out,
        });
    }

    /// The policy, if nothing is wrong with it.
    pub(super) fn into_result(mut self, policy: Policy) -> Result<Policy, Vec<PolicyError>> {
        if self.found.is_empty() {
            return Ok(policy);
        }
        self.found.sort_by_key(|finding| finding.offset);
        let places = self.places;
        let error = |finding: Finding| {
            let (line, column) = places.place(finding.offset);
            PolicyError {
                line,
                column,
                what: finding.what,
                why: finding.why,
                way_out: finding.way_out,
            }
        };
        Err(self.found.into_iter().map(error).collect())
    }
}
