//! The resources of the REST API under `/v1`.
