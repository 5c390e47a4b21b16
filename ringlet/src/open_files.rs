//! Room for sockets: each connection of a browser and each call takes some, and service managers start programs with 1,024.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the process's soft limit of open files to its hard one. Where that is forbidden, the soft one has to do.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(?soft, hard = ?limit.maximum, "raised the limit of open files"),
        Err(error) => {
            tracing::warn!(?soft, %error, "the limit of open files cannot be raised: many calls may need more")
        }
    }
}
