#![allow(clippy::unwrap_used)]

use std::io::{self, Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::bounds::BOUNDS;
use super::*;

/// An archive in the making, in which everything may be wrong.
#[derive(Default, Clone)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, path: &[u8], entry_type: EntryType, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
        header.set_size(content.len() as u64);
        header.set_entry_type(entry_type);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.content(content)
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        let end = self.0.len().next_multiple_of(512);
        self.0.resize(end, 0);
        self
    }

    fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = format!("foo-1.0.0/{path}");
        self.entry(path.as_bytes(), EntryType::Regular, content.as_ref())
    }

    fn crate_of(manifest: &str) -> Self {
        Self::default().file("Cargo.toml", manifest)
    }

    /// Ends and compresses it.
    fn gzip(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.0).unwrap();
        encoder.write_all(&[0; 1024]).unwrap();
        encoder.finish().unwrap()
    }
}

fn archive(bytes: Vec<u8>) -> CrateArchive<Cursor<Vec<u8>>> {
    let (name, version) = (CrateName::new("foo"), CrateVersion::new("1.0.0"));
    CrateArchive::new(Cursor::new(bytes), &name.unwrap(), &version.unwrap())
}

/// Returns what is said of an archive that is refused.
fn refusal(bytes: Vec<u8>) -> String {
    let mut archive = archive(bytes);
    let error = archive.files().unwrap_err().to_string();
    assert_eq!(archive.manifest().unwrap_err().to_string(), error);
    assert!(archive.readme().is_err() && archive.file("x").is_err());
    assert!(
        error.len() < 1000 && !error.contains(char::is_control),
        "{error}"
    );
    error
}

#[track_caller]
fn check_refused(tar: Tar, wanted: &str) {
    let error = refusal(tar.gzip());
    assert!(error.contains(wanted), "{error}");
}

const PACKAGE: &str = "[package]\nname = \"foo\"\n";

fn manifest(rest: &str) -> Manifest {
    Manifest::parse(format!("{PACKAGE}{rest}").as_bytes()).unwrap()
}

#[test]
fn a_crate_is_read_as_cargo_makes_it() {
    let long = format!("src/{}.rs", "long/".repeat(40));
    let long = long.replace("/.rs", ".rs");
    let text = format!(
        "{PACKAGE}description = \"\"\"\nParses\n  things.\n\"\"\"\nkeywords = [\"parser\", \"no-std\"]\ncategories = [\"parsing::text\"]\nlicense = \"MIT OR Apache-2.0\"\nhomepage = \"https://foo.example/\"\nrepository = \"https://git.example/foo\"\ndocumentation = \"http://docs.example/foo\"\nrust-version = \"1.70\"\nedition = \"2021\"\nreadme = \"README.md\"\n[lib]\nname = \"foo\"\n[[bin]]\nname = \"food\"\n"
    );
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, content) in [
        ("Cargo.toml", text.as_str()),
        ("README.md", "# Foo"),
        (&long, "fn"),
    ] {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        let path = format!("foo-1.0.0/{path}");
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let mut archive = archive(builder.into_inner().unwrap().finish().unwrap());
    let files = archive.files().unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.size))
        .collect();
    let expected = [
        ("Cargo.toml", text.len() as u64),
        ("README.md", 5),
        (&long, 2),
    ];
    assert_eq!(paths, expected);
    assert_eq!(archive.file(&long).unwrap().unwrap().text(), "fn");
    assert_eq!(archive.file("absent").unwrap(), None);
    assert_eq!(archive.readme().unwrap().unwrap().text(), "# Foo");
    let some = |text: &str| Some(text.to_owned());
    let expected = Manifest {
        description: some("Parses things."),
        keywords: vec!["parser".to_owned(), "no-std".to_owned()],
        categories: vec!["parsing::text".to_owned()],
        license: some("MIT OR Apache-2.0"),
        homepage: some("https://foo.example/"),
        documentation: some("http://docs.example/foo"),
        repository: some("https://git.example/foo"),
        rust_version: some("1.70"),
        edition: some("2021"),
        readme: Readme::At("README.md".to_owned()),
        has_library: true,
        binaries: vec!["food".to_owned()],
    };
    assert_eq!(archive.manifest().unwrap(), expected);
}

