//! The rows of a table, whose columns are found by the names in its header.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};
use rusqlite::types::Value;

use super::DumpError;
use super::bounds::{BOUNDS, Rows};
use super::staging::Staging;
use super::tables::{CRATES, Field, Table};

/// How much is read ahead of a table.
const AHEAD: usize = 256 << 10;

/// Stages the rows of a table. One without a column that it needs is left out, unless it is that of the crates.
pub(super) fn stage(
    table: &'static Table,
    file: impl Read,
    staging: &mut Staging,
) -> Result<(), DumpError> {
    let (mut reader, since) = open(file);
    let header = header(table.name, &mut reader)?;
    let places: Vec<_> = table
        .columns
        .iter()
        .map(|column| place_of(&header, column.name))
        .collect();
    let missing = table
        .columns
        .iter()
        .zip(&places)
        .find(|(column, place)| column.is_needed && place.is_none());
    if let Some((column, _)) = missing {
        let text = format!("data/{}.csv has no column `{}`", table.name, column.name);
        if table.name == CRATES {
            return Err(DumpError::new(text));
        }
        staging.left_out.push(text);
        return Ok(());
    }
    let mut insert = staging.insert_into(table)?;
    let (mut record, mut values) = (ByteRecord::new(), Vec::new());
    while next(table.name, &mut reader, &mut record)? {
        since.set(0);
        values.clear();
        for (column, place) in table.columns.iter().zip(&places) {
            let value = match place {
                Some(place) => column.field.read(&record[*place]),
                None => Ok(Value::Null),
            };
            let value = value.map_err(|what| wrong(table.name, &record, column.name, &what))?;
            values.push(value);
        }
        let added = insert.add(&values);
        added.map_err(|error| error.at(|| place(table.name, &record)))?;
    }
    Ok(())
}

/// Adds up the downloads of versions, which have a row for each day: in memory, since these are by far the most rows.
pub(super) fn sum(name: &str, file: impl Read, staging: &mut Staging) -> Result<(), DumpError> {
    let (mut reader, since) = open(file);
    let header = header(name, &mut reader)?;
    let places = (
        place_of(&header, "version_id"),
        place_of(&header, "downloads"),
    );
    let (Some(version), Some(downloads)) = places else {
        let text = format!("data/{name}.csv has not both columns `version_id` and `downloads`");
        staging.left_out.push(text);
        return Ok(());
    };
    let mut record = ByteRecord::new();
    while next(name, &mut reader, &mut record)? {
        since.set(0);
        let number = |column: &str, field: &[u8]| match Field::Number.read(field) {
            Ok(Value::Integer(number)) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
            Ok(_) => Ok(0),
            Err(what) => Err(wrong(name, &record, column, &what)),
        };
        let id = number("version_id", &record[version])?;
        let count = number("downloads", &record[downloads])?;
        if id > BOUNDS.version_id {
            let what = format!("a number beyond {}", BOUNDS.version_id);
            return Err(wrong(name, &record, "version_id", &what));
        }
        staging.add_downloads(id, count);
    }
    Ok(())
}

fn open<R: Read>(file: R) -> (Reader<Rows<R>>, std::rc::Rc<std::cell::Cell<u64>>) {
    let (rows, since) = Rows::new(file);
    let reader = ReaderBuilder::new()
        .buffer_capacity(AHEAD)
        .from_reader(rows);
    (reader, since)
}

fn header(table: &str, reader: &mut Reader<impl Read>) -> Result<ByteRecord, DumpError> {
    let header = reader.byte_headers();
    let header = header.map_err(|error| unreadable(table, error))?.clone();
    match header.len() > BOUNDS.columns {
        true => Err(DumpError::new(format!(
            "data/{table}.csv has more than {} columns",
            BOUNDS.columns
        ))),
        false => Ok(header),
    }
}

fn place_of(header: &ByteRecord, column: &str) -> Option<usize> {
    header.iter().position(|name| name == column.as_bytes())
}

fn next(
    table: &str,
    reader: &mut Reader<impl Read>,
    record: &mut ByteRecord,
) -> Result<bool, DumpError> {
    let read = reader.read_byte_record(record);
    read.map_err(|error| unreadable(table, error))
}

fn unreadable(table: &str, error: csv::Error) -> DumpError {
    let place = error.position().map(|position| position.line());
    let place = place.map_or_else(String::new, |line| format!(", line {line}"));
    match error.into_kind() {
        csv::ErrorKind::Io(error) => {
            DumpError::of_reading(error).at(|| format!("data/{table}.csv"))
        }
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => DumpError::new(format!(
            "data/{table}.csv{place}: expected {expected_len} fields, found {len}"
        )),
        _ => DumpError::new(format!("data/{table}.csv{place}: it is no CSV")),
    }
}

fn wrong(table: &str, record: &ByteRecord, column: &str, what: &str) -> DumpError {
    DumpError::new(format!("{}: {column}: {what}", place(table, record)))
}

fn place(table: &str, record: &ByteRecord) -> String {
    let line = record.position().map_or(0, csv::Position::line);
    format!("data/{table}.csv, line {line}")
}
