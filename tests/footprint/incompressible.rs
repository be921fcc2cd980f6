//! An index that is as large packed as it is unpacked.

use crate::support::upstream::Commit;

/// Commits of files that do not compress, 16 KiB each: the numbers of a xorshift generator.
pub(crate) fn incompressible(
    prefix: &'static str,
    files: u32,
    per_commit: u32,
) -> impl Iterator<Item = Commit> {
    const SIZE: usize = 16 * 1024;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(prefix.as_bytes()[0]);
    let mut content = move || -> Vec<u8> {
        let number = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(number)
            .take(SIZE / 8)
            .flatten()
            .collect()
    };
    (0..files / per_commit).map(move |commit| {
        let files = 0..per_commit;
        files.fold(Commit::new("Fill it"), |new, file| {
            new.file(&format!("{prefix}/{commit}/{file}"), content())
        })
    })
}
