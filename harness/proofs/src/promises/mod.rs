//! The promises, one file each, and the order in which they are written and proven.

mod accounts_for_lost_events;
mod admits_mounted_anew;
mod admits_passed_over;
mod admits_refused_signal;
mod admits_snapshots;
mod admits_unreadable_rules;
mod attach_is_not_enforcement;
mod attaches_what_is_needed;
mod audit_fallback_when_asked;
mod claims_no_socket;
mod dates_by_boot_clock;
mod denies_handle;
mod denies_open;
mod ends_at_hangup;
mod ends_with_its_agent;
pub mod every_way;
mod evidence_dates_the_claim;
mod exits_when_degraded;
mod fails_closed;
mod follows_identity;
mod guards_files;
mod guards_names;
mod holds_at_once;
mod holds_folder;
mod holds_laid_over;
mod holds_many_rules;
mod holds_mounted;
mod holds_on;
mod holds_on_two_processors;
mod holds_out;
mod holds_under_lockdown;
mod keeps_its_report;
mod keeps_its_words;
mod knows_regenerated_inode;
mod knows_reused_inode;
mod leads_nothing_astray;
mod leaves_nothing_behind;
mod no_pretend;
mod notices_added_exemption;
mod notices_altered_rule;
mod notices_lost_program;
mod outlives_file_limits;
mod outlives_rejected_programs;
mod outlives_used_up_memory;
mod promotes;
mod refuses_hook_that_returns_zero;
mod refuses_signal_under_lockdown;
mod remembers_former_targets;
mod renews_evidence;
mod runs_without_sys_resource;
mod says_how_to_mend;
mod seam_is_faithful;
mod seam_only_lowers;
mod shows_copies;
mod spares_protected;
mod splits_access;
mod stands_floods;
mod starts_against_users;
mod stays_up;
mod tells_of_this_machine;
mod term_can_be_ignored;

pub use self::promotes::{REAL_PROMOTION, SEAM_PROMOTION};
pub use self::seam_is_faithful::SEAM_IS_FAITHFUL;
use crate::promise::Promise;

/// All of them. The proofs of a configuration run in this order.
pub const ALL: &[&Promise] = &[
    &denies_open::PROMISE,
    &holds_out::PROMISE,
    &holds_on::EXT4,
    &holds_on::XFS,
    &holds_on::BTRFS,
    &holds_on::TMPFS,
    &holds_on::OVERLAYFS,
    &follows_identity::PROMISE,
    &guards_names::PROMISE,
    &guards_names::LEAVES_NAMES_OPEN,
    &guards_files::PROMISE,
    &guards_files::LEAVES_FILES_OPEN,
    &holds_folder::PROMISE,
    &holds_mounted::PROMISE,
    &holds_laid_over::PROMISE,
    &splits_access::PROMISE,
    &knows_reused_inode::PROMISE,
    &knows_regenerated_inode::PROMISE,
    &remembers_former_targets::PROMISE,
    &admits_snapshots::PROMISE,
    &denies_handle::PROMISE,
    &holds_many_rules::PROMISE,
    &accounts_for_lost_events::PROMISE,
    &spares_protected::PROMISE,
    &term_can_be_ignored::PROMISE,
    &attach_is_not_enforcement::PROMISE,
    &refuses_hook_that_returns_zero::PROMISE,
    &outlives_rejected_programs::PROMISE,
    &promotes::PROMISE,
    &attaches_what_is_needed::PROMISE,
    &shows_copies::PROMISE,
    &no_pretend::PROMISE,
    &seam_only_lowers::PROMISE,
    &fails_closed::PROMISE,
    &says_how_to_mend::PROMISE,
    &runs_without_sys_resource::PROMISE,
    &audit_fallback_when_asked::PROMISE,
    &tells_of_this_machine::PROMISE,
    &keeps_its_report::PROMISE,
    &keeps_its_words::PROMISE,
    &claims_no_socket::PROMISE,
    &admits_mounted_anew::PROMISE,
    &renews_evidence::PROMISE,
    &evidence_dates_the_claim::PROMISE,
    &dates_by_boot_clock::PROMISE,
    &starts_against_users::PROMISE,
    &stays_up::PROMISE,
    &outlives_file_limits::PROMISE,
    &outlives_used_up_memory::PROMISE,
    &leads_nothing_astray::PROMISE,
    &leaves_nothing_behind::PROMISE,
    &ends_at_hangup::PROMISE,
    &ends_with_its_agent::PROMISE,
    &notices_altered_rule::PROMISE,
    &notices_added_exemption::PROMISE,
    &notices_lost_program::PROMISE,
    &admits_refused_signal::PROMISE,
    &admits_passed_over::PROMISE,
    &exits_when_degraded::PROMISE,
    &seam_is_faithful::PROMISE,
    &holds_on_two_processors::PROMISE,
    &holds_at_once::PROMISE,
    &stands_floods::PROMISE,
    &holds_under_lockdown::PROMISE,
    &admits_unreadable_rules::PROMISE,
    &refuses_signal_under_lockdown::PROMISE,
    &every_way::PROMISE,
];
