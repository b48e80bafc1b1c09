//! A denied file is denied whatever the way to it, as far as its tier promises. Where a tier
//! declares a leak, the way is tried too and must lead to the file: the proof fails if it is
//! stopped.

use protocol::plan::{ATTEMPTS, Doer, Expectation, PlannedArm};
use protocol::record::{Effect, Fate};

use self::table::WAYS;
use self::way::{Way, What};
use crate::arms::{contains, document};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Green, Mutant, Sweeps, Swept};
use crate::tier::Tier;

mod table;
mod way;

#[cfg(feature = "acts")]
pub use self::table::go;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Ways,
    id: "every-way",
    text: "A rule holds for the file, not for a spelling of its path. A line here is a way to a \
           denied file that got past some agent once, a column the configuration in which it is \
           tried: `enforce` is the BPF LSM (in the boot `bpf-lsm`), `modret` and `signal` are the \
           fallbacks (in `no-bpf-lsm`). Each cell is a proof: without the agent the way leads to \
           the file; with it, the act meets exactly this fate, leaks only where the cell says so, \
           leaves only these effects behind, and the agent's events name whoever carried it out, \
           the rule and the outcome; the same act on a neighbour is untouched. (`pid-one` is tried \
           while the agent is up alone.)\n\n\
           - `EPERM`: denied, nothing leaked and nothing changed;\n\
           - `killed`: dead of `SIGKILL` with nothing leaked; what stands behind it happened all \
           the same;\n\
           - a name behind a colon is a limit that the agent's report declares, as said below. \
           That it does leak there is proven like everything else: where it no longer does, the \
           run is red, and calls it an unexpected pass (`XPASS`).",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let of_tier = |tier: Tier| WAYS.iter().map(move |way| proof(way, tier));
    Tier::ALL.into_iter().flat_map(of_tier).collect()
}

/// The proof's id, `CONFIGURATION-VERB-WAY`: so each way has one in each tier, whatever it
/// comes to there.
fn id(way: &Way, tier: Tier) -> String {
    let verb = match way.met(tier).fate {
        _ if way.is_neighbour() => "spares",
        Fate::Denied { .. } => "stops",
        Fate::Killed { .. } => "kills",
        Fate::Allowed | Fate::Broken { .. } => "leaks",
    };
    format!("{}-{verb}-{}", tier.name(), way.name)
}

fn proof(way: &'static Way, tier: Tier) -> Proof {
    let (free, met) = (way.free(), way.met(tier));
    // Pid 1 acts in every arm with the same pid, so that its events in one arm couldn't be
    // told from those in another.
    let same_process = way.is_pid_one;
    let mut arms = Vec::new();
    if !same_process {
        arms.push(arm("before", &free));
    }
    let race = |name: &str, what: &What| {
        let arm = name.to_owned();
        let expect = Expectation::Race {
            attempts: ATTEMPTS,
            each: Box::new(expected(what)),
        };
        way.is_race.then_some(PlannedArm { arm, expect })
    };
    arms.extend(race("race-before", &free));
    if let Some(limit) = met.limit {
        let declared = contains("/classes/file/limits", limit);
        arms.push(document("report", &[declared]));
    }
    arms.push(arm("during", &met));
    // If the agent lets the denied file be, a neighbour shows no more.
    if met.event.is_some() && !same_process {
        arms.push(arm("benign", &free));
    }
    arms.extend(race("race", &met));
    let acts = acts!(acts::GoesAWay {
        way,
        wanted: arms.iter().map(|arm| arm.arm.clone()).collect(),
    });
    let of_tier = way.mutants.iter().filter(|(of, _)| *of == tier);
    let mutants: Vec<Mutant> = of_tier.map(|(_, mutant)| *mutant).collect();
    Proof::new(id(way, tier), tier.boot(), tier.plain(), acts, arms)
        .swept(sweeps(way, tier, &met))
        .catches(&mutants)
}

