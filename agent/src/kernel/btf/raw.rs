//! A raw BTF, read in pieces: where its types begin, and a smaller BTF of some of them.
//!
//! In: a file or bytes, and names. Out: the types and functions of these names, and what a
//! relocation needs of them, as a BTF of its own.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context as _, Result, bail};

/// Kinds of types, by their number in the format.
pub(super) mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// Bytes of what every type begins with: name, info, size or type.
pub(super) const COMMON: usize = 12;
/// Bytes of one member of a struct or union: name, type, offset.
pub(super) const MEMBER: usize = 12;
/// Bytes of one parameter of a function: name, type.
const PARAMETER: usize = 8;

/// Where a BTF is read from.
pub(super) trait Source {
    /// As many bytes as there are from here on, at most as many as fit.
    fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
        FileExt::read_at(self, into, at)
    }
}

impl Source for &[u8] {
    fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// A piece of a source; what is asked for beyond it is read then.
struct Window<'a> {
    source: &'a dyn Source,
    /// Bytes that are read at once, if no more are asked for.
    piece: usize,
    start: usize,
    bytes: Vec<u8>,
}

/// Bytes of a piece where one follows upon the other.
const LARGE: usize = 1 << 16;
/// Bytes of a piece where the next is elsewhere: what a file of sysfs gives at once.
const SMALL: usize = 1 << 12;

