//! A host that is taken for another than it is.

#[path = "../host/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod tree {
    //! Folders held open.

    use std::ffi::OsStr;
    use std::io;
    use std::rc::Rc;

    use super::{Mutant, real, sabotage};

    pub use real::tree::*;

    /// The machine's own tree, perhaps with every folder taken for one that root alone can change.
    #[derive(Debug)]
    pub struct Tree(real::tree::Tree);

    impl Tree {
        /// As the real one.
        pub fn new() -> io::Result<Self> {
            real::tree::Tree::new().map(Self)
        }

        /// As the real one.
        #[must_use]
        pub fn root(&self) -> &Rc<Folder> {
            self.0.root()
        }

        /// As the real one.
        pub fn step(&mut self, folder: &Rc<Folder>, name: &OsStr) -> io::Result<Stands> {
            let mut stands = self.0.step(folder, name)?;
            if let (Stands::Folder(found), true) =
                (&mut stands, sabotage::is(Mutant::TrustsEveryFolder))
                && let Some(found) = Rc::get_mut(found)
            {
                found.realm = Realm::Root;
            }
            Ok(stands)
        }
    }
}
