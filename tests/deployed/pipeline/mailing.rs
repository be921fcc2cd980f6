//! A failing job leaves a mail with who answers for the mirror.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Scene;
use crate::support::exim::{Exim, Options};

/// Makes the mirror refuse pushes, and the project mail failures over a server; none where the machine lacks that.
pub(crate) fn refusing_and_mailing(scene: &mut Scene) -> Option<Exim> {
    let hook = scene.world.mirror.path().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho 'GitLab: not today' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let exim = Exim::start(&Options::default())?;
    for (name, value) in exim.variables() {
        match name.as_str() {
            "FERRY_NETWORK_CA_FILE" => {
                let certificate = fs::read_to_string(value).unwrap();
                scene.project.set_file(&name, certificate)
            }
            _ => scene.project.set(&name, value),
        };
    }
    Some(exim)
}

#[test]
fn a_failing_job_is_mailed_once_with_links_to_it() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    let Some(exim) = refusing_and_mailing(&mut scene) else {
        return;
    };
    for _ in 0..2 {
        let ended = scene.project.run("schedule", "sync");
        assert!(!ended.is_green, "{}", ended.log);
        assert_eq!(exim.messages(1).len(), 1, "the cache remembers the first");
    }
    let mail = &exim.messages(1)[0];
    for part in [
        "Subject: sync failed: ",
        "not today",
        "permission (exit code 3)",
        "/-/jobs/",
        "/pipelines/",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}
