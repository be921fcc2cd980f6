//! The CI job that surrounds the process, as GitLab's predefined variables describe it.

use url::Url;

use super::environment::Environment;

/// The CI job in which it happened; every part is missing outside of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// The page of the pipeline.
    pub pipeline: Option<Url>,
    /// The page of the job, with its log.
    pub log: Option<Url>,
    /// The page of the project.
    pub project: Option<Url>,
    /// The project's path, for example `rust/mirror`.
    pub project_path: Option<String>,
    /// The job's name.
    pub name: Option<String>,
    /// What started the pipeline, for example `schedule`.
    pub source: Option<String>,
    /// The branch or tag that the pipeline runs for.
    pub reference: Option<String>,
    /// The runner's description.
    pub runner: Option<String>,
    /// Who started the pipeline.
    pub user: Option<String>,
}

/// Reads GitLab's predefined variables. They are not ours, so what cannot be used is left out.
pub(super) fn job(environment: &Environment) -> Job {
    let text = |name: &str| {
        let text = environment.text(name).ok().flatten()?;
        // These go into mails, where a line break in a job's name could pass for a line of ours.
        Some(text.replace(char::is_control, " "))
    };
    // Nothing but a page's address may become a link.
    let page = |name: &str| {
        let url = Url::parse(&text(name)?).ok()?;
        let is_page = matches!(url.scheme(), "https" | "http");
        (is_page && url.password().is_none()).then_some(url)
    };
    Job {
        pipeline: page("CI_PIPELINE_URL"),
        log: page("CI_JOB_URL"),
        project: page("CI_PROJECT_URL"),
        project_path: text("CI_PROJECT_PATH"),
        name: text("CI_JOB_NAME"),
        source: text("CI_PIPELINE_SOURCE"),
        reference: text("CI_COMMIT_REF_NAME"),
        runner: text("CI_RUNNER_DESCRIPTION"),
        user: text("GITLAB_USER_LOGIN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_page_becomes_a_link() {
        let environment = Environment::from_pairs([
            ("CI_JOB_URL", "javascript:alert(1)"),
            ("CI_PIPELINE_URL", "https://me:hunter2@gitlab.example/p/1"),
            ("CI_PROJECT_URL", "https://gitlab.example/rust/mirror"),
            ("CI_JOB_NAME", "sync\nBcc: x@example.com"),
        ]);
        let found = job(&environment);
        assert_eq!((found.log, found.pipeline), (None, None));
        let project = found.project.map(|url| url.to_string());
        assert_eq!(
            project.as_deref(),
            Some("https://gitlab.example/rust/mirror")
        );
        assert_eq!(found.name.as_deref(), Some("sync Bcc: x@example.com"));
    }
}