impl<'a> Window<'a> {
    fn new(source: &'a dyn Source, piece: usize) -> Self {
        Self {
            source,
            piece,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// At least `len` bytes, if there are so many, and what else of the piece follows them.
    fn from(&mut self, at: usize, len: usize) -> Result<&[u8]> {
        let within = |this: &Self| {
            let from = at.checked_sub(this.start)?;
            (from.checked_add(len)? <= this.bytes.len()).then_some(from)
        };
        if within(self).is_none() {
            self.read(at, len)?;
        }
        let from = at - self.start;
        Ok(self.bytes.get(from..).unwrap_or_default())
    }

    fn read(&mut self, at: usize, len: usize) -> Result<()> {
        self.start = at;
        self.bytes.resize(len.max(self.piece), 0);
        let mut have = 0;
        while have < self.bytes.len() {
            match self
                .source
                .read_at((at + have) as u64, &mut self.bytes[have..])?
            {
                0 => break,
                more => have += more,
            }
        }
        self.bytes.truncate(have);
        Ok(())
    }

    fn exactly(&mut self, at: usize, len: usize) -> Result<&[u8]> {
        let bytes = self.from(at, len)?;
        bytes.get(..len).context("it ends too early")
    }

    fn word(&mut self, at: usize) -> Result<u32> {
        word(self.exactly(at, 4)?, 0)
    }
}

/// A section: from where to where.
#[derive(Debug, Clone, Copy)]
struct Section {
    start: usize,
    end: usize,
}

/// A struct, union or function with one of the wanted names.
pub(super) struct Wanted {
    pub(super) id: u32,
    pub(super) kind: u32,
    pub(super) name: String,
}

/// A raw BTF, opened up.
pub(super) struct Raw<'a> {
    window: Window<'a>,
    types: Section,
    /// All of them: types name them in no order.
    strings: Vec<u8>,
    /// Where each type begins in its section. The type 0 is void and isn't there.
    pub(super) starts: Vec<u32>,
    pub(super) wanted: Vec<Wanted>,
}

impl<'a> Raw<'a> {
    pub(super) fn open(source: &'a dyn Source, names: &[&str]) -> Result<Self> {
        let mut header = Window::new(source, SMALL);
        let header_len = header.word(4)? as usize;
        if header.exactly(0, 2)? != MAGIC.to_ne_bytes() {
            bail!("it isn't BTF in this machine's byte order");
        }
        let mut section = |at: usize| -> Result<Section> {
            let offset = header.word(at)? as usize;
            let len = header.word(at + 4)? as usize;
            let start = header_len.checked_add(offset);
            let end = start.and_then(|start| start.checked_add(len));
            let (start, end) = (start.zip(end)).context("a section goes beyond the end")?;
            Ok(Section { start, end })
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut raw = Self {
            window: Window::new(source, SMALL),
            types,
            strings: read_whole(source, strings)?,
            starts: vec![0],
            wanted: Vec::new(),
        };
        raw.go_through_types(source, names)?;
        Ok(raw)
    }

    /// Notes where each type begins, and those that have one of the wanted names.
    fn go_through_types(&mut self, source: &dyn Source, names: &[&str]) -> Result<()> {
        let names = Names::new(names);
        let mut window = Window::new(source, LARGE);
        let Section { start, end } = self.types;
        let mut at = start;
        while at < end {
            let piece = window.from(at, COMMON)?;
            let piece = &piece[..piece.len().min(end - at)];
            if piece.len() < COMMON {
                bail!("it ends too early");
            }
            let mut within = 0;
            while let Some(head) = piece.get(within..within + COMMON) {
                let (name, info) = (word(head, 0)?, word(head, 4)?);
                let kind = kind_of(info);
                if matches!(kind, kind::STRUCT | kind::UNION | kind::FUNC)
                    && let Some(name) = names.find(&self.strings, name)
                {
                    self.wanted.push(Wanted {
                        id: u32::try_from(self.starts.len())?,
                        kind,
                        name: name.to_owned(),
                    });
                }
                self.starts.push((at - start + within) as u32);
                within += size_of_type(info)?;
            }
            at += within;
        }
        Ok(())
    }

    pub(super) fn type_of(&mut self, id: u32) -> Result<Type> {
        let start = self.starts.get(id as usize);
        let at = self.types.start + *start.context("a type number beyond the last")? as usize;
        let size = size_of_type(self.window.word(at + 4)?)?;
        Type::new(self.window.exactly(at, size)?)
    }

    /// Which argument of a function is the first that points to this struct, from 0.
    pub(super) fn pointer_argument(&mut self, function: u32, to: u32) -> Result<Option<u32>> {
        let prototype = word(&self.type_of(function)?.bytes, 8)?;
        let prototype = self.type_of(prototype)?;
        if prototype.kind != kind::FUNC_PROTO {
            bail!("a function without a prototype");
        }
        for place in 0..prototype.parts {
            let argument = word(&prototype.bytes, COMMON + place * PARAMETER + 4)?;
            // 0 is void, which stands at the end of a list that is open.
            if argument == 0 {
                continue;
            }
            let argument = self.type_of(argument)?;
            if argument.kind == kind::PTR && word(&argument.bytes, 8)? == to {
                return Ok(Some(u32::try_from(place)?));
            }
        }
        Ok(None)
    }

    pub(super) fn string(&self, offset: u32) -> Result<&[u8]> {
        let rest = self.strings.get(offset as usize..);
        let end = rest.and_then(|rest| rest.iter().position(|byte| *byte == 0));
        let string = rest.zip(end).map(|(rest, end)| &rest[..end]);
        string.context("a string without an end")
    }

    /// Builds a BTF of these structs and unions and of their members' types. It follows anonymous
    /// structs and unions, arrays, typedefs and qualifiers, but no pointers. A named struct that
    /// isn't among them becomes void.
    pub(super) fn reduce(&mut self, structs: &[u32]) -> Result<Vec<u8>> {
        // The kernel's number of each type, and ours.
        let mut numbers: HashMap<u32, u32> = HashMap::from([(0, 0)]);
        let mut kept: Vec<Type> = Vec::new();
        for &id in structs {
            kept.push(self.type_of(id)?);
            numbers.insert(id, u32::try_from(kept.len())?);
        }
        let mut next = 0;
        while let Some(outer) = kept.get(next) {
            next += 1;
            for place in outer.references() {
                let inner = word(&kept[next - 1].bytes, place)?;
                if numbers.contains_key(&inner) {
                    continue;
                }
                let of_inner = self.type_of(inner)?;
                if of_inner.is_named()? && matches!(of_inner.kind, kind::STRUCT | kind::UNION) {
                    // Nothing of ours is called so: to us it is as good as void.
                    numbers.insert(inner, 0);
                } else {
                    kept.push(of_inner);
                    numbers.insert(inner, u32::try_from(kept.len())?);
                }
            }
        }
        let (mut types, mut strings) = (Vec::new(), Strings::default());
        for mut own in kept {
            for place in own.references() {
                let number = numbers[&word(&own.bytes, place)?];
                own.set_word(place, number);
            }
            for place in own.names() {
                let name = self.string(word(&own.bytes, place)?)?;
                own.set_word(place, strings.add(name)?);
            }
            if own.kind == kind::PTR {
                // Where it points to wasn't looked at.
                own.set_word(8, 0);
            }
            types.extend_from_slice(&own.bytes);
        }
        assemble(&types, &strings.bytes)
    }
}

/// One type, as it stands in its section.
pub(super) struct Type {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: u32,
    /// How many members, values or parameters it has.
    pub(super) parts: usize,
}

impl Type {
    fn new(bytes: &[u8]) -> Result<Self> {
        let info = word(bytes, 4)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            kind: kind_of(info),
            parts: parts_of(info),
        })
    }

    fn is_named(&self) -> Result<bool> {
        Ok(word(&self.bytes, 0)? != 0)
    }

