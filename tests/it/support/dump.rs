//! Makes database dumps as crates.io makes them: the layout and the columns of 2026, and what a test wants else.

use std::collections::BTreeMap;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A dump.
#[derive(Clone)]
pub struct Dump {
    /// The files below its folder, in the order of their names.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether the archive has them in the other order.
    pub is_reversed: bool,
}

/// Makes a CSV table of a header and rows.
pub fn table(header: &str, rows: &[&str]) -> Vec<u8> {
    let lines = [&[header], rows].concat();
    lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .into_bytes()
}

impl Dump {
    /// Makes the dump of a registry of `serde`, `serde_json`, `Toml-Edit`, and `elsewhere`, which the index of a test does not have.
    pub fn new() -> Self {
        let mut dump = Self {
            files: BTreeMap::new(),
            is_reversed: false,
        };
        dump.put_file("README.md", b"# crates.io Database Dump\n");
        dump.put_file(
            "metadata.json",
            br#"{"timestamp":"2026-11-30T02:00:15Z","crates_io_commit":"0123"}"#,
        );
        dump.put_file("schema.sql", b"CREATE TABLE public.crates ();\n");
        dump.put("crates", "id,name,created_at,updated_at,description,homepage,documentation,readme,repository,max_upload_size,max_features,trustpub_only", &[
            "7,serde,2014-12-05 20:20:39.487502+00,2026-11-01 00:00:00+00,\"A generic \"\"serialization\"\"\nframework, of a kind\",https://serde.example,,\"# Serde\n\nwith, commas\",https://git.example/serde,,,f",
            "3,serde_json,2015-01-01 00:00:00,2026-01-01 00:00:00,JSON for the ferry,,,,javascript:alert(1),,,f",
            "9,Toml-Edit,2016-01-01 00:00:00,2026-01-01 00:00:00,,,,,,,,f",
            "11,elsewhere,2016-01-01 00:00:00,2026-01-01 00:00:00,Not in the index,,,,,,,f",
        ]);
        dump.put(
            "crate_downloads",
            "crate_id,downloads",
            &["3,500", "7,1000", "9,2000", "11,9"],
        );
        dump.put("versions", "id,crate_id,num,num_no_build,created_at,updated_at,downloads,features,yanked,license,crate_size,published_by,tar_sha256", &[
            "71,7,1.0.0,1.0.0,2020-01-01 00:00:00,2020-01-01 00:00:00,400,\"{\"\"std\"\": []}\",f,MIT OR Apache-2.0,80000,1,ab",
            "72,7,1.1.0,1.1.0,2021-01-01 00:00:00,2021-01-01 00:00:00,600,{},f,MIT,90000,,ab",
            "31,3,1.0.0,1.0.0,2021-01-01 00:00:00,2021-01-01 00:00:00,500,{},f,Apache-2.0,,1,ab",
        ]);
        dump.put("default_versions", "crate_id,version_id", &["7,72", "3,31"]);
        dump.put(
            "version_downloads",
            "date,downloads,version_id",
            &[
                "2026-11-01,5,72",
                "2026-11-02,6,72",
                "2026-11-02,2,71",
                "2026-11-02,40,31",
            ],
        );
        dump.put(
            "keywords",
            "crates_cnt,created_at,id,keyword",
            &[
                "1,2015-02-03 04:05:06+00,1,serialization",
                "2,2016-01-01 00:00:00,2,encoding",
                "0,2016-01-01 00:00:00,4,nobody",
            ],
        );
        dump.put(
            "crates_keywords",
            "crate_id,keyword_id",
            &["7,1", "7,2", "3,2", "11,2"],
        );
        dump.put("categories", "category,crates_cnt,created_at,description,id,path,slug", &[
            "Encoding,1,2017-01-17 19:13:05,\"Encoding, and decoding.\",1,root.encoding,encoding",
            "Development tools,0,2017-01-17 19:13:05,Tools.,2,root.tools,development-tools",
            "Development tools::Testing,0,2017-01-17 19:13:05,Tests.,3,root.tools.testing,development-tools::testing",
        ]);
        dump.put("crates_categories", "category_id,crate_id", &["1,7", "3,9"]);
        dump.put(
            "crate_owners",
            "crate_id,created_at,created_by,owner_id,owner_kind",
            &[
                "7,2017-01-01 00:00:00,,1,0",
                "7,2017-01-01 00:00:00,,5,1",
                "3,2017-01-01 00:00:00,,1,0",
                "11,2017-01-01 00:00:00,,2,0",
            ],
        );
        dump.put(
            "users",
            "gh_avatar,gh_id,gh_login,id,name",
            &[
                "https://avatars.example/u/1?v=4,1,captain,1,The Captain",
                ",2,stranger,2,",
            ],
        );
        dump.put(
            "teams",
            "avatar,github_id,id,login,name,org_id",
            &["https://avatars.example/t/5,50,5,github:ferry-rs:crew,Crew,51"],
        );
        dump.put("reserved_crate_names", "name", &["std"]);
        dump
    }

    /// Replaces a table, or adds one.
    pub fn put(&mut self, name: &str, header: &str, rows: &[&str]) -> &mut Self {
        self.put_file(&format!("data/{name}.csv"), &table(header, rows))
    }

    /// Replaces a file, or adds one.
    pub fn put_file(&mut self, path: &str, content: &[u8]) -> &mut Self {
        self.files.insert(path.to_owned(), content.to_vec());
        self
    }

    /// Leaves a table out.
    pub fn without(&mut self, name: &str) -> &mut Self {
        self.files.remove(&format!("data/{name}.csv")).unwrap();
        self
    }

    /// Returns the file `db-dump.tar.gz`.
    pub fn bytes(&self) -> Vec<u8> {
        let mut files: Vec<_> = self.files.iter().collect();
        if self.is_reversed {
            files.reverse();
        }
        let mut builder = archive();
        for (path, content) in files {
            append(&mut builder, &format!("2026-11-30-020015/{path}"), content);
        }
        finished(builder)
    }

    /// Writes the file `db-dump.tar.gz`, and returns its path.
    pub fn write(&self, folder: &Path) -> String {
        write(folder, &self.bytes())
    }
}

/// Writes bytes as the file `db-dump.tar.gz`, and returns its path.
pub fn write(folder: &Path, bytes: &[u8]) -> String {
    let path = folder.join("db-dump.tar.gz");
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A compressed archive that is being made.
pub type Archive = tar::Builder<GzEncoder<Vec<u8>>>;

/// Begins an archive.
pub fn archive() -> Archive {
    tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()))
}

/// Adds a file at a path that may be one that no honest archive has.
pub fn append(builder: &mut Archive, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

/// Ends an archive, and returns its bytes.
pub fn finished(builder: Archive) -> Vec<u8> {
    builder.into_inner().unwrap().finish().unwrap()
}
