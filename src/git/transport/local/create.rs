//! Creates a repository.

use std::path::Path;

use git2::{Repository, RepositoryInitOptions};

use crate::error::{Error, Kind, Result};

/// Creates a bare repository of the object format sha1, whose HEAD names this branch, unless there is one already.
///
/// # Errors
/// `config` if the folder cannot be written, or holds something else.
pub fn create_bare(path: &Path, branch: &str) -> Result<()> {
    if Repository::open_bare(path).is_ok() {
        return Ok(());
    }
    let mut options = RepositoryInitOptions::new();
    options
        .bare(true)
        .mkdir(true)
        .mkpath(true)
        .external_template(false)
        .initial_head(branch);
    let created = Repository::init_opts(path, &options);
    created.map(drop).map_err(|error| {
        let place = path.display();
        Error::new(
            Kind::Config,
            format!("cannot create the repository {place}"),
        )
        .because(error.message().to_owned())
        .advise(
            "Let the user that runs this write to the folder, and see that its disk is not full.",
        )
    })
}
