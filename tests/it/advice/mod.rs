//! What the programs advise, for every side and every cause: one table, which a person reads from top to bottom.
//!
//! Each row is the end of a real program against a real fault. `cargo insta review` shows what a change makes of it, or
//! `INSTA_UPDATE=always cargo test --locked --test it the_table_of_advice`.

mod causes;
mod folders;
mod sides;
mod ssh;
mod told;

use causes::Causes;
use sides::Side;
use told::Told;

#[test]
fn the_table_of_advice() {
    let causes = Causes::prepare();
    let told = Told::new(&causes);
    let mut table = String::new();
    for side in Side::ALL {
        table += &format!("\n==== {} ====\n", side.name());
        for cause in causes.of(side) {
            let output = side.run(&causes, &cause);
            table += &told.row(&cause.name, &output);
        }
    }
    let Some(over_ssh) = ssh::rows(&causes, &told) else {
        return;
    };
    insta::assert_snapshot!(table + &over_ssh);
}
