//! Packs of some kilobytes that are much work to read.

use bytes::Bytes;
use crates_ferry::git::wire::pack::{ObjectKind, delta_entry, whole_entry};

/// Makes a pack of entries, without a trailer.
pub fn pack_of(entries: &[Bytes]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [&b"PACK\0\0\0\x02"[..], &count, &entries.concat()].concat()
}

/// Makes a blob of zeros and deltas, each on the object before it, that change its first bytes.
pub fn deltas_in_a_chain(size: usize, deltas: u32) -> Vec<Bytes> {
    let mut content = vec![0; size];
    let mut entries = vec![whole_entry(ObjectKind::Blob, &content).unwrap()];
    for number in 1..=deltas {
        let base = ObjectKind::Blob.id_of(&content);
        let changed = number.to_le_bytes();
        content[..4].copy_from_slice(&changed);
        let rest = ((size - 4) as u32).to_le_bytes();
        // An insertion of four bytes, and a copy of all that comes after the first four.
        let instructions = [&[4][..], &changed, &[0xf1, 4], &rest[..3]].concat();
        let delta = [varint(size), varint(size), instructions].concat();
        entries.push(delta_entry(base, &delta).unwrap());
    }
    entries
}

fn varint(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}
