//! The documentation says what the programs do: its table of keys is the code's, and its configurations and command lines are
//! understood.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use crates_ferry::config::{EffectiveConfig, Environment, Flags, keys_as_markdown};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use tempfile::TempDir;

use super::{stderr, stdout};

/// A code block of a page.
struct Block {
    page: PathBuf,
    language: String,
    text: String,
    /// Whether `<!-- not ferry.yml -->` stands before it.
    is_other_yaml: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pages for users: the README and `docs/`.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages.push(root().join("README.md"));
    pages
}

fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut comment = String::new();
        let mut block: Option<Block> = None;
        for event in Parser::new(&text) {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    block = Some(Block {
                        page: page.clone(),
                        language: language.to_string(),
                        text: String::new(),
                        is_other_yaml: comment.contains("not ferry.yml"),
                    });
                }
                Event::Text(text) if block.is_some() => {
                    block
                        .iter_mut()
                        .for_each(|block| block.text.push_str(&text));
                }
                Event::End(TagEnd::CodeBlock) => {
                    found.extend(block.take());
                    comment.clear();
                }
                Event::Html(html) => comment = html.to_string(),
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                _ => comment.clear(),
            }
        }
    }
    found
}

/// Returns the arguments of the command lines of this program that the pages show.
fn command_lines(program: &str) -> Vec<(PathBuf, Vec<String>)> {
    let mut found = Vec::new();
    for block in blocks() {
        if !["sh", "console"].contains(&block.language.as_str()) {
            continue;
        }
        for line in block.text.replace("\\\n", " ").lines() {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let words = shlex::split(line).unwrap_or_default();
            // What follows belongs to the shell.
            let end = |word: &String| ["|", "&&", ">", "&"].contains(&word.as_str());
            let words: Vec<_> = words.into_iter().take_while(|word| !end(word)).collect();
            if words.first().is_some_and(|first| first == program) {
                found.push((block.page.clone(), words));
            }
        }
    }
    found
}

#[test]
fn the_table_of_keys_is_the_codes() {
    const BEGIN: &str = "<!-- keys: begin -->\n";
    const END: &str = "<!-- keys: end -->";
    let path = root().join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    if table == keys_as_markdown() {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{}{END}{after}", keys_as_markdown());
        return std::fs::write(&path, text).unwrap();
    }
    let wanted = keys_as_markdown();
    let stale = table.lines().filter(|line| !wanted.contains(line));
    let missing = wanted.lines().filter(|line| !table.contains(line));
    panic!(
        "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test --test it the_table_of_keys rewrites it\n- {}\n+ {}",
        stale.collect::<Vec<_>>().join("\n- "),
        missing.collect::<Vec<_>>().join("\n+ "),
    );
}

#[test]
fn every_configuration_in_the_docs_is_understood() {
    let mut count = 0;
    for block in blocks() {
        if block.language != "yaml" || block.is_other_yaml {
            continue;
        }
        count += 1;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ferry.yml");
        std::fs::write(&path, &block.text).unwrap();
        let loaded = EffectiveConfig::load(&Flags::new(Some(path)), &Environment::default());
        if let Err(error) = loaded {
            panic!("{}: {error}\n{}", block.page.display(), block.text);
        }
    }
    assert!(count >= 3, "only {count} configurations were found");
}

/// Runs a command line as far as the configuration, which is not there.
fn begin(words: &[String]) -> Output {
    let program = match words[0].as_str() {
        "crates-ferry" => assert_cmd::cargo::cargo_bin!("crates-ferry"),
        _ => assert_cmd::cargo::cargo_bin!("crates-ferry-trigger"),
    };
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("FERRY_CONFIG", "missing.yml");
    command.current_dir(folder.path()).args(&words[1..]);
    command.output().unwrap()
}

/// Fails if the program does not understand a command line, before it looks for its configuration.
fn check_understood(place: &Path, words: &[String]) {
    let output = begin(words);
    let said = stdout(&output) + &stderr(&output);
    let is_of_configuration =
        said.starts_with("error[config]") || said.contains("\"kind\":\"config\"");
    assert!(
        output.status.success() || is_of_configuration,
        "{}: {words:?}\n{said}",
        place.display()
    );
}

#[test]
fn every_command_line_in_the_docs_is_understood() {
    let mut count = 0;
    for program in ["crates-ferry", "crates-ferry-trigger"] {
        for (page, words) in command_lines(program) {
            check_understood(&page, &words);
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} command lines were found");
}

#[test]
fn every_command_line_of_the_help_is_understood() {
    for name in ["crates-ferry", "crates-ferry-trigger"] {
        let help = stdout(&begin(&[name, "--help"].map(str::to_owned)));
        let help = help.replace("\\\n", " ");
        let examples = help.split_once("Examples:\n").unwrap().1;
        let examples = examples.split("\n\n").next().unwrap().lines();
        let lines: Vec<_> = examples
            .map(str::trim)
            .filter(|line| line.starts_with(&format!("{name} ")))
            .collect();
        assert!(lines.len() >= 3, "{lines:?}");
        for line in lines {
            check_understood(Path::new("--help"), &shlex::split(line).unwrap());
        }
    }
}

/// Returns the words of a text that `is_part` of.
fn words(text: &str, is_part: fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |letter| !is_part(letter))
}

/// Returns the metrics that a text names.
fn metrics(text: &str) -> BTreeSet<&str> {
    words(text, |letter| letter.is_ascii_lowercase() || letter == '_')
        .filter(|word| word.starts_with("crates_ferry_"))
        .collect()
}

#[test]
fn the_reference_names_every_metric_and_no_other() {
    let sources = ["server/serve/monitoring.rs", "trigger/server/metrics.rs"];
    let code = sources
        .map(|path| std::fs::read_to_string(root().join("src").join(path)).unwrap())
        .join("\n");
    let reference = std::fs::read_to_string(root().join("docs/reference.md")).unwrap();
    assert!(!metrics(&code).is_empty());
    assert_eq!(metrics(&code), metrics(&reference));
}

#[test]
fn the_source_files_that_the_pages_for_developers_name_are_there() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let spans = Parser::new(&text).filter_map(|event| match event {
            Event::Code(code) if code.ends_with(".rs") && code.contains('/') => Some(code),
            _ => None,
        });
        let named: Vec<_> = spans.collect();
        assert!(named.len() > 5, "{page}");
        for path in named {
            let is_there = ["", "src"]
                .iter()
                .any(|from| root().join(from).join(&*path).exists());
            assert!(is_there, "{page}: {path} is not there");
        }
    }
}
