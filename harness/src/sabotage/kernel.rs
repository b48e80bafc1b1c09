//! One kernel's mutants, judged: from its boots to what became of each.
//!
//! In: the mutants, the skips declared for the kernel, its boots as they were planned, as they
//! came out, and with their records. Out: what became of each mutant and of the control. Pure.

use std::time::Duration;

use protocol::record::Record;
use protocol::sabotage::{self as mark, CONTROL};

use proofs::{Boot, Tried};

use super::catalogue::ListedMutant;
use super::judge::{self, Judged};
use super::report::OfKernel;
use super::skip;
use crate::kernels::manifest::Skip;
use crate::outcome::{BootResult, Ending, ProofResult, Status};
use crate::run::plan::PlannedBoot;
use crate::verdict;
use crate::vm::Accelerator;
use crate::vm::channel::{Channel, Line};

/// A boot that is over.
#[derive(Debug)]
pub struct Over<'a> {
    /// As it was planned.
    pub planned: &'a PlannedBoot,
    /// As it came out.
    pub result: &'a BootResult,
    /// What came over its channel; nothing, if it never started.
    pub records: Vec<u8>,
}

/// Judges a kernel's mutants. `boots` are all those of this kernel.
#[must_use]
pub fn judge(
    kernel: &str,
    mutants: &[ListedMutant],
    skips: &[Skip],
    boots: &[Over],
    accelerator: Accelerator,
) -> OfKernel {
    let of = |boot: &str| boots.iter().find(|over| over.result.suite.boot == boot);
    let (to_try, skipped) = skip::part(mutants, skips);
    let judged = |listed: &ListedMutant| {
        let ListedMutant { mutant, boot, .. } = listed;
        let shared = of(boot.name());
        if let (Tried::LostRecord, Some(shared)) = (mutant.tried, shared) {
            return lost_record(listed, shared);
        }
        let alone = of(&mark::with(boot.name(), mutant.name));
        let boots = shared.into_iter().chain(alone);
        let results: Vec<&ProofResult> = boots.flat_map(|over| &over.result.proofs).collect();
        let faults = alone.or(shared).map_or(&[][..], |over| &over.result.faults);
        judge::judge(listed, &results, faults)
    };
    let mut control = Control::default();
    for over in Boot::ALL.into_iter().filter_map(|boot| of(boot.name())) {
        control.add(over.result);
    }
    OfKernel {
        kernel: kernel.to_owned(),
        release: boots.iter().find_map(|over| over.result.release.clone()),
        accelerator: accelerator.name().to_owned(),
        control_passed: control.passed,
        control_faults: control.faults,
        mutants: to_try.iter().map(judged).collect(),
        skipped,
    }
}

/// What came of the proofs with nothing broken.
#[derive(Default)]
struct Control {
    passed: usize,
    faults: Vec<String>,
}

impl Control {
    fn add(&mut self, boot: &BootResult) {
        self.faults.extend(boot.faults.iter().cloned());
        for proof in &boot.proofs {
            match (mark::split(&proof.id), proof.status) {
                ((_, Some(CONTROL)), Status::Passed) => self.passed += 1,
                ((id, Some(CONTROL)), _) => {
                    self.faults
                        .push(format!("{id}: {}", proof.reasons.join("; ")));
                }
                _ => {}
            }
        }
    }
}

/// Judges the control's own records once more, with one of them lost.
fn lost_record(listed: &ListedMutant, over: &Over) -> Judged {
    let mutant = &listed.mutant;
    let proof = mark::with(&listed.proof, CONTROL);
    let mut channel = Channel::default();
    channel.push(&lose(&over.records, &proof, mutant.arm), Duration::ZERO);
    channel.close();
    let ending = Ending::Exited { code: 0 };
    let PlannedBoot { plan, nonce, .. } = over.planned;
    let console = verdict::explain::whole_console(nonce);
    let identity = verdict::Identity {
        nonce,
        promises_sha256: proofs::SOURCE_SHA256,
    };
    let judged = verdict::judge(plan, identity, &[], &channel, &ending, &console);
    let proofs = judged.proofs.into_iter();
    let with_loss: Vec<ProofResult> = proofs
        .filter(|result| result.id == proof)
        .map(|result| ProofResult {
            id: mark::with(&listed.proof, mutant.name),
            ..result
        })
        .collect();
    let results: Vec<&ProofResult> = over.result.proofs.iter().chain(&with_loss).collect();
    judge::judge(listed, &results, &judged.faults)
}

