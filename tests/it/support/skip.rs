//! How a test says that it cannot run here.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says why the running test is skipped, on the test's output and in the file that `FERRY_SKIPPED` names: a line of the
/// reason, a tab, and the test's name.
///
/// The output of a test that passes is not shown; `ci/check` shows the file after the last test.
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
    let Ok(path) = std::env::var("FERRY_SKIPPED") else {
        return;
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let mut list = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    // One write, as tests of other processes append to it as well.
    list.write_all(format!("{reason}\t{test}\n").as_bytes())
        .unwrap();
}
