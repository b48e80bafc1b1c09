//! Machines whose apt can't bring a kernel: without a network, without a mirror of Debian's.

use crate::support::{Checkout, Ran, Tools, pretend_artifacts};

/// The `apt-get` of a machine with one source whose Release file has this label, and which
/// then ends updates so.
fn one_source(label: &str, update: &str) -> String {
    format!(
        r#"printf 'Origin: {label}\nLabel: {label}\n' >$HERE/m_InRelease
case "$*" in
*"--no-release-info"*) printf 'Packages\thttp://mirror.example/debian/\tmain/Packages\t%s/m_main_Packages\t/etc/x.list:1\n' $HERE;;
*update*) {update};;
esac"#
    )
}

/// Runs with an empty cache, which an `apt-get` of this kind is to fill.
fn with_apt_get(script: &str, arguments: &[&str]) -> Ran {
    let checkout = Checkout::new();
    pretend_artifacts(&checkout.path("target/artifacts"));
    let tools = Tools::all();
    tools.put("apt-get", script);
    tools.put("apt-config", "echo \"PARTS='/nonexistent/'\"");
    let mut harness = checkout.harness(arguments[0]);
    harness.args(&arguments[1..]).env("PATH", tools.first());
    harness.env("XDG_CACHE_HOME", checkout.path("cache"));
    Ran::of(&mut harness)
}

const NO_NETWORK: &str = "\
echo 'Err:1 http://mirror.example/debian bookworm InRelease'
echo \"  Temporary failure resolving 'mirror.example'\"
echo 'E: Some index files failed to download.' >&2
exit 100";

const FETCH: &[&str] = &["kernels", "fetch", "6.1", "--no-setup"];
const MATRIX: &[&str] = &["matrix", "--kernel=6.1", "--launcher=qemu", "--no-setup"];

#[test]
fn a_source_that_can_not_even_be_asked_who_it_is_is_the_network_s_fault() {
    with_apt_get(&one_source("Third", NO_NETWORK), FETCH).expect(
        3,
        &["error: cannot ask apt's sources who they are: no way to the mirror"],
    );
}

#[test]
fn without_a_network_the_cause_and_the_way_out_are_named() {
    for command in [FETCH, &[MATRIX, &["--prebuilt=target/artifacts"]].concat()] {
        with_apt_get(&one_source("Debian", NO_NETWORK), command).expect(
            3,
            &[
                "error: cannot read Debian's package lists: no way to the mirror (Temporary \
                 failure resolving 'mirror.example'); with a filled cache --offline works \
                 without one",
            ],
        );
    }
}

#[test]
fn without_a_mirror_of_debian_s_the_line_to_add_is_named() {
    for script in [&one_source("Third", "true"), ""] {
        with_apt_get(script, FETCH).expect(
            69,
            &[
                "error: apt's configuration has no Debian mirror",
                "add a line such as `deb http://MIRROR/debian bookworm main` to \
                 /etc/apt/sources.list and run `apt-get update`",
            ],
        );
    }
}
