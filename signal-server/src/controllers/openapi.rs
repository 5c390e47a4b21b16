//! `GET /openapi.json`: the REST API described for programs.

use super::{api_key, call, command, destination, link, merchant};
use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

/// The description.
pub(crate) async fn show() -> Json<Document> {
    Json(document())
}

pub(crate) fn document() -> Document {
    Api::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Ringlet", description = "Merchants, links, destinations, commands, API keys and calls.", contact(), license(name = "MIT OR Apache-2.0")),
    paths(
        merchant::list::list,
        merchant::read::read,
        merchant::write::write,
        merchant::delete::delete,
        destination::list::list,
        destination::read::read,
        destination::write::write,
        destination::delete::delete,
        link::list::list,
        link::read::read,
        link::write::write,
        link::delete::delete,
        command::list::list,
        command::card::create,
        command::create::create,
        command::read::read,
        command::write::write,
        command::delete::delete,
        api_key::list::list,
        api_key::create::create,
        api_key::delete::delete,
        call::list::list,
        call::read::read,
        call::settings::read,
        call::settings::change,
    ),
    components(schemas(protocol::rest::Problem)),
    modifiers(&BearerKey),
    security(("key" = [])),
)]
struct Api;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key.")).build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_is_the_one_that_was_reviewed() {
        insta::assert_json_snapshot!(super::document(), {".info.version" => "[version]"});
    }
}
