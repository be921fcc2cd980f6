//! The repositories that the configuration names, and the credentials for each of them.

use url::Url;

use super::mirror_config::Config;
use super::secrets::{JobToken, Secrets};
use super::sections::Network;
use super::serve_config::ServeConfig;
use crate::error::Result;
use crate::git::RemoteUrl;
use crate::git::transport::{BasicAuth, Credentials, JOB_TOKEN_USER, Remote, Side, SshCredentials};

/// The user that goes with a token where the URL names none. GitLab demands one, and accepts any.
const TOKEN_USER: &str = "oauth2";

impl Config {
    /// Prepares the upstream repository; nothing is opened yet. Our secrets for HTTP never go there.
    ///
    /// # Errors
    /// `config` for an unusable key, certificate or known hosts file.
    pub fn upstream_remote(&self) -> Result<Remote> {
        upstream(&self.upstream.url, &self.secrets, &self.network)
    }

    /// Prepares the mirror's repository; nothing is opened yet.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn mirror_remote(&self) -> Result<Remote> {
        let url = &self.mirror.url;
        let auth = mirror_auth(url, &self.secrets);
        remote(Side::Mirror, url, auth, &self.secrets, &self.network)
    }

    /// Says whether upstream and mirror are one branch of one repository, as far as the URLs tell.
    pub fn is_mirror_upstream(&self) -> bool {
        self.upstream.branch == self.mirror.branch
            && self.upstream.url.is_repository_of(&self.mirror.url)
    }

    /// Returns the user name for the mirror's HTTP server, where there is a password or token for it.
    pub fn mirror_user(&self) -> Option<String> {
        mirror_auth(&self.mirror.url, &self.secrets).map(|auth| auth.user)
    }
}

impl ServeConfig {
    /// Prepares the repository that the server copies; nothing is opened yet. Only the mirror's host gets its token.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn index_remote(&self) -> Result<Remote> {
        let url = &self.index.url;
        let auth = match self.index.is_ours {
            true => mirror_auth(url, &self.secrets),
            false => url_auth(url),
        };
        remote(Side::Index, url, auth, &self.secrets, &self.network)
    }

    /// Prepares the repository of advisories, if there is one; nothing is opened yet. The mirror's host gets its token there, too.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn advisories_remote(&self) -> Result<Option<Remote>> {
        let url = self.policy.advisories.as_ref();
        url.map(|url| self.advisories_remote_at(url)).transpose()
    }

    /// Prepares the repository of advisories at this address, as [`ServeConfig::advisories_remote`] does.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn advisories_remote_at(&self, url: &RemoteUrl) -> Result<Remote> {
        let host = self.mirror.as_ref().or(Some(&self.index.url));
        let is_known = self.mirror.is_some() || self.index.is_ours;
        let auth = match is_known && host.is_some_and(|host| host.has_host_of(url)) {
            true => mirror_auth(url, &self.secrets),
            false => url_auth(url),
        };
        remote(Side::Advisories, url, auth, &self.secrets, &self.network)
    }

    /// Prepares the repository of the private crates' index; nothing is opened yet. `None` where there is none. The mirror's token
    /// goes there where it is on the mirror's host, or there is no mirror that it could be for.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn private_remote(&self) -> Result<Option<Remote>> {
        let Some(url) = &self.private.index else {
            return Ok(None);
        };
        let is_upstreams = self.upstream.url.has_host_of(url);
        let is_ours = match &self.mirror {
            Some(mirror) => mirror.has_host_of(url),
            None => !is_upstreams,
        };
        let auth = match is_ours {
            true => mirror_auth(url, &self.secrets),
            false => url_auth(url),
        };
        remote(Side::Private, url, auth, &self.secrets, &self.network).map(Some)
    }

    /// Prepares the upstream repository of a server, whose `config.json` names the host of crate files.
    ///
    /// # Errors
    /// As [`Config::upstream_remote`].
    pub fn upstream_remote(&self) -> Result<Remote> {
        upstream(&self.upstream.url, &self.secrets, &self.network)
    }
}

/// Prepares an upstream repository, which gets what its own URL holds and none of our secrets for HTTP.
fn upstream(url: &RemoteUrl, secrets: &Secrets, network: &Network) -> Result<Remote> {
    remote(Side::Upstream, url, url_auth(url), secrets, network)
}

fn remote(
    side: Side,
    url: &RemoteUrl,
    http: Option<BasicAuth>,
    secrets: &Secrets,
    network: &Network,
) -> Result<Remote> {
    let ssh = SshCredentials {
        private_key: secrets.ssh_private_key.clone(),
        passphrase: secrets.ssh_key_passphrase.clone(),
        known_hosts: secrets.ssh_known_hosts.clone(),
    };
    Remote::new(side, url, &Credentials { http, ssh }, &network.limits())
}

