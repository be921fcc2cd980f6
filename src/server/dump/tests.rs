#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

/// Makes a dump of these tables, in this order.
pub(crate) fn dump(tables: &[(&str, String)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in tables {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        let path = format!("2026-11-30-020015/data/{name}.csv");
        builder
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Writes a field as PostgreSQL does where it must be quoted.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Reads the descriptions that were staged, by the names of their crates, and the downloads of their versions.
fn staged(staged: &Staged) -> BTreeMap<String, (Option<String>, u32)> {
    let database = Connection::open(staged.path()).unwrap();
    let mut query = database
        .prepare(
            "SELECT name, description, coalesce(downloads, 0) FROM crates LEFT JOIN recent ON version_id = id",
        )
        .unwrap();
    query
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_written_is_staged_in_whatever_order(
        texts in prop::collection::vec("[ -~é\"\n,]{0,30}", 1..20), counts in prop::collection::vec(0u32..9, 0..40),
        is_reversed: bool, name_is_first: bool,
    ) {
        let folder = TempDir::new().unwrap();
        let mut expected = BTreeMap::new();
        let mut crates = String::from(if name_is_first { "name,more,id,description\n" } else { "description,id,name\n" });
        for (id, text) in texts.iter().enumerate() {
            let (name, field) = (format!("crate-{id}"), quoted(text));
            match name_is_first {
                true => crates += &format!("{name},\"a\nb\",{id},{field}\n"),
                false => crates += &format!("{field},{id},{name}\n"),
            }
            let words: Vec<_> = text.split_whitespace().collect();
            let said = words.join(" ");
            expected.insert(name, ((!said.is_empty()).then_some(said), 0));
        }
        let mut downloads = String::from("version_id,date,downloads\n");
        for (at, count) in counts.iter().enumerate() {
            let id = at % texts.len();
            downloads += &format!("{id},2026-11-01,{count}\n");
            expected.get_mut(&format!("crate-{id}")).unwrap().1 += count;
        }
        let mut tables = vec![("crates", crates), ("version_downloads", downloads)];
        if is_reversed {
            tables.reverse();
        }
        let read = stage(dump(&tables).as_slice(), Some(folder.path()), |_| {});
        prop_assert_eq!(staged(&read.unwrap()), expected);
    }

    #[test]
    fn no_cut_or_changed_byte_makes_another_dump(at in 0.0..1.0, value: u8, is_cut: bool) {
        let folder = TempDir::new().unwrap();
        let mut bytes = dump(&[("crates", "id,name\n1,serde\n2,rand\n".to_owned())]);
        let whole = staged(&stage(bytes.as_slice(), Some(folder.path()), |_| {}).unwrap());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (bytes.len() as f64 * at) as usize;
        match is_cut {
            true => bytes.truncate(at),
            false => bytes[at] = value,
        }
        let read = stage(bytes.as_slice(), Some(folder.path()), |_| {});
        // Some bits say nothing that anybody reads, such as the time of a gzip file.
        if let Ok(read) = read {
            prop_assert!(!is_cut);
            prop_assert_eq!(staged(&read), whole);
        }
        let left = std::fs::read_dir(folder.path().join("tmp")).unwrap().count();
        prop_assert_eq!(left, 0);
    }
}
