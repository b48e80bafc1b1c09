//! What rules need of the hooks: where the classes, which know the rules, meet the table of hooks.

/// Which rules of its class need a hook. One that no rule needs isn't attached, since it would cost
/// whoever acts, and stop nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every rule.
    Always,
    /// A rule that denies writing.
    Writing,
    /// A rule that is known by its path alone. Once there was one, there may be again.
    PathOnly,
}