    fn set_word(&mut self, place: usize, word: u32) {
        self.bytes[place..place + 4].copy_from_slice(&word.to_ne_bytes());
    }

    /// Where it names itself and its parts.
    fn names(&self) -> Vec<usize> {
        let each = match self.kind {
            kind::STRUCT | kind::UNION => MEMBER,
            kind::ENUM | kind::FUNC_PROTO => 8,
            kind::ENUM64 => 12,
            _ => return vec![0],
        };
        let parts = (0..self.parts).map(|part| COMMON + part * each);
        [0].into_iter().chain(parts).collect()
    }

    /// Where it refers to the types that it is made of.
    fn references(&self) -> Vec<usize> {
        match self.kind {
            kind::STRUCT | kind::UNION => (0..self.parts)
                .map(|part| COMMON + part * MEMBER + 4)
                .collect(),
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                vec![8]
            }
            kind::ARRAY => vec![COMMON, COMMON + 4],
            _ => Vec::new(),
        }
    }
}

/// The strings of a BTF, each once.
struct Strings {
    bytes: Vec<u8>,
    offsets: HashMap<Vec<u8>, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            // The first is the empty one.
            bytes: vec![0],
            offsets: HashMap::from([(Vec::new(), 0)]),
        }
    }
}

impl Strings {
    fn add(&mut self, string: &[u8]) -> Result<u32> {
        if let Some(offset) = self.offsets.get(string) {
            return Ok(*offset);
        }
        let offset = u32::try_from(self.bytes.len())?;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.offsets.insert(string.to_vec(), offset);
        Ok(offset)
    }
}

/// Names to look for. Most of what isn't one of them differs in the first bytes.
struct Names<'a> {
    names: Vec<&'a str>,
    beginnings: Vec<[u8; 4]>,
}

impl<'a> Names<'a> {
    fn new(names: &[&'a str]) -> Self {
        let beginning = |name: &&str| name.as_bytes().first_chunk::<4>().copied();
        let mut beginnings: Vec<[u8; 4]> = names.iter().filter_map(beginning).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let names = names.to_vec();
        Self { names, beginnings }
    }

    /// The name that stands there, if it is one of them. No name has fewer than four bytes, so none
    /// is missed by its beginning.
    fn find(&self, strings: &[u8], at: u32) -> Option<&'a str> {
        let rest = strings.get(at as usize..)?;
        let beginning = rest.first_chunk::<4>()?;
        self.beginnings.binary_search(beginning).ok()?;
        let mut names = self.names.iter();
        let stands = |name: &&&str| {
            let end = rest.strip_prefix(name.as_bytes());
            end.is_some_and(|end| end.first() == Some(&0))
        };
        names.find(stands).copied()
    }
}

/// What a type's second word says: its kind.
fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// What a type's second word says: how many members, values or parameters it has.
fn parts_of(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes of a type with this second word.
fn size_of_type(info: u32) -> Result<usize> {
    let parts = parts_of(info);
    let own = match kind_of(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION => parts * MEMBER,
        kind::ENUM | kind::FUNC_PROTO => parts * 8,
        kind::DATASEC | kind::ENUM64 => parts * 12,
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        unknown => bail!("a type of the kind {unknown}, which this agent doesn't know"),
    };
    Ok(COMMON + own)
}

pub(super) fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = at.checked_add(4).and_then(|end| bytes.get(at..end));
    let word = word.and_then(|word| word.try_into().ok());
    Ok(u32::from_ne_bytes(word.context("it ends too early")?))
}

/// All the bytes of a section.
fn read_whole(source: &dyn Source, Section { start, end }: Section) -> Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; LARGE]);
    while start + bytes.len() < end {
        // Piece by piece: a length that is a lie must not be taken for a need of memory.
        let room = LARGE.min(end - start - bytes.len());
        match source.read_at((start + bytes.len()) as u64, &mut piece[..room])? {
            0 => bail!("a section goes beyond the end"),
            more => bytes.extend_from_slice(&piece[..more]),
        }
    }
    Ok(bytes)
}

/// A BTF of these sections.
fn assemble(types: &[u8], strings: &[u8]) -> Result<Vec<u8>> {
    let (types_len, strings_len) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
    let mut bytes = Vec::with_capacity(24 + types.len() + strings.len());
    bytes.extend_from_slice(&MAGIC.to_ne_bytes());
    // Version and flags.
    bytes.extend_from_slice(&[1, 0]);
    for field in [24, 0, types_len, types_len, strings_len] {
        bytes.extend_from_slice(&field.to_ne_bytes());
    }
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(strings);
    Ok(bytes)
}