/// The records without the evidence of one arm.
fn lose(records: &[u8], proof: &str, lost: &str) -> Vec<u8> {
    let is_lost = |line: &&[u8]| {
        let mut channel = Channel::default();
        let lines = channel.push(line, Duration::ZERO);
        matches!(lines, [(_, Line::Record(Record::Evidence { id, arm, .. }))]
            if id == proof && arm == lost)
    };
    let lines = records.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !is_lost(line))
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use proofs::{Mutant, ShowsAs};
    use protocol::record::{Observation, Outcome};
    use serde_json::json;

    use super::super::catalogue;
    use super::super::judge::Fate;
    use super::*;
    use crate::report::samples::{boot, proof};
    use crate::verdict::samples;

    const BOOT: Boot = Boot::NoBpfLsm;

    /// Else like the first of the catalogue, which shares its boot and makes its proof fail.
    fn bad() -> ListedMutant {
        ListedMutant {
            mutant: Mutant {
                name: "bad",
                arm: "report",
                says: "/runtime_state",
                ..catalogue::all()[0].mutant
            },
            boot: BOOT,
            proof: samples::PROMOTES.into(),
        }
    }

    fn with(mutant: &str) -> String {
        mark::with(samples::PROMOTES, mutant)
    }

    fn control() -> ProofResult {
        proof(&with(CONTROL), Status::Passed, &[])
    }

    fn caught() -> ProofResult {
        let reasons = ["report: /runtime_state is \"ENFORCE\""];
        proof(&with(bad().mutant.name), Status::Failed, &reasons)
    }

    /// The plan for the control's one proof.
    fn planned() -> PlannedBoot {
        let mut plan = samples::plan();
        plan.proofs.truncate(1);
        plan.proofs[0].id = with(CONTROL);
        PlannedBoot {
            suite: crate::run::plan::suite("6.1", BOOT),
            plan,
            nonce: samples::NONCE.to_owned(),
            cmdline: String::new(),
        }
    }

    /// What the guest tells of it.
    fn records() -> Vec<u8> {
        let document = json!({"runtime_state": "ENFORCE_SIGNAL", "audit_only": false});
        let id = with(CONTROL);
        let records = [
            Record::Hello(Box::new(samples::hello())),
            samples::started(&id, "signal"),
            samples::evidence(&id, "report", Observation::Document { document }),
            samples::finished(&id, Outcome::Observed, None, 0),
            Record::End { count: 4 },
        ];
        let lines = records.map(|record| serde_json::to_string(&record).expect("it is data"));
        (lines.join("\n") + "\n").into_bytes()
    }

    fn of_boots(
        mutants: &[ListedMutant],
        skips: &[Skip],
        boots: &[(BootResult, Vec<u8>)],
    ) -> OfKernel {
        let planned = planned();
        let boots = boots.iter().map(|(result, records)| Over {
            planned: &planned,
            result,
            records: records.clone(),
        });
        let boots: Vec<Over> = boots.collect();
        judge("6.1", mutants, skips, &boots, Accelerator::Tcg)
    }

    fn fates(of_kernel: &OfKernel) -> Vec<Fate> {
        let mutants = of_kernel.mutants.iter();
        mutants.map(|judged| judged.fate).collect()
    }

    #[test]
    fn a_mutant_in_a_boot_of_its_own_is_held_against_the_control_in_the_shared_one() {
        let mut alone = bad();
        alone.mutant.tried = Tried::Alone;
        let shared = || (boot("6.1", "no-bpf-lsm", vec![control()]), Vec::new());
        let own = || boot("6.1", "no-bpf-lsm@bad", vec![caught()]);
        let judged = of_boots(
            std::slice::from_ref(&alone),
            &[],
            &[shared(), (own(), Vec::new())],
        );
        assert_eq!(fates(&judged), [Fate::Caught]);
        assert_eq!(judged.control_passed, 1);
        let mut faulty = own();
        faulty.faults.push("incomplete: no `end` record".to_owned());
        let judged = of_boots(&[alone], &[], &[shared(), (faulty, Vec::new())]);
        assert_eq!(fates(&judged), [Fate::Unknown]);
        // It is the mutant's boot, not the control's.
        assert_eq!(judged.control_faults, [""; 0]);
    }

    #[test]
    fn a_control_that_did_not_pass_is_told_and_so_are_its_boot_s_faults() {
        let red = proof(&with(CONTROL), Status::Failed, &["report: odd", "more"]);
        let mut boot = boot("6.1", "no-bpf-lsm", vec![red, caught()]);
        boot.faults.push("the kernel complained".to_owned());
        let judged = of_boots(&[bad()], &[], &[(boot, Vec::new())]);
        let expected = [
            "the kernel complained",
            "promotes-to-enforce-signal: report: odd; more",
        ];
        assert_eq!(judged.control_faults, expected);
        assert_eq!(judged.control_passed, 0);
        assert_eq!(fates(&judged), [Fate::Unknown]);
    }

    #[test]
    fn a_mutant_that_is_a_declared_skip_is_told_as_one_and_not_judged() {
        let skip = Skip {
            proof: "promotes-*".to_owned(),
            boot: None,
            reason: "no tracefs".to_owned(),
        };
        let judged = of_boots(&[bad()], &[skip], &[]);
        assert_eq!(judged.mutants, []);
        assert_eq!(judged.skipped.len(), 1);
        assert_eq!(judged.skipped[0].reason, "no tracefs");
    }

    #[test]
    fn a_lost_record_is_missed_by_judging_the_control_s_records_again() {
        let mut lost = bad();
        lost.mutant = Mutant {
            says: "no evidence came",
            shows_as: ShowsAs::Incomplete,
            tried: Tried::LostRecord,
            ..lost.mutant
        };
        let shared = || boot("6.1", "no-bpf-lsm", vec![control()]);
        let judged = of_boots(std::slice::from_ref(&lost), &[], &[(shared(), records())]);
        assert_eq!(fates(&judged), [Fate::Caught], "{:?}", judged.mutants);
        // Of another arm, nothing is lost.
        let mut other = lost.clone();
        other.mutant.arm = "before";
        let judged = of_boots(&[other], &[], &[(shared(), records())]);
        assert_eq!(fates(&judged), [Fate::Missed], "{:?}", judged.mutants);
        // Of a boot that never started there is nothing to lose.
        let never = proof(&with(CONTROL), Status::Incomplete, &["it never started"]);
        let never = boot("6.1", "no-bpf-lsm", vec![never]);
        let judged = of_boots(&[lost], &[], &[(never, Vec::new())]);
        assert_eq!(fates(&judged), [Fate::Unknown], "{:?}", judged.mutants);
    }

    #[test]
    fn exactly_one_record_is_lost() {
        let evidence = |id: &str, arm: &str| {
            format!(
                "{{\"record\":\"evidence\",\"id\":\"{id}\",\"arm\":\"{arm}\",\
                 \"observation\":{{\"kind\":\"document\",\"document\":1}}}}\n"
            )
        };
        let (first, second) = (evidence("a-proof", "before"), evidence("a-proof", "during"));
        let all = format!("{first}{second}{}", evidence("b-proof", "during"));
        let left = lose(all.as_bytes(), "a-proof", "during");
        let expected = format!("{first}{}", evidence("b-proof", "during"));
        assert_eq!(String::from_utf8(left).expect("text"), expected);
    }
}
