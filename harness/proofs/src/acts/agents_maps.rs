//! The agent's maps in root's hands: found by the descriptors that it holds of them, read, and
//! altered behind its back. And what it tells of that.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::acts::bpf_objects::Map;
use crate::acts::told::Listener;

/// The map of this name, of which the kernel keeps 15 bytes, that a process holds.
///
/// # Errors
/// It holds none of that name, or the kernel doesn't give it away.
pub fn named(pid: u32, name: &str) -> Result<Map> {
    let folder = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&folder).with_context(|| format!("listing {folder}"))? {
        // It opens and closes others all the time.
        let Ok(info) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let Some(id) = map_id(&info) else {
            continue;
        };
        let map = Map::by_id(id).with_context(|| format!("opening the map {id}"))?;
        if map.name() == name {
            return Ok(map);
        }
    }
    anyhow::bail!("process {pid} holds no map {name}")
}

/// The map's id, if that is what `/proc/PID/fdinfo/FD` tells of.
fn map_id(info: &str) -> Option<u32> {
    let id = info.lines().find_map(|line| line.strip_prefix("map_id:"))?;
    id.trim().parse().ok()
}

/// What the agent told of alterations before it told of this process, of whose act it must tell.
///
/// # Errors
/// It tells nothing of that process.
pub fn told_of_alterations(lines: &mut Listener, pid: u32) -> Result<Vec<Value>> {
    let mut told = Vec::new();
    loop {
        let of_either = |line: &Value| line["event"] == "altered" || line["tgid"] == pid;
        let line = lines.hear("the act", of_either)?;
        if line["event"] != "altered" {
            return Ok(told);
        }
        told.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::map_id;

    #[test]
    fn a_map_is_told_by_its_id_and_a_program_has_none() {
        let of_map =
            "pos:\t0\nmap_type:\t1\nkey_size:\t24\nmemlock:\t4096\nmap_id:\t19\nfrozen:\t0\n";
        assert_eq!(map_id(of_map), Some(19));
        assert_eq!(map_id("pos:\t0\nprog_type:\t29\nprog_id:\t31\n"), None);
    }
}
