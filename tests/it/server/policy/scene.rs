//! What upstream may take back, and a server that notices.

use crate::support::server::{Server, Site};

/// Has a server refuse what upstream takes back.
pub(super) const REFUSE: (&str, &str) = ("FERRY_POLICY_WITHDRAWN", "refuse");

/// Makes a site with a good and a bad version of `foo`, and another crate.
pub(super) fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"good");
    site.publish("foo", "1.1.0", b"bad");
    site.publish("other", "1.0.0", b"other");
    site
}

/// Has the server fetch the index, and waits until it shows that.
pub(super) fn refresh(site: &mut Site, server: &Server) {
    let mark = format!("mark{}", site.index.tip().unwrap().get(..6).unwrap());
    site.publish(&mark, "1.0.0", b"mark");
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("shown", || server.entry(&mark).status == 200);
}

/// Returns how a download of a version of `foo` is answered.
pub(super) fn status(server: &Server, version: &str) -> u16 {
    server.download("foo", version).status
}
