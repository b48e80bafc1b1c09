//! The smallest program that says something: what a rule on an executable is tried on.

/// Where it is loaded; any address that a program may have.
const BASE: u64 = 0x40_0000;
/// The headers' sizes, which no kernel reads otherwise.
const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// A static ELF executable for x86-64 that writes `word` to its standard output and exits
/// with 0. It needs no loader and opens nothing.
pub fn that_says(word: &str) -> Vec<u8> {
    let code_at = BASE + FILE_HEADER + PROGRAM_HEADER;
    let mut code = Vec::new();
    code.extend([0xb8, 1, 0, 0, 0]); // mov eax, SYS_write
    code.extend([0xbf, 1, 0, 0, 0]); // mov edi, 1
    code.push(0xbe); // mov esi, the word
    let after = 5 + 5 + 5 + 5 + 2 + 5 + 2 + 2;
    code.extend(((code_at + after) as u32).to_le_bytes());
    code.push(0xba); // mov edx, its length
    code.extend((word.len() as u32).to_le_bytes());
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0xb8, 60, 0, 0, 0]); // mov eax, SYS_exit
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x0f, 0x05]); // syscall
    code.extend(word.as_bytes());

    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word32 = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let word64 = |elf: &mut Vec<u8>, value: u64| elf.extend(value.to_le_bytes());
    half(&mut elf, 2); // an executable
    half(&mut elf, 62); // for x86-64
    word32(&mut elf, 1);
    word64(&mut elf, code_at); // starts here
    word64(&mut elf, FILE_HEADER); // where the program header is
    word64(&mut elf, 0); // no sections
    word32(&mut elf, 0);
    half(&mut elf, FILE_HEADER as u16);
    half(&mut elf, PROGRAM_HEADER as u16);
    half(&mut elf, 1); // one program header
    for _ in 0..3 {
        half(&mut elf, 0);
    }
    let size = code_at - BASE + code.len() as u64;
    word32(&mut elf, 1); // to be loaded
    word32(&mut elf, 5); // to be read and executed
    word64(&mut elf, 0); // from the file's beginning
    word64(&mut elf, BASE);
    word64(&mut elf, BASE);
    word64(&mut elf, size);
    word64(&mut elf, size);
    word64(&mut elf, 0x1000);
    elf.extend(code);
    elf
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn it_says_its_word_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("guest-tool-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.join("tool");
        std::fs::write(&path, that_says("the word\n")).expect("written");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).expect("executable");
        let output = Command::new(&path).output();
        std::fs::remove_dir_all(&folder).expect("removed");
        let output = output.expect("it runs");
        assert_eq!(output.stdout, b"the word\n");
        assert_eq!(output.status.code(), Some(0));
    }
}
