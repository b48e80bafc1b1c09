//! Which programs stand on a function of the kernel that takes no more.
//!
//! In: the function's number in the kernel's BTF, and a program that was refused a place there.
//! Out: [`Occupants`], as far as the kernel tells. Each fentry, fexit, fmod_ret or LSM program on a
//! function has a link, which names function (from 5.13 on) and program. Only CAP_SYS_ADMIN may
//! list links.

use std::fmt::{Display, Formatter};
use std::io;
use std::os::fd::OwnedFd;

use crate::kernel::bpf_call::{self, TracingLink};

/// The programs on one function.
#[derive(Debug)]
pub enum Occupants {
    /// All that have a link there, by id.
    Named(Vec<Occupant>),
    /// The kernel doesn't tell which function a link is on; kernels before 5.13 don't.
    Untold,
    /// The links can't be listed.
    Unlisted(io::Error),
}

/// One program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Its id, as `bpftool prog` shows it.
    pub id: u32,
    /// Its name, of which the kernel keeps 15 bytes; may be empty.
    pub name: String,
}

/// The programs on the function with this number, asked for in the name of a program that was
/// loaded for it.
pub fn of(function: u32, refused: &OwnedFd) -> Occupants {
    let found = links().and_then(|links| {
        // 0 on kernels before 6.0, which don't say.
        let btf = bpf_call::info(refused)?.attach_btf_obj_id;
        let Some(programs) = on(function, btf, &links) else {
            return Ok(Occupants::Untold);
        };
        let mut named = Vec::new();
        for id in programs {
            match bpf_call::program(id).and_then(|program| bpf_call::info(&program)) {
                Ok(info) => {
                    let name = bpf_call::name(&info);
                    named.push(Occupant { id, name });
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Occupants::Named(named))
    });
    found.unwrap_or_else(Occupants::Unlisted)
}

/// Every tracing link.
fn links() -> io::Result<Vec<TracingLink>> {
    let (mut links, mut last) = (Vec::new(), 0);
    while let Some(id) = bpf_call::link_after(last)? {
        last = id;
        match bpf_call::tracing_link(id) {
            Ok(link) => links.extend(link),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(links)
}

/// Whether something went between the call that named it and the one about it.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

/// The ids of the programs of the links on a function of the BTF with this id, where 0 is any.
/// `None` if no link says what it is on, so that the kernel doesn't tell.
fn on(function: u32, btf: u32, links: &[TracingLink]) -> Option<Vec<u32>> {
    if links.iter().all(|link| link.function == 0) {
        return None;
    }
    let there = links
        .iter()
        .filter(|link| link.function == function && (btf == 0 || link.btf == btf));
    let mut programs: Vec<u32> = there.map(|link| link.program).collect();
    programs.sort_unstable();
    Some(programs)
}

impl Display for Occupants {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(programs) if programs.is_empty() => {
                f.write_str("the kernel names none of them")
            }
            Self::Named(programs) => {
                f.write_str("on it are ")?;
                f.write_str(&by_name(programs).join(", "))?;
                write!(
                    f,
                    "; have whoever loaded one of them unload it (see bpftool prog show id {})",
                    programs[0].id
                )
            }
            Self::Untold => f.write_str(
                "kernels before 5.13 don't tell which programs are on a function; bpftool prog \
                 lists all that are loaded",
            ),
            Self::Unlisted(error) => write!(
                f,
                "which programs are on it can't be told ({error}): that takes CAP_SYS_ADMIN"
            ),
        }
    }
}

/// `2 × NAME (ids 3, 5)`, one for each name, in the order of the first ids.
fn by_name(programs: &[Occupant]) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for program in programs {
        if !names.contains(&program.name.as_str()) {
            names.push(&program.name);
        }
    }
    let group = |name: &str| {
        let same = programs.iter().filter(|program| program.name == name);
        let ids: Vec<u32> = same.map(|program| program.id).collect();
        let name = if name.is_empty() { "(no name)" } else { name };
        match ids.len() {
            1 => format!("{name} (id {})", ids[0]),
            count => format!("{count} × {name} (ids {})", ranges(&ids)),
        }
    };
    names.into_iter().map(group).collect()
}

/// Ascending numbers, with `3 to 7` for those that follow one another.
fn ranges(ids: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &id in ids {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => ranges.push((id, id)),
        }
    }
    let shown = |(first, last): (u32, u32)| match last - first {
        0 => format!("{first}"),
        _ => format!("{first} to {last}"),
    };
    let ranges: Vec<String> = ranges.into_iter().map(shown).collect();
    ranges.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(program: u32, btf: u32, function: u32) -> TracingLink {
        TracingLink {
            program,
            btf,
            function,
        }
    }

    #[test]
    fn programs_are_those_of_the_links_on_that_function_of_that_btf() {
        let links = [
            link(9, 1, 70),
            link(4, 1, 70),
            link(5, 1, 71),
            link(6, 2, 70),
        ];
        assert_eq!(on(70, 1, &links), Some(vec![4, 9]));
        assert_eq!(on(70, 0, &links), Some(vec![4, 6, 9]));
        assert_eq!(on(72, 1, &links), Some(vec![]));
    }

    #[test]
    fn a_kernel_whose_links_name_no_function_does_not_tell() {
        assert_eq!(on(70, 1, &[link(4, 0, 0), link(5, 0, 0)]), None);
    }

    #[test]
    fn occupants_are_told_by_name_and_id_with_the_way_out() {
        let named = |programs: &[(u32, &str)]| {
            let occupant = |(id, name): &(u32, &str)| Occupant {
                id: *id,
                name: (*name).to_owned(),
            };
            Occupants::Named(programs.iter().map(occupant).collect())
        };
        for (occupants, text) in [
            (
                named(&[(3, "filler"), (4, "filler"), (6, "filler"), (7, "own")]),
                "on it are 3 × filler (ids 3 to 4, 6), own (id 7); have whoever loaded one of \
                 them unload it (see bpftool prog show id 3)",
            ),
            (
                named(&[(3, "")]),
                "on it are (no name) (id 3); have whoever loaded one of them unload it (see \
                 bpftool prog show id 3)",
            ),
            (named(&[]), "the kernel names none of them"),
            (
                Occupants::Untold,
                "kernels before 5.13 don't tell which programs are on a function; bpftool prog \
                 lists all that are loaded",
            ),
            (
                Occupants::Unlisted(io::Error::from_raw_os_error(libc::EPERM)),
                "which programs are on it can't be told (Operation not permitted (os error 1)): \
                 that takes CAP_SYS_ADMIN",
            ),
        ] {
            assert_eq!(occupants.to_string(), text);
        }
    }
}
