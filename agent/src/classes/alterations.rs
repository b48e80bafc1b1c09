//! What somebody altered in the maps since the last verification, and which rules that concerns.
//!
//! In: how each map differs from what the agent put there. Out: obstacles for the gate, by which
//! these rules aren't enforced in this report, and words for the log. Pure.

use std::collections::BTreeMap;

use crate::kernel::readback::Difference;
use crate::posture::Tier;
use crate::posture::gate::{Obstacle, RuleFacts};

/// What was found altered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Alterations {
    /// Rules by their numbers, each with the first map in which something of it was broken.
    rules: BTreeMap<u32, &'static str>,
    /// A map to which something was added that may let acts past any rule: an exemption, or a rule
    /// that only watches in another's place.
    loosening: Option<&'static str>,
    /// Each map that was altered.
    maps: Vec<Altered>,
}

/// A map that was altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// Its name.
    pub map: &'static str,
    /// What was found, and that it is put right.
    pub reason: String,
}

impl Alterations {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.maps.is_empty()
    }

    /// Takes how a map differs, and the rules that aren't kept for it.
    pub fn add<K>(
        &mut self,
        map: &'static str,
        difference: &Difference<K>,
        rules: impl IntoIterator<Item = u32>,
    ) {
        if difference.is_none() {
            return;
        }
        for rule in rules {
            self.rules.entry(rule).or_insert(map);
        }
        let reason = format!(
            "somebody altered what the agent had put into the map {map}: entries missing or \
             changed: {}, added: {}; it is put right",
            difference.broken.len(),
            difference.foreign.len()
        );
        self.maps.push(Altered { map, reason });
    }

    /// The same of a map in which an entry too many may let acts past any rule.
    pub fn add_loosening<K>(
        &mut self,
        map: &'static str,
        difference: &Difference<K>,
        rules: impl IntoIterator<Item = u32>,
    ) {
        self.add(map, difference, rules);
        if !difference.foreign.is_empty() {
            self.loosening.get_or_insert(map);
        }
    }

    /// The same of a map of who is spared; `name` says who, of those that were added.
    pub fn add_spared<K>(
        &mut self,
        map: &'static str,
        difference: &Difference<K>,
        name: impl Fn(&K) -> String,
    ) {
        self.add_loosening(map, difference, []);
        if let (false, Some(altered)) = (difference.foreign.is_empty(), self.maps.last_mut()) {
            let names: Vec<String> = difference.foreign.iter().map(name).collect();
            altered.reason += &format!("; spared though no policy says so: {}", names.join(", "));
        }
    }

    /// Each map that was altered.
    pub fn maps(&self) -> &[Altered] {
        &self.maps
    }

    /// Adds what was found to what stands in the way of the rules, which are in the order of their
    /// numbers. It passes by itself: the next verification finds the maps as they are to be, or not.
    pub fn obstruct(&self, facts: &mut [RuleFacts]) {
        for (number, facts) in (0..).zip(facts) {
            let map = self.rules.get(&number).copied();
            let reason = match (map, self.loosening) {
                (Some(map), _) => format!(
                    "altered: what it hangs on in the map {map} was missing or changed; it is put \
                     right, and the rule is claimed again once the next verification finds it so"
                ),
                (None, Some(map)) => format!(
                    "altered: something was added to the map {map} that no policy says, and that may \
                     have let acts by; it is removed, and the rule is claimed again once the next \
                     verification finds it so"
                ),
                (None, None) => continue,
            };
            for tier in Tier::ALL {
                let (reason, pending) = (reason.clone(), true);
                let obstacle = Obstacle { reason, pending };
                // What has no target isn't enforced for that.
                facts.obstacles.entry(tier).or_insert(obstacle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::Class;

    fn facts(ids: &[&str]) -> Vec<RuleFacts> {
        let facts = |id: &&str| RuleFacts {
            id: (*id).to_owned(),
            class: Class::File,
            obstacles: BTreeMap::new(),
        };
        ids.iter().map(facts).collect()
    }

    fn difference(broken: &[u64], foreign: &[u64]) -> Difference<u64> {
        Difference {
            broken: broken.to_vec(),
            foreign: foreign.to_vec(),
        }
    }

    #[test]
    fn only_the_rule_whose_entry_is_broken_isn_t_enforced_and_it_says_why() {
        let mut alterations = Alterations::default();
        alterations.add("rules_by_inode", &difference(&[7], &[]), [1]);
        let mut facts = facts(&["a", "b"]);
        alterations.obstruct(&mut facts);
        assert!(facts[0].obstacles.is_empty());
        for tier in Tier::ALL {
            let obstacle = &facts[1].obstacles[&tier];
            assert!(obstacle.pending && obstacle.reason.contains("rules_by_inode"));
        }
        assert!(
            alterations.maps()[0]
                .reason
                .contains("changed: 1, added: 0")
        );
    }

    #[test]
    fn what_was_added_concerns_every_rule_where_it_may_let_acts_by_and_else_none() {
        let mut alterations = Alterations::default();
        alterations.add(".bss.filter", &difference(&[], &[7]), []);
        let mut facts = facts(&["a", "b"]);
        alterations.obstruct(&mut facts);
        assert!(facts.iter().all(|rule| rule.obstacles.is_empty()) && !alterations.is_none());

        alterations.add_loosening("rules_by_inode", &difference(&[], &[7]), []);
        alterations.obstruct(&mut facts);
        assert!(
            facts
                .iter()
                .all(|rule| rule.obstacles.len() == Tier::ALL.len())
        );
    }

    #[test]
    fn who_is_spared_by_nobody_s_word_concerns_every_rule_and_who_no_longer_is_none() {
        let mut alterations = Alterations::default();
        alterations.add_spared("exempt_cgroups", &difference(&[3], &[]), u64::to_string);
        let mut facts = facts(&["a", "b"]);
        alterations.obstruct(&mut facts);
        assert!(facts.iter().all(|rule| rule.obstacles.is_empty()));

        alterations.add_spared("exempt_cgroups", &difference(&[], &[9]), u64::to_string);
        alterations.obstruct(&mut facts);
        assert!(
            facts
                .iter()
                .all(|rule| rule.obstacles.len() == Tier::ALL.len())
        );
        let told = &alterations.maps().last().unwrap().reason;
        assert!(
            told.ends_with("spared though no policy says so: 9"),
            "{told}"
        );
    }

    #[test]
    fn no_difference_is_no_alteration() {
        let mut alterations = Alterations::default();
        alterations.add("rules_by_inode", &difference(&[], &[]), [1]);
        alterations.add_spared("exempt_cgroups", &difference(&[], &[]), u64::to_string);
        assert!(alterations.is_none());
        assert_eq!(alterations, Alterations::default());
    }
}