/// Chooses the credentials for the mirror: `FERRY_MIRROR_TOKEN`, else what the URL carries, else `CI_JOB_TOKEN`
/// where the mirror is on the very server that the token is for.
fn mirror_auth(url: &RemoteUrl, secrets: &Secrets) -> Option<BasicAuth> {
    let RemoteUrl::Http {
        url: address, user, ..
    } = url
    else {
        return None;
    };
    if let Some(token) = &secrets.mirror_token {
        return Some(BasicAuth {
            user: user.clone().unwrap_or_else(|| TOKEN_USER.to_owned()),
            password: token.clone(),
        });
    }
    // Last, because GitLab lets a job's token push only where the project's settings say so: what was set on purpose
    // wins.
    url_auth(url).or_else(|| {
        let job = secrets.job_token.as_ref()?;
        is_for(job, address).then(|| BasicAuth {
            user: JOB_TOKEN_USER.to_owned(),
            password: job.token.clone(),
        })
    })
}

/// Takes the credentials from the URL alone: upstream never gets another secret.
fn url_auth(url: &RemoteUrl) -> Option<BasicAuth> {
    match url {
        RemoteUrl::Http {
            user,
            password: Some(password),
            ..
        } => Some(BasicAuth {
            user: user.clone().unwrap_or_default(),
            password: password.clone(),
        }),
        _ => None,
    }
}

fn is_for(job: &JobToken, url: &Url) -> bool {
    // With the port: another service of the same host is not GitLab, and must not see the token.
    matches!(url.scheme(), "https" | "http")
        && url
            .host_str()
            .is_some_and(|host| bare(host).eq_ignore_ascii_case(bare(&job.host)))
        && url.port_or_known_default() == Some(job.port)
}

/// Removes the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use secrecy::{ExposeSecret as _, SecretString};

    use super::*;

    fn mirror(address: &str, user: Option<&str>, password: Option<&str>) -> RemoteUrl {
        RemoteUrl::Http {
            url: Url::parse(address).unwrap(),
            user: user.map(str::to_owned),
            password: password.map(SecretString::from),
        }
    }

    fn secrets(mirror_token: Option<&str>, job_host: Option<(&str, u16)>) -> Secrets {
        Secrets {
            mirror_token: mirror_token.map(SecretString::from),
            job_token: job_host.map(|(host, port)| JobToken {
                token: SecretString::from("job"),
                host: host.to_owned(),
                port,
            }),
            ..Secrets::default()
        }
    }

    fn chosen(url: &RemoteUrl, secrets: &Secrets) -> Option<(String, String)> {
        mirror_auth(url, secrets).map(|c| (c.user, c.password.expose_secret().to_owned()))
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn the_mirror_token_comes_first_with_the_urls_user_or_oauth2() {
        let all = secrets(Some("token"), Some(("git.example", 443)));
        let named = mirror("https://git.example/a", Some("bot"), Some("own"));
        let anonymous = mirror("https://git.example/a", None, None);
        assert_eq!(chosen(&named, &all), pair("bot", "token"));
        assert_eq!(chosen(&anonymous, &all), pair("oauth2", "token"));
    }

    #[test]
    fn the_urls_own_password_comes_before_the_job_token() {
        let url = mirror("https://git.example/a", Some("bot"), Some("own"));
        let job = secrets(None, Some(("git.example", 443)));
        assert_eq!(chosen(&url, &job), pair("bot", "own"));
    }

    #[test]
    fn the_job_token_goes_to_its_own_server_only() {
        let job = secrets(None, Some(("Git.Example", 443)));
        let to = |address: &str| chosen(&mirror(address, None, None), &job);
        assert_eq!(to("https://GIT.example/a"), pair("gitlab-ci-token", "job"));
        assert_eq!(
            to("http://git.example:443/a"),
            pair("gitlab-ci-token", "job")
        );
        assert_eq!(to("https://git.example:8443/a"), None);
        assert_eq!(to("http://git.example/a"), None);
        assert_eq!(to("https://git.example.evil.example/a"), None);
    }

    #[test]
    fn a_job_token_finds_a_server_with_an_ipv6_address() {
        let job = secrets(None, Some(("::1", 8080)));
        let url = mirror("http://[::1]:8080/a", None, None);
        assert_eq!(chosen(&url, &job), pair("gitlab-ci-token", "job"));
    }

    #[test]
    fn upstream_gets_what_its_url_carries_and_nothing_else() {
        assert!(url_auth(&mirror("https://git.example/a", Some("bot"), None)).is_none());
        let found = url_auth(&mirror("https://git.example/a", None, Some("own"))).unwrap();
        assert_eq!(
            (found.user.as_str(), found.password.expose_secret()),
            ("", "own")
        );
    }

    #[test]
    fn a_remote_that_is_not_http_gets_none() {
        let all = secrets(Some("token"), Some(("git.example", 443)));
        assert!(mirror_auth(&RemoteUrl::Local("a".into()), &all).is_none());
    }

    #[test]
    fn debug_shows_no_password() {
        let found = url_auth(&mirror("https://git.example/", Some("bot"), Some("own")));
        assert!(!format!("{found:?}").contains("own"));
    }
}
