//! The guest's image: one initramfs per kernel.

pub mod pack;
