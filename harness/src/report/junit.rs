//! JUnit XML, through the junit-report crate.
//!
//! In: judged boots and the time of writing. Out: one document with a testsuite for each
//! kernel and boot, named `KERNEL/BOOT`, and a testcase for each proof, named by its id.
//!
//! A case's time is that of the proof's own phases, and a suite's that of its boot: starting the
//! machine and the agents belongs to no case.
//!
//! This is the only module that knows the crate, which leaves four things to its users. It
//! has no properties, so the facts of a boot are one JSON line in the suite's system-out. It
//! writes text as CDATA without looking inside, so `]]>` is divided here. It keeps the
//! characters that XML forbids, which a guest's console is full of, so they are dropped here. And
//! it takes the sum of the cases' times for the suite's, so that is written over here.

use anyhow::{Context, Result};
use junit_report::{Duration, OffsetDateTime, Report, TestCase, TestCaseBuilder, TestSuite};
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, Writer};
use serde::Serialize;

use crate::outcome::{BootResult, Cases, Ending, ProofResult, Provenance, Status, SuiteId};

/// Version of the JSON line in each suite's system-out.
const FACTS_VERSION: u32 = 1;

/// The testcase that stands for the boot itself where that was at fault: without it, a suite
/// whose proofs all passed would look green.
const BOOT_CASE: &str = "boot";

/// The facts of a boot that JUnit has no place for.
#[derive(Serialize)]
struct Facts<'a> {
    facts_version: u32,
    kernel: &'a str,
    boot: &'a str,
    release: Option<&'a str>,
    package_version: Option<&'a str>,
    replaced_version: Option<&'a str>,
    accelerator: &'a str,
    launcher: &'a str,
    provenance: &'a Provenance,
    ending: Option<&'a Ending>,
    duration_s: f64,
    faults: &'a [String],
}

/// The whole document.
pub fn render(results: &[BootResult], written: OffsetDateTime) -> Result<Vec<u8>> {
    let mut report = Report::new();
    for result in results {
        report.add_testsuite(suite(result, written)?);
    }
    let mut xml = Vec::new();
    report
        .write_xml(&mut xml)
        .context("failed to compose the JUnit report")?;
    let mut xml = with_times(&xml, results).context("failed to write the suites' times")?;
    xml.push(b'\n');
    Ok(xml)
}

/// The document with each suite's time being its boot's.
fn with_times(xml: &[u8], results: &[BootResult]) -> Result<Vec<u8>> {
    let mut times = results.iter().map(suite_time);
    let mut reader = Reader::from_reader(xml);
    let mut writer = Writer::new(Vec::new());
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(writer.into_inner()),
            Event::Start(tag) if tag.name().as_ref() == b"testsuite" => {
                let time = times.next().context("a suite more than there are boots")?;
                writer.write_event(Event::Start(with_time(&tag, time)?))?;
            }
            Event::Empty(tag) if tag.name().as_ref() == b"testsuite" => {
                let time = times.next().context("a suite more than there are boots")?;
                writer.write_event(Event::Empty(with_time(&tag, time)?))?;
            }
            other => writer.write_event(other)?,
        }
    }
}

/// The boot's time, or that of all its cases, if a guest's clock ran so fast that they add up to more.
fn suite_time(result: &BootResult) -> std::time::Duration {
    let of_cases = result.proofs.iter().map(|proof| proof.duration).sum();
    result.duration.max(of_cases)
}

fn with_time(tag: &BytesStart, time: std::time::Duration) -> Result<BytesStart<'static>> {
    let mut timed = BytesStart::new(String::from_utf8(tag.name().as_ref().to_vec())?);
    for attribute in tag.attributes() {
        let attribute: Attribute = attribute?;
        match attribute.key.as_ref() {
            b"time" => timed.push_attribute(("time", time.as_secs_f64().to_string().as_str())),
            _ => timed.push_attribute(attribute),
        }
    }
    Ok(timed)
}