#[test]
fn the_readme_is_where_the_manifest_says_or_where_cargo_looks() {
    let readme = |rest: &str| {
        let tar = Tar::crate_of(&format!("{PACKAGE}{rest}"))
            .file("README", "plain")
            .file("README.txt", "text")
            .file("docs/about.md", "about");
        archive(tar.gzip())
            .readme()
            .unwrap()
            .map(|content| content.text())
    };
    assert_eq!(readme("").as_deref(), Some("text"));
    assert_eq!(
        readme("readme = \"docs/about.md\"").as_deref(),
        Some("about")
    );
    assert_eq!(readme("readme = \"./README\"").as_deref(), Some("plain"));
    for none in [
        "false",
        "true",
        "7",
        "\"README.md\"",
        "\"../README\"",
        "\"absent\"",
    ] {
        assert_eq!(readme(&format!("readme = {none}")), None, "{none}");
    }
}

#[test]
fn of_a_large_file_the_beginning_is_kept() {
    let mut text = "x".repeat(BOUNDS.kept as usize - 1);
    text.push_str("ü and more");
    let tar = Tar::crate_of(PACKAGE).file("README.md", &text);
    let content = archive(tar.gzip()).readme().unwrap().unwrap();
    assert!(content.is_cut() && content.size == text.len() as u64);
    // The letter that was cut in two is left out.
    assert_eq!(content.text(), text[..BOUNDS.kept as usize - 1]);
    let tar = Tar::crate_of(PACKAGE).file("README.md", b"a\xffb");
    assert_eq!(
        archive(tar.gzip()).readme().unwrap().unwrap().text(),
        "a\u{fffd}b"
    );
}

#[test]
fn only_plain_files_below_the_root_are_taken() {
    for (path, wanted) in [
        ("foo-1.0.0/../x", "not a plain one"),
        ("foo-1.0.0/./x", "not a plain one"),
        ("foo-1.0.0//etc/passwd", "not a plain one"),
        ("foo-1.0.0/a\u{1b}[2J", "not a plain one"),
        ("/etc/passwd", "not below foo-1.0.0/"),
        ("../foo-1.0.0/x", "not below foo-1.0.0/"),
        ("foo-1.0.01/x", "not below foo-1.0.0/"),
        ("foo-1.0.0", "not below foo-1.0.0/"),
        ("", "not below foo-1.0.0/"),
    ] {
        let tar = Tar::crate_of(PACKAGE).entry(path.as_bytes(), EntryType::Regular, b"");
        check_refused(tar, wanted);
    }
    // What is repeated of one is short.
    let path = [b'\x1b'; 100];
    check_refused(
        Tar::default().entry(&path, EntryType::Regular, b""),
        "not below foo-1.0.0/",
    );
    let tar = Tar::default().entry(b"foo-1.0.0/\xff", EntryType::Regular, b"");
    check_refused(tar, "not UTF-8");
    for (entry_type, wanted) in [
        (EntryType::Symlink, "a link: `foo-1.0.0/x`"),
        (EntryType::Link, "a link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a device"),
        (EntryType::GNUSparse, "a file with holes"),
        (EntryType::Continuous, "something that is no file"),
        (EntryType::GNULongLink, "something that is no file"),
        (EntryType::new(b'Z'), "something that is no file"),
    ] {
        let tar = Tar::crate_of(PACKAGE).entry(b"foo-1.0.0/x", entry_type, b"");
        check_refused(tar, wanted);
    }
    let tar = Tar::crate_of(PACKAGE)
        .file("a", "1")
        .file("b", "2")
        .file("a", "3");
    check_refused(tar, "it has `a` twice");
    let folder = Tar::crate_of(PACKAGE).entry(b"foo-1.0.0/src/", EntryType::Directory, b"");
    assert_eq!(archive(folder.gzip()).files().unwrap().len(), 1);
}

