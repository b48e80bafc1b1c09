//! The guest's image: one initramfs per kernel, small enough to be packed at each run.

pub mod artifacts;
pub mod build;
pub mod cpio;
pub mod disk;
pub mod modules;
pub mod pack;
pub mod spec;