/// Counts the cases of each suite in a document, as a reader of it would.
pub fn cases(xml: &str) -> Result<Cases> {
    let mut cases = Cases::new();
    let mut suite = None;
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event()? {
            Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                b"testsuite" => {
                    let name = tag
                        .try_get_attribute("name")?
                        .context("a suite has a name")?;
                    let name = String::from_utf8(name.value.into_owned())?;
                    let name = quick_xml::escape::unescape(&name)?;
                    let (kernel, boot) = name.rsplit_once('/').context("KERNEL/BOOT")?;
                    let id = SuiteId {
                        kernel: kernel.to_owned(),
                        boot: boot.to_owned(),
                    };
                    cases.insert(id.clone(), 0);
                    suite = Some(id);
                }
                b"testcase" => {
                    let suite = suite.as_ref().context("a case is in a suite")?;
                    *cases.entry(suite.clone()).or_default() += 1;
                }
                _ => {}
            },
            Event::Eof => return Ok(cases),
            _ => {}
        }
    }
}

fn suite(result: &BootResult, written: OffsetDateTime) -> Result<TestSuite> {
    let mut suite = TestSuite::new(&allowed(&result.suite.to_string()));
    suite.package = allowed(&result.suite.kernel);
    suite.set_timestamp(written);
    suite.set_system_out(&cdata(&facts(result)?));
    if !result.faults.is_empty() || result.proofs.is_empty() {
        suite.add_testcase(boot_case(result));
    }
    suite.add_testcases(result.proofs.iter().map(|proof| case(result, proof)));
    Ok(suite)
}

fn facts(result: &BootResult) -> Result<String> {
    let facts = Facts {
        facts_version: FACTS_VERSION,
        kernel: &result.suite.kernel,
        boot: &result.suite.boot,
        release: result.release.as_deref(),
        package_version: result.package_version.as_deref(),
        replaced_version: result.replaced_version.as_deref(),
        accelerator: &result.accelerator,
        launcher: &result.launcher,
        provenance: &result.provenance,
        ending: result.ending.as_ref(),
        duration_s: result.duration.as_secs_f64(),
        faults: &result.faults,
    };
    serde_json::to_string(&facts).context("failed to write a boot's facts as JSON")
}

fn boot_case(result: &BootResult) -> TestCase {
    let nothing = ["no proof was planned".to_string()];
    let faults = match result.faults.is_empty() {
        true => nothing.as_slice(),
        false => &result.faults,
    };
    let message = allowed(&headline(faults));
    let case = TestCaseBuilder::error(BOOT_CASE, Duration::ZERO, "infrastructure", &message);
    explained(case, result, faults)
}

fn case(result: &BootResult, proof: &ProofResult) -> TestCase {
    let name = allowed(&proof.id);
    let time = Duration::try_from(proof.duration).unwrap_or(Duration::MAX);
    let message = allowed(&headline(&proof.reasons));
    let case = match proof.status {
        Status::Passed => TestCaseBuilder::success(&name, time),
        // The crate writes no text below a skip, so all of it goes into the message.
        Status::Skipped => {
            let message = allowed(&proof.reasons.join("; "));
            TestCaseBuilder::skipped_with_cause(&name, "declared", &message)
        }
        Status::Failed => TestCaseBuilder::failure(&name, time, "failed", &message),
        Status::UnexpectedPass => {
            TestCaseBuilder::failure(&name, time, "unexpected-pass", &message)
        }
        Status::UndeclaredSkip => {
            TestCaseBuilder::failure(&name, time, "undeclared-skip", &message)
        }
        Status::Incomplete => TestCaseBuilder::error(&name, time, "incomplete", &message),
    };
    let mut case = explained(case, result, &proof.reasons);
    if let Some(race) = proof.race {
        case.set_system_out(&race.to_string());
    }
    case
}

/// Adds the reasons and the console's tail, which the crate keeps only where a case failed.
fn explained(mut case: TestCaseBuilder, result: &BootResult, reasons: &[String]) -> TestCase {
    let mut text = reasons.join("\n");
    if let Some(tail) = &result.console_tail {
        text.push_str("\n\nThe end of the console:\n");
        text.push_str(tail);
    }
    case.set_trace(&cdata(&text));
    case.set_classname(&allowed(&result.suite.to_string()));
    case.build()
}

fn headline(reasons: &[String]) -> String {
    match reasons {
        [] => String::new(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first} (and {} more)", more.len()),
    }
}

