//! The address of a git index in a form that cargo reads.

use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;

/// Writes an address as a URL: cargo knows no other form.
pub(super) fn for_cargo(url: &RemoteUrl) -> Result<String> {
    match url {
        RemoteUrl::Http { .. } | RemoteUrl::Git { .. } => Ok(url.to_string()),
        RemoteUrl::Ssh(address) => {
            let (user, host) = (&address.user, &address.host);
            let host = match host.contains(':') {
                true => format!("[{host}]"),
                false => host.clone(),
            };
            let port = match address.port {
                22 => String::new(),
                port => format!(":{port}"),
            };
            let path = address.path.trim_start_matches('/');
            Ok(format!("ssh://{user}@{host}{port}/{path}"))
        }
        RemoteUrl::Local(path) => {
            let absolute = std::path::absolute(path).ok();
            let url = absolute.and_then(|path| url::Url::from_file_path(path).ok());
            url.map(String::from).ok_or_else(|| {
                let message = format!("{} has no address that cargo reads", path.display());
                Error::new(Kind::Config, message)
            })
        }
    }
}
