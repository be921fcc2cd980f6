//! temporary
use crates_ferry::{config::*, sync, progress::Progress};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let env = Environment::of_process();
    let flags = Flags { upstream: Some(args[2].clone()), mirror: Some(args[3].clone()), ..Flags::default() };
    let config = Config::load(&flags, &env);
    let config = match config { Ok(c) => c, Err(e) => { eprintln!("{e} {:?} {:?}", e.causes(), e.advice()); std::process::exit(2) } };
    tracing_subscriber::fmt().with_max_level(if std::env::var("V").is_ok() { tracing::Level::DEBUG } else { tracing::Level::INFO }).with_writer(std::io::stderr).init();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let progress = Progress::default();
    let around = sync::Surroundings { clock: std::time::SystemTime::now, progress: &progress };
    let options = sync::Options { dry_run: args.get(4).is_some_and(|a| a == "dry"), ..Default::default() };
    match rt.block_on(sync::run(&config, &options, around)) {
        Ok(r) => println!("{r}"),
        Err(e) => { eprintln!("error[{}] {e}\n{:?}\n{:?}", e.kind(), e.causes(), e.advice()); std::process::exit(e.kind().exit_code() as i32) }
    }
}
