//! How long a report is valid goes by the boot clock: whoever sets the time of day back by an hour
//! makes no report valid for an hour longer.

use protocol::plan::PlannedArm;

use crate::arms::{document, equals};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "dates-by-boot-clock",
    text: "A clock that is set back makes no report valid for longer: each moment of a report stands \
           in it by the boot clock too, which nobody can set, and `valid_until_boot_ms` of one that is \
           written after the time of day was set back by an hour is what it was. Neither is its \
           `valid_until` later than the time of day then allows; the next verification renews both.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let tier = Tier::Lsm;
    let acts = acts!(acts::DatesByBootClock(tier));
    let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms());
    vec![proof.swept(Sweeps::REPORT).catches(MUTANTS)]
}

fn arms() -> Vec<PlannedArm> {
    let set_back = [equals("/moved_ms", 0), equals("/too_long", false)];
    let verified = [
        equals("/later", true),
        equals("/valid_for_ms", 10_000),
        equals("/too_long", false),
    ];
    vec![
        document("set-back", &set_back),
        document("verified", &verified),
    ]
}

const MUTANTS: &[Mutant] = &[Mutant::new(
    "dates-by-time-of-day",
    "how long a report is valid goes by the time of day",
    "set-back",
    "/moved_ms: expected 0",
)];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::fs::Timespec;
    use rustix::time::{ClockId, clock_gettime, clock_settime};
    use serde_json::{Value, json};

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::{Reports, boot_ms, milliseconds, oldest_evidence, valid_for_ms};
    use crate::acts::rewritten::Pending;
    use crate::acts::{Acts, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct DatesByBootClock(pub Tier);

    impl DatesByBootClock {
        fn pending(&self) -> Pending {
            Pending::on("set-back", self.0.ground("/srv", "set-back"))
        }
    }

    impl Acts for DatesByBootClock {
        fn rules(&self) -> Result<String> {
            Ok(self.pending().rule())
        }

        fn before(&self, _lab: &Lab, _seen: &mut Seen) -> Result<()> {
            self.pending().lay()
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut reports = Reports::watch(running)?;
            let mut clock = SetBack::default();
            let (before, after) =
                self.pending()
                    .rewrite(&mut reports, lab.ground.limit(), || {
                        // The one before is to be of the clock as it was.
                        clock = SetBack::default();
                        clock.by_an_hour()
                    })?;
            let until = |report| boot_ms(report, "valid_until_boot_ms");
            let document = json!({
                "moved_ms": until(&after)? - until(&before)?,
                "too_long": too_long(&after)?,
            });
            seen.other("set-back", Observation::Document { document });
            let evidence = oldest_evidence(&after)?;
            let newer = reports.next("a report after another verification", |report| {
                oldest_evidence(report).is_ok_and(|newer| newer > evidence)
            })?;
            let document = json!({
                "later": until(&newer)? > until(&after)?,
                "valid_for_ms": valid_for_ms(&newer)?,
                "too_long": too_long(&newer)?,
            });
            seen.other("verified", Observation::Document { document });
            self.pending().settle(&mut reports)
        }
    }

    /// Whether a report may be believed for longer than ten seconds by the time of day.
    fn too_long(report: &Value) -> Result<bool> {
        let left = milliseconds(&report["valid_until"])? - milliseconds(&report["generated_at"])?;
        Ok(left > 10_000)
    }

    /// The time of day, which is put right again when this is dropped.
    #[derive(Default)]
    struct SetBack {
        /// The time of day of the boot, as it was.
        boot: Option<Timespec>,
    }

    impl SetBack {
        fn by_an_hour(&mut self) -> Result<()> {
            const HOUR: Timespec = Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            };
            let now = clock_gettime(ClockId::Realtime);
            self.boot = Some(now - clock_gettime(ClockId::Boottime));
            clock_settime(ClockId::Realtime, now - HOUR).context("setting the clock back")
        }
    }

    impl Drop for SetBack {
        fn drop(&mut self) {
            if let Some(boot) = self.boot {
                let now = boot + clock_gettime(ClockId::Boottime);
                if let Err(error) = clock_settime(ClockId::Realtime, now) {
                    eprintln!("the clock can't be put right: {error}");
                }
            }
        }
    }
}