#[test]
fn headers_for_the_next_file_say_its_path_and_no_more() {
    let pax = |said: &str| {
        Tar::crate_of(PACKAGE)
            .entry(b"PaxHeader", EntryType::XHeader, said.as_bytes())
            .file("x", "content")
    };
    let paths = |tar: &Tar| {
        let files = archive(tar.gzip()).files().unwrap();
        files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    let named = pax("20 path=foo-1.0.0/y\n20 mtime=1700000000\n");
    assert_eq!(paths(&named), ["Cargo.toml", "y"]);
    let escaping = pax("14 path=../up\n");
    check_refused(escaping, "not below foo-1.0.0/");
    check_refused(pax("13 size=9999\n"), "a PAX header `size`");
    check_refused(
        pax("22 GNU.sparse.major=1\n"),
        "a PAX header `GNU.sparse.major`",
    );
    check_refused(pax("9999 x=1\n"), "it cannot be unpacked: malformed pax");
    let comment = Tar::default().entry(b"g", EntryType::XGlobalHeader, b"14 comment=ab\n");
    assert_eq!(paths(&comment.file("x", "")), ["x"]);
    let global = Tar::default().entry(b"g", EntryType::XGlobalHeader, b"20 path=foo-1.0.0/y\n");
    check_refused(global.file("x", ""), "one path");

    let long = |path: &[u8]| Tar::default().entry(b"././@LongLink", EntryType::GNULongName, path);
    assert_eq!(paths(&long(b"foo-1.0.0/long\0").file("x", "")), ["long"]);
    check_refused(long(b"foo-1.0.0/a\0b\0").file("x", ""), "not a plain one");
    check_refused(long(&[b'a'; 600]).file("x", ""), "too long");
    check_refused(
        long(&[b'a'; 5000]).file("x", ""),
        "a header of more than 4096 bytes",
    );
    check_refused(long(b"foo-1.0.0/x"), "a file that is not there");
    let twice = long(b"foo-1.0.0/x").entry(b"l", EntryType::GNULongName, b"foo-1.0.0/y");
    check_refused(twice.file("x", ""), "a second header");
    let folder = long(b"foo-1.0.0/x").entry(b"foo-1.0.0/d", EntryType::Directory, b"");
    check_refused(folder, "a folder with a long path");
}

#[test]
fn a_bomb_is_left_before_it_goes_off() {
    // It says that it has a gigabyte, and has zeros.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let mut header = Header::new_gnu();
    header.set_path("foo-1.0.0/Cargo.toml").unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(32 << 20), &mut encoder).unwrap();
    let error = refusal(encoder.finish().unwrap());
    assert!(error.contains("more than 100 times its size"), "{error}");
}

#[test]
fn more_entries_than_any_crate_has_are_refused() {
    let mut tar = Tar::default();
    for number in 0..=BOUNDS.entries {
        tar = tar.file(&number.to_string(), "");
    }
    check_refused(tar, "more than 50000 entries");
    // Folders count as well.
    let mut tar = Tar::default().entry(b"foo-1.0.0/d", EntryType::Directory, b"");
    tar.0 = tar.0.repeat(BOUNDS.entries + 1);
    let error = refusal(tar.gzip());
    assert!(
        error.contains("entries") || error.contains("times its size"),
        "{error}"
    );
}

#[test]
fn what_is_no_archive_is_told() {
    let whole = Tar::crate_of(PACKAGE)
        .file("README.md", "text".repeat(1000))
        .gzip();
    for bytes in [
        Vec::new(),
        b"no archive at all".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        // The head of a gzip file whose own name never ends.
        [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], &[b'a'; 1 << 20]].concat(),
        Tar(b"garbage ".repeat(1000)).gzip(),
        // A file that is longer than the archive, and one whose length is no number.
        Tar(Tar::crate_of(PACKAGE).0[..512].to_vec()).gzip()[..40].to_vec(),
    ] {
        let error = refusal(bytes);
        assert!(error.starts_with("it cannot be unpacked: "), "{error}");
    }
    let mut empty = archive(Tar::default().gzip());
    assert_eq!(empty.files().unwrap(), []);
    let error = empty.manifest().unwrap_err().to_string();
    assert_eq!(error, "there is no Cargo.toml in it");
}

