//! Runs in which a script stands in the place of QEMU, so that nothing is booted.

use std::fs;
use std::process::Command;

use protocol::record::Record;

use super::{Checkout, Tools, kernel_s_head, pretend_artifacts};

/// The proof that these runs ask for.
pub const PROOF: &str = "enforce-denies-open";

/// A root with kernels that are never booted, and what a run needs beside them.
pub struct Unbooted {
    /// The root.
    pub checkout: Checkout,
    /// The tools in PATH.
    pub tools: Tools,
}

impl Unbooted {
    /// With kernels of these names, and a script in the place of QEMU.
    pub fn new(names: &[&str], qemu: &str) -> Self {
        let kernels = names
            .iter()
            .map(|name| format!("[[kernel]]\nname = \"{name}\"\npath = \"vmlinuz\"\n"));
        let checkout = Checkout::with_manifest(&kernels.collect::<String>());
        fs::write(checkout.path("vmlinuz"), kernel_s_head()).expect("a writable folder");
        pretend_artifacts(&checkout.path("prebuilt"));
        let tools = Tools::all();
        tools.put("qemu-system-x86_64", qemu);
        Self { checkout, tools }
    }

    /// A run with [`PROOF`] in one boot of each kernel.
    pub fn matrix(&self) -> Command {
        self.matrix_of(PROOF)
    }

    /// The same with another proof.
    pub fn matrix_of(&self, proof: &str) -> Command {
        let mut matrix = self.checkout.matrix();
        matrix
            .env("PATH", self.tools.first())
            .env("XDG_CACHE_HOME", self.checkout.path("cache"))
            .arg("--prebuilt")
            .arg(self.checkout.path("prebuilt"))
            .args(["--boot", "bpf-lsm", "--proof", proof]);
        matrix
    }
}

/// A script that does as a QEMU in which a guest has said hello and started [`PROOF`], and then
/// does this. `$records` and `$console` are its files, `$nonce` is the boot's.
pub fn guest_in_proof(then: &str) -> String {
    let started = Record::ProofStarted {
        id: PROOF.to_owned(),
        configuration: "enforce".to_owned(),
    };
    guest_that_tells(&[started], then)
}

/// The same of a guest that has told this after its hello.
pub fn guest_that_tells(records: &[Record], then: &str) -> String {
    let hello = format!(
        "{{\"record\":\"hello\",\"version\":{},\"promises_sha256\":\"{}\",\"nonce\":\"%s\",\"boot\":\"bpf-lsm\",\
         \"release\":\"6.1.0-test\",\"version_string\":\"#1\",\"cmdline\":\"%s\",\
         \"memory_kib\":200000,\"processors\":1,\"lsm\":[\"bpf\"],\"lockdown\":\"none\",\
         \"btf\":true,\"tainted\":0,\"modules\":[],\"mismatches\":[]}}\\n",
        protocol::VERSION,
        proofs::SOURCE_SHA256
    );
    let lines = records.iter().map(|record| {
        let line = serde_json::to_string(record).expect("a record serializes");
        line + "\n"
    });
    let told: String = lines.collect();
    format!(
        "for word; do case $word in
           *aegisbpf.nonce=*) cmdline=$word ;;
           file:*) console=$records; records=${{word#file:}} ;;
         esac; done
         nonce=${{cmdline##*aegisbpf.nonce=}}
         : >\"$console\"
         printf '{hello}' \"$nonce\" \"$cmdline\" >\"$records\"
         cat >>\"$records\" <<'TOLD'\n{told}TOLD\n{then}"
    )
}