/// Red over the agent that stops nobody wherever somebody must be stopped.
fn sweeps(way: &Way, tier: Tier, met: &What) -> Sweeps {
    let stopped = |fate: Fate| fate != Fate::Allowed;
    let helper = match met.by {
        Doer::Helper { fate } => stopped(fate),
        Doer::Itself | Doer::Worker => false,
    };
    let stops_nobody = match met.limit {
        _ if stopped(met.fate) || helper => Swept::Red,
        Some(_) => Swept::Green(Green::Leak),
        None => Swept::Green(Green::Report),
    };
    // Pid 1 has no neighbour, and is in the root cgroup, which an agent that denies all lets be.
    // Nor is there anything to deny where nothing is opened.
    let denies_all = match met.limit {
        _ if !way.is_pid_one && !way.opens_nothing(tier) => Swept::Red,
        Some(_) => Swept::Green(Green::Leak),
        None if stopped(met.fate) => Swept::Green(Green::Stop),
        None => Swept::Green(Green::Report),
    };
    Sweeps {
        stops_nobody,
        denies_all,
    }
}

fn arm(name: &str, what: &What) -> PlannedArm {
    PlannedArm {
        arm: name.to_owned(),
        expect: expected(what),
    }
}

fn expected(what: &What) -> Expectation {
    Expectation::Act {
        fate: what.fate,
        leaks: what.leaks,
        effects: what.effects.clone(),
        by: what.by,
        event: what.event.map(str::to_owned),
        limit: what.limit.map(str::to_owned),
    }
}

/// The table of `GUARANTEES.md`: a line a way, a column a tier.
pub(crate) fn table() -> String {
    let mut text = String::from("| way | what it is |");
    let columns = || Tier::ALL.into_iter().map(Tier::name);
    columns().for_each(|name| text.push_str(&format!(" `{name}` |")));
    text.push_str("\n| --- | --- |");
    columns().for_each(|_| text.push_str(" --- |"));
    text.push('\n');
    for way in WAYS {
        text.push_str(&format!("| `{}` | {} |", way.name, way.what));
        for tier in Tier::ALL {
            text.push_str(&format!(" {} |", cell(&way.met(tier))));
        }
        text.push('\n');
    }
    text
}

fn cell(met: &What) -> String {
    let mut words = vec![match met.fate {
        Fate::Denied { .. } => "`EPERM`",
        Fate::Killed { .. } => "killed",
        Fate::Allowed if met.leaks && met.limit.is_some() => "leaks",
        Fate::Allowed | Fate::Broken { .. } => "allowed",
    }];
    words.extend(met.effects.iter().map(|effect| match effect {
        Effect::Truncated => "truncated",
        Effect::Created => "created",
        Effect::Replaced => "replaced",
    }));
    let words = words.join(", ");
    match met.limit {
        Some(limit) => format!("{words}: `{limit}`"),
        None => words,
    }
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result, bail};
    use protocol::plan::ATTEMPTS;
    use protocol::record::{Act, Observation};

    use super::way::Way;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::ways::trees::Tree;
    use crate::acts::{Acts, live_report};

    /// One way, with the arms that are wanted of it: not every way has a use for all of them.
    #[derive(Debug)]
    pub struct GoesAWay {
        pub way: &'static Way,
        pub wanted: Vec<String>,
    }

    impl GoesAWay {
        fn wants(&self, arm: &str) -> bool {
            self.wanted.iter().any(|wanted| wanted == arm)
        }

        fn go(&self, lab: &Lab, tree: Tree) -> Result<Act> {
            let actors = lab.actors.context("nobody is there to act")?;
            actors.borrow_mut().go(self.way.name, &self.way.go, tree)
        }

        /// Goes it as often as it is measured, if it is a race.
        fn race(&self, lab: &Lab, seen: &mut Seen, arm: &str) -> Result<()> {
            if self.wants(arm) {
                let acts = (0..ATTEMPTS).map(|_| self.go(lab, Tree::Denied));
                let acts = acts.collect::<Result<_>>()?;
                seen.other(arm, Observation::Race { acts });
            }
            Ok(())
        }
    }

    impl Acts for GoesAWay {
        fn needs_actors(&self) -> bool {
            true
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            if self.wants("before") {
                seen.act("before", self.go(lab, Tree::Denied)?);
            }
            self.race(lab, seen, "race-before")
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            if let During::Ended(_) = agent {
                bail!("the agent has ended");
            }
            if self.wants("report") {
                seen.other("report", live_report(agent)?);
            }
            if self.wants("during") {
                seen.act("during", self.go(lab, Tree::Denied)?);
            }
            if self.wants("benign") {
                seen.act("benign", self.go(lab, Tree::Free)?);
            }
            self.race(lab, seen, "race")
        }
    }
}
