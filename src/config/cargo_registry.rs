//! What cargo's own directory tells of crates.io: cargo knows the address of its index, and we do not.

use url::Url;

use super::environment::Environment;

/// What cargo appends to the host of crates.io's sparse index, and to no other: the hash of its address (since cargo 1.85).
const HASH: &str = "-1949cf8c6b5b557f";

/// Returns the address of crates.io's sparse index, if cargo has used it here.
pub(super) fn index(environment: &Environment) -> Option<Url> {
    let folder = environment.cargo_home().ok()?.join("registry/index");
    let names = std::fs::read_dir(folder).ok()?.flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let host = names.find_map(|name| name.strip_suffix(HASH).map(str::to_owned))?;
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    // A folder's name is no more than that.
    (url.host_str() == Some(&host)).then_some(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_host_is_that_of_the_folder_which_cargo_made_for_crates_io() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs([("CARGO_HOME", folder.path())]);
        let made = |name: &str| {
            std::fs::create_dir_all(folder.path().join("registry/index").join(name)).unwrap();
            index(&environment).map(String::from)
        };
        assert_eq!(index(&environment), None);
        assert_eq!(made("other.example-0123456789abcdef"), None);
        let wanted = Some("https://index.example/".to_owned());
        assert_eq!(made(&format!("index.example{HASH}")), wanted);
    }
}
