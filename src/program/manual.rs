//! Completion scripts and manual pages, made from a program's own command line.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;

use super::arguments::CommonCommand;
use super::output::Output;
use crate::error::{Error, Kind, Result};

/// Runs a command that needs no configuration.
///
/// # Errors
/// `usage` if the program has no such command, `config` if a directory cannot be written.
pub fn run(asked: &CommonCommand, mut program: Command) -> Result<Output> {
    match asked {
        CommonCommand::Completions { shell } => Ok(completions(*shell, program)),
        CommonCommand::Man { dir, path } => {
            program = without_help(program);
            // Names each page as its command is called, for example `crates-ferry-cache-evict`.
            program.build();
            match dir {
                Some(dir) => write_pages(dir, program),
                None => page_of(path, &program),
            }
        }
    }
}

/// Removes the `help` commands: their pages would repeat those of the commands.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

fn completions(shell: Shell, mut program: Command) -> Output {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(shell, &mut program, name, &mut script);
    let mut text = String::from_utf8_lossy(&script).trim_end().to_owned();
    if shell == Shell::Bash {
        text = with_matching_labels(&text, program.get_name());
    }
    let json = json!({ "shell": shell.to_string(), "script": text });
    Output {
        text,
        json,
        exit_code: 0,
        if_empty: "",
        beside: Vec::new(),
    }
}

/// Makes the labels of bash's script those that it looks for. In clap_complete 4.6.11 the two differ for a program whose
/// name has a hyphen, so that nothing is completed after its first word.
fn with_matching_labels(script: &str, program: &str) -> String {
    let (label, wanted) = (
        program.replace('-', "__subcmd__"),
        program.replace('-', "__"),
    );
    script.replace(&label, &wanted)
}

fn page_of(path: &[String], program: &Command) -> Result<Output> {
    let mut found = program;
    for name in path {
        found = found.find_subcommand(name).ok_or_else(|| {
            let message = format!("`{}` has no command `{name}`", found.get_name());
            Error::new(Kind::Usage, message).advise("`--help` lists the commands.")
        })?;
    }
    let mut page = Vec::new();
    let rendered = Man::new(found.clone()).render(&mut page);
    rendered.map_err(|e| Error::new(Kind::Server, "cannot write the manual page").because(e))?;
    let text = String::from_utf8_lossy(&page).trim_end().to_owned();
    let json = json!({ "page": text });
    Ok(Output {
        text,
        json,
        exit_code: 0,
        if_empty: "",
        beside: Vec::new(),
    })
}

fn write_pages(dir: &Path, program: Command) -> Result<Output> {
    let shown = dir.display();
    let unwritable = |e| {
        Error::new(
            Kind::Config,
            format!("cannot write manual pages into {shown}"),
        )
        .because(e)
    };
    std::fs::create_dir_all(dir).map_err(unwritable)?;
    clap_mangen::generate_to(program, dir).map_err(unwritable)?;
    let json = json!({ "dir": shown.to_string() });
    Ok(Output {
        text: format!("wrote the manual pages into {shown}"),
        json,
        exit_code: 0,
        if_empty: "",
        beside: Vec::new(),
    })
}