/// Text without the characters that no XML 1.0 document may hold, not even escaped.
fn allowed(text: &str) -> String {
    text.chars()
        .filter(|c| {
            matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                || *c >= '\u{10000}'
        })
        .collect()
}

/// Text that stays inside one CDATA element: its end mark is divided between two sections.
fn cdata(text: &str) -> String {
    allowed(text).replace("]]>", "]]]]><![CDATA[>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    const WRITTEN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn xml(results: &[BootResult]) -> String {
        String::from_utf8(render(results, WRITTEN).unwrap()).unwrap()
    }

    #[test]
    fn the_cases_of_a_document_are_counted_as_a_reader_would() {
        let results = samples::results();
        let counted = cases(&xml(&results)).unwrap();
        assert_eq!(counted.len(), results.len());
        for result in &results {
            let of_boot = usize::from(!result.faults.is_empty() || result.proofs.is_empty());
            assert_eq!(counted[&result.suite], result.proofs.len() + of_boot);
        }
        assert!(cases("<testcase name=\"astray\"/>").is_err());
    }

    /// Each element with its attributes and all text below it, as a reader sees it.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        text: String,
    }

    fn elements(xml: &str) -> Vec<Element> {
        let mut reader = Reader::from_str(xml);
        let mut open: Vec<usize> = Vec::new();
        let mut found: Vec<Element> = Vec::new();
        loop {
            let event = reader.read_event().expect("well-formed XML");
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let attributes = tag.attributes().map(|attribute| {
                        let attribute = attribute.expect("well-formed attributes");
                        let key = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                        let raw = String::from_utf8(attribute.value.to_vec()).unwrap();
                        (key, quick_xml::escape::unescape(&raw).unwrap().into_owned())
                    });
                    found.push(Element {
                        name: String::from_utf8(tag.name().as_ref().to_vec()).unwrap(),
                        attributes: attributes.collect(),
                        text: String::new(),
                    });
                    if matches!(event, Event::Start(_)) {
                        open.push(found.len() - 1);
                    }
                }
                Event::End(_) => drop(open.pop().expect("a start for each end")),
                Event::CData(data) => {
                    let text = String::from_utf8(data.to_vec()).unwrap();
                    found[*open.last().unwrap()].text.push_str(&text);
                }
                Event::Text(text) => {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    assert!(text.trim().is_empty(), "stray text: {text}");
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(open.is_empty());
        found
    }

    fn get<'a>(element: &'a Element, key: &str) -> &'a str {
        let found = element.attributes.iter().find(|(name, _)| name == key);
        &found.expect("the attribute is there").1
    }

    fn all<'a>(elements: &'a [Element], name: &str) -> Vec<&'a Element> {
        elements.iter().filter(|e| e.name == name).collect()
    }

    #[test]
    fn a_run_with_one_of_everything() {
        let lines = xml(&samples::results()).replace("><", ">\n<");
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn a_suite_takes_as_long_as_its_boot_and_no_shorter_than_its_cases_together() {
        let mut results = samples::results();
        // A guest whose clock runs fast.
        results[2].proofs[0].duration = std::time::Duration::from_secs(60);
        let parsed = elements(&xml(&results));
        let time = |element: &Element| get(element, "time").parse::<f64>().unwrap();
        let suites = all(&parsed, "testsuite");
        assert_eq!(suites.len(), results.len());
        for (suite, result) in suites.iter().zip(&results) {
            let name = result.suite.to_string();
            let mut cases = all(&parsed, "testcase");
            cases.retain(|case| get(case, "classname") == name);
            let sum: f64 = cases.iter().map(|case| time(case)).sum();
            assert!(
                sum <= time(suite) + 1e-6,
                "{name}: {sum} in {}",
                time(suite)
            );
            let boot = result.duration.as_secs_f64();
            assert!(time(suite) >= boot, "{name}");
            assert!(sum > boot || time(suite) == boot, "{name}");
        }
        assert_eq!(time(suites[0]), 4.2);
    }

    #[test]
    fn a_race_says_what_was_measured() {
        let (attempts, leaks) = (32, 1);
        let mut proof = samples::proof("a-race", Status::Passed, &[]);
        proof.race = Some(crate::outcome::Race { attempts, leaks });
        let xml = xml(&[samples::boot("6.1", "bpf-lsm", vec![proof])]);
        assert!(xml.contains("1 of 32 attempts leaked (3 %)"), "{xml}");
    }

    #[test]
    fn every_status_has_its_element() {
        for (status, element, kind) in [
            (Status::Failed, "failure", "failed"),
            (Status::UnexpectedPass, "failure", "unexpected-pass"),
            (Status::UndeclaredSkip, "failure", "undeclared-skip"),
            (Status::Incomplete, "error", "incomplete"),
            (Status::Skipped, "skipped", "declared"),
        ] {
            let message = match status {
                Status::Skipped => "why; and why else",
                _ => "why (and 1 more)",
            };
            let proof = samples::proof("a-proof", status, &["why", "and why else"]);
            let parsed = elements(&xml(&[samples::boot("6.1", "bpf-lsm", vec![proof])]));
            let found = all(&parsed, element);
            assert_eq!(found.len(), 1, "{status:?}");
            assert_eq!(get(found[0], "type"), kind);
            assert_eq!(get(found[0], "message"), message);
        }
        let passed = samples::boot("6.1", "bpf-lsm", samples::passed(&["a-proof"]));
        let parsed = elements(&xml(&[passed]));
        for element in ["failure", "error", "skipped"] {
            assert!(all(&parsed, element).is_empty());
        }
    }

    #[test]
    fn a_fault_shows_even_where_every_proof_passed() {
        let mut result = samples::boot("6.1", "bpf-lsm", samples::passed(&["a-proof"]));
        result.faults = vec!["incomplete: no `end` record".into()];
        let parsed = elements(&xml(&[result]));
        let suite = all(&parsed, "testsuite")[0];
        assert_eq!((get(suite, "tests"), get(suite, "errors")), ("2", "1"));
        assert_eq!(get(all(&parsed, "testcase")[0], "name"), "boot");
        assert_eq!(
            get(all(&parsed, "error")[0], "message"),
            "incomplete: no `end` record"
        );
    }

    #[test]
    fn a_suite_without_proofs_is_an_error() {
        let parsed = elements(&xml(&[samples::boot("6.1", "bpf-lsm", vec![])]));
        assert_eq!(
            get(all(&parsed, "error")[0], "message"),
            "no proof was planned"
        );
    }

    #[test]
    fn the_facts_of_a_boot_are_one_line_of_json() {
        let parsed = elements(&xml(&samples::results()));
        for facts in all(&parsed, "system-out") {
            assert!(!facts.text.contains('\n'));
            let facts: serde_json::Value = serde_json::from_str(&facts.text).unwrap();
            assert_eq!(facts["launcher"], "virtme-ng");
            assert_eq!(facts["accelerator"], "tcg");
        }
    }

    #[test]
    fn hostile_characters_stay_inside_well_formed_xml() {
        let hostile = "a]]>b\u{0}\u{1b}[31m<&>\"'\u{fffe}\u{ffff}\u{7f}\t\u{1F512}]]\u{1}>c]]]>";
        let readable = "a]]>b[31m<&>\"'\u{7f}\t\u{1F512}]]>c]]]>";
        let mut result = samples::boot(
            "6.1",
            "bpf-lsm",
            vec![samples::proof(hostile, Status::Failed, &[hostile, "more"])],
        );
        result.console_tail = Some(hostile.repeat(2));
        result.faults = vec![hostile.into()];
        result.suite.kernel = hostile.into();
        let text = xml(&[result]);
        assert!(!text.contains(['\u{0}', '\u{1b}', '\u{fffe}', '\u{ffff}', '\u{1}']));
        let parsed = elements(&text);
        let failure = all(&parsed, "failure")[0];
        assert_eq!(get(failure, "message"), format!("{readable} (and 1 more)"));
        let tail = readable.repeat(2);
        assert_eq!(
            failure.text,
            format!("{readable}\nmore\n\nThe end of the console:\n{tail}")
        );
        assert_eq!(get(all(&parsed, "testcase")[1], "name"), readable);
    }

    #[test]
    fn an_empty_run_is_still_a_document() {
        assert_eq!(all(&elements(&xml(&[])), "testsuites").len(), 1);
    }
}
