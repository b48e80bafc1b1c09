//! The edges to the kernel's BPF: calls, programs, maps, types.

pub mod abi;
pub mod bpf_call;
pub mod btf;
pub mod filesystem;
pub mod filter;
pub mod identity;
pub mod loader;
pub mod maps;
pub mod memlock;
pub mod occupants;
pub mod readback;
pub mod real_time;
pub mod refusal;
pub mod ring;
pub mod shared;
pub mod tally;
