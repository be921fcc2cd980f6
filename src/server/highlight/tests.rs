#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Writes a text with its marks, as in `{kw:fn} main`.
fn shown(text: &str, language: Language) -> String {
    let marks = Marks::of(text, Some(language));
    let pieces = marks.pieces(text, 0..text.len()).into_iter();
    let shown = pieces.map(|(text, class)| match class {
        Some(class) => format!("{{{class}:{text}}}"),
        None => text.to_owned(),
    });
    shown.collect()
}

#[test]
fn the_words_of_rust_are_told_apart() {
    for (text, wanted) in [
        (
            "pub(crate) fn f<'a>(x: &'a str) -> u8 { 1_u8 }",
            "{kw:pub}({kw:crate}) {kw:fn} f<{lt:'a}>(x: &{lt:'a} str) -> u8 { {num:1_u8} }",
        ),
        (
            "pub async fn r#fn() { x.await? }",
            "{kw:pub async fn} r#fn() { x.{kw:await}? }",
        ),
        (
            "/// a\n    /// b\n// c",
            "{doc:/// a\n    /// b}\n{com:// c}",
        ),
        (
            "/* a /* b */ */ x /** d */",
            "{com:/* a /* b */ */} x {doc:/** d */}",
        ),
        (
            "#![allow(x)]\n#[cfg(feature = \"a\")] // b\nstruct S;",
            "{att:#![allow(x)]\n#[cfg(feature =} {str:\"a\"}{att:)]} {com:// b}\n{kw:struct} S;",
        ),
        (
            "#[a([1; 2])] [1]",
            "{att:#[a([}{num:1}{att:;} {num:2}{att:])]} [{num:1}]",
        ),
        (
            "println!(\"{}\", a != b && !c)",
            "{mac:println!}({str:\"{}\"}, a != b && !c)",
        ),
        ("a!=b; if !x {}", "a!=b; {kw:if} !x {}"),
        (
            "r#\"a\"# b'x' 'y' c\"z\" true 0xff 1.5",
            "{str:r#\"a\"# b'x' 'y' c\"z\"} {num:true 0xff 1.5}",
        ),
        ("'a: loop {}", "{lt:'a}: {kw:loop} {}"),
        ("#!/bin/rust\nfn", "{com:#!/bin/rust}\n{kw:fn}"),
        ("let a = \"never", "{kw:let} a = {str:\"never}"),
        ("x.0.1 # 5", "x.{num:0.1} # {num:5}"),
    ] {
        assert_eq!(shown(text, Language::Rust), wanted);
    }
}

#[test]
fn the_words_of_toml_are_told_apart() {
    for (text, wanted) in [
        (
            "# a\n[a.\"b\"] # c\nd = 1",
            "{com:# a}\n{kw:[a.\"b\"]} {com:# c}\nd = {num:1}",
        ),
        ("[[bin]]\nname = 'x'\n", "{kw:[[bin]]}\nname = {str:'x'}\n"),
        (
            "a = { version = \"1\", b = [1.5, true], c.d = 1979-05-27 }\ne = 2",
            "a = { version = {str:\"1\"}, b = [{num:1.5}, {num:true}], c.d = {num:1979-05-27} }\ne = {num:2}",
        ),
        (
            "a = [\n  [1],\n  \"x\",\n]\n[b]",
            "a = [\n  [{num:1}],\n  {str:\"x\"},\n]\n{kw:[b]}",
        ),
        ("a = \"\"\"\n[b]\n\"\"\"", "a = {str:\"\"\"\n[b]\n\"\"\"}"),
    ] {
        assert_eq!(shown(text, Language::Toml), wanted);
    }
}

#[test]
fn a_language_is_known_by_its_path_or_its_fence() {
    for (path, language) in [
        ("src/lib.rs", Some(Language::Rust)),
        ("Cargo.lock", Some(Language::Toml)),
        ("Cargo.toml.orig", Some(Language::Toml)),
        (".cargo/config.toml", Some(Language::Toml)),
        ("yarn.lock", None),
        ("rs", None),
        ("a.rs/b", None),
    ] {
        assert_eq!(Language::of_path(path), language, "{path}");
    }
    for (info, language) in [
        ("rust", Some(Language::Rust)),
        ("rust,no_run", Some(Language::Rust)),
        ("Rust ignore", Some(Language::Rust)),
        ("toml", Some(Language::Toml)),
        ("", None),
        ("no_run", None),
        ("console", None),
    ] {
        assert_eq!(Language::of_fence(info), language, "{info}");
    }
}

#[test]
fn a_text_that_is_too_long_has_no_marks() {
    let text = "fn ".repeat(LONGEST / 3);
    assert_ne!(Marks::of(&text, Some(Language::Rust)), Marks::default());
    let longer = format!("{text}  ");
    assert_eq!(Marks::of(&longer, Some(Language::Rust)), Marks::default());
    assert_eq!(Marks::of("fn", None), Marks::default());
}

#[test]
fn many_hyphens_are_no_reason_to_panic() {
    let text = format!("{}\nfn", "-".repeat(70_000));
    assert!(shown(&text, Language::Rust).ends_with("\n{kw:fn}"));
}

/// Pieces of code that begin something and may not end it.
fn code() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "#[", "#![", "]", "[", "\"", "'", "'a", "r#\"", "r###", "\"#", "b'", "c\"", "/*", "*/",
        "//", "///", "//!", "\n", " ", "!", "!=", "x!", "fn ", "1e", "0x", "1.", "..", "\\", "{",
        "}", "=", ",", "\"\"\"", "'''", "#", "---\n", "#!", "é", "🦀", "\u{feff}", "\r", "\0",
        "k#", "'r#", "##\"",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "\\PC{0,6}"]
}

/// Says what is wrong with the marks of a text: whether they stand in order at characters, and lose nothing of any line.
fn fault(text: &str, language: Language) -> Option<String> {
    let marks = Marks::of(text, Some(language));
    let mut end = 0;
    for mark in &marks.0 {
        if mark.range.start < end || mark.range.is_empty() || text.get(mark.range.clone()).is_none()
        {
            return Some(format!("{mark:?}"));
        }
        end = mark.range.end;
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let pieces = marks.pieces(text, start..start + line.len());
        let again: String = pieces.iter().map(|(text, _)| *text).collect();
        if again != line {
            return Some(again);
        }
        start += line.len();
    }
    None
}

proptest! {
    #[test]
    fn no_text_is_lost_and_no_mark_overlaps(parts in prop::collection::vec(code(), 0..40)) {
        let text = parts.concat();
        for language in [Language::Rust, Language::Toml] {
            prop_assert_eq!(fault(&text, language), None, "{:?}: {:?}", language, text);
        }
    }
}