#[test]
fn a_manifest_of_other_types_is_read_as_far_as_it_is_one() {
    let read = manifest(
        "description = 7\nkeywords = \"a\"\ncategories = [1, \"ok\", [\"no\"], \"no spaces\", \"\"]\nlicense = {}\nlicense-file = \"LICENSE\"\nhomepage = [\"https://a.example\"]\nrust-version = 1.7\nedition = { workspace = true }\nreadme = {}\nbin = 1\n[lib]\n",
    );
    let expected = Manifest {
        categories: vec!["ok".to_owned()],
        license: Some("non-standard".to_owned()),
        readme: Readme::None,
        has_library: true,
        ..Manifest::default()
    };
    assert_eq!(read, expected);
    let old = Manifest::parse(b"[project]\nname = \"foo\"\ndescription = \"old\"").unwrap();
    assert_eq!(old.description.as_deref(), Some("old"));
    for (bytes, told) in [
        (&b"[package\n"[..], "its Cargo.toml is not TOML: "),
        (b"package = 1", "its Cargo.toml has no [package]"),
        (b"", "its Cargo.toml has no [package]"),
        (b"\xff", "its Cargo.toml is not UTF-8"),
        (&b"a = 1\n".repeat(100_000), "its Cargo.toml has more than"),
        (&b"[".repeat(100_000), "its Cargo.toml is not TOML: "),
        (
            format!("a = {}", "[".repeat(100_000)).as_bytes(),
            "its Cargo.toml is not TOML: ",
        ),
    ] {
        let error = Manifest::parse(bytes).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn long_texts_are_cut_and_addresses_are_of_the_web() {
    let read = manifest(&format!(
        "description = \"{}\"\nkeywords = [{}]\nlicense = \"  \"\n",
        "word ".repeat(40_000),
        "\"k\",".repeat(1000)
    ));
    let description = read.description.unwrap();
    assert_eq!(description.chars().count(), 999);
    assert!(description.ends_with("word"));
    assert_eq!((read.keywords.len(), read.license), (20, None));
    // One of ten megabytes is not even parsed.
    let large = format!("{PACKAGE}description = \"{}\"\n", "a".repeat(10 << 20));
    let tar = Tar::crate_of(&large).file("noise", "");
    let error = archive(tar.gzip()).manifest().unwrap_err().to_string();
    assert!(error.contains("more than 262144 bytes"), "{error}");

    let homepage = |address: &str| manifest(&format!("homepage = '{address}'")).homepage;
    assert_eq!(
        homepage("https://a.example/b?c").as_deref(),
        Some("https://a.example/b?c")
    );
    for refused in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example",
        "//a.example",
        "a.example",
        "https://",
        "https://user:password@a.example/",
        &format!("https://a.example/{}", "a".repeat(1000)),
        &format!("https://a.example/{}", "ü".repeat(400)),
    ] {
        assert_eq!(homepage(refused), None, "{refused}");
    }
    // What a page or a terminal could obey is encoded.
    let encoded = homepage("https://a.example/\"><script>").unwrap();
    assert_eq!(encoded, "https://a.example/%22%3E%3Cscript%3E");
}

/// Checks what holds of every archive that is not refused.
fn check_promises(bytes: Vec<u8>) {
    let mut archive = archive(bytes);
    let Ok(files) = archive.files() else {
        return;
    };
    let mut seen = std::collections::HashSet::new();
    for file in &files {
        assert!(seen.insert(&file.path), "twice: {file:?}");
        assert!(!file.path.starts_with('/') && !file.path.split('/').any(|part| part == ".."));
    }
    if let Some(first) = files.first() {
        let content = archive.file(&first.path).unwrap().unwrap();
        assert_eq!(content.size, first.size);
        assert!(content.bytes.len() as u64 <= BOUNDS.kept);
    }
    let _ = archive.manifest();
    let _ = archive.readme();
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        check_promises(bytes.clone());
        check_promises(Tar(bytes.clone()).gzip());
        // One that was sound, and is damaged before it is compressed, and after.
        let sound = Tar::crate_of(PACKAGE).file("README.md", &bytes).entry(b"x", EntryType::GNULongName, b"foo-1.0.0/y").file("z", "");
        let (mut tar, mut gzip) = (sound.clone(), sound.gzip());
        for (at, byte) in damage {
            let (tar_at, gzip_at) = (at.index(tar.0.len()), at.index(gzip.len()));
            tar.0[tar_at] = byte;
            gzip[gzip_at] = byte;
        }
        check_promises(tar.gzip());
        check_promises(gzip);
    }

    #[test]
    fn no_entries_lead_out_of_the_folder(
        entries in prop::collection::vec(("(foo-1\\.0\\.0/|foo-1\\.0\\.0/|foo-1\\.0\\.0/|/|)(a|b|\\.\\.|\\.|)(/(a|b|\\.\\.))?", prop::sample::select(b"00000x5L2".as_slice()), "[ -~\n]{0,9}"), 1..4)
    ) {
        let entries = entries.iter();
        let tar = entries.fold(Tar::default(), |tar, (path, entry_type, content)| {
            tar.entry(path.as_bytes(), EntryType::new(*entry_type), content.as_bytes())
        });
        check_promises(tar.gzip());
    }

    #[test]
    fn no_manifest_makes_the_reader_panic(
        text in "(\\[package\\]|\\[\\[bin\\]\\]|(description|keywords|readme|bin|lib|name) = (\"[a-z:/.]{0,20}\"|\\[\"a b\"\\]|true|7|\\{\\})|\\PC{0,9}|\n){0,30}",
        homepage in "(http|https|ftp|javascript|x):(//)?[a-z@/.]{0,9}"
    ) {
        let _ = Manifest::parse(text.as_bytes());
        let text = format!("{PACKAGE}homepage = \"{homepage}\"\n{text}");
        if let Ok(read) = Manifest::parse(text.as_bytes()) {
            prop_assert!(read.homepage.is_none_or(|address| address.starts_with("http")));
        }
    }
}
