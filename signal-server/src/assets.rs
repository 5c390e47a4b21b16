//! The embedded web assets: the loader, the panel's files under immutable names, the demo shop. Not here: the panel's HTML
//! as a visitor gets it (`panel`).

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use memory_serve::{Asset, CacheControl, MemoryServe};
use sha2::{Digest, Sha256};
use tower_http::set_header::SetResponseHeaderLayer;

/// Static files by directory, as memory-serve's build step lists them.
const DIRECTORIES: &[(&str, &[Asset])] = include!(concat!(env!("OUT_DIR"), "/memory_serve_assets.rs"));

/// HTML files with placeholders, by their path in `www/dist`.
const TEMPLATES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What the demo shop's pages have in place of the server's address.
const RINGLET_URL: &str = "{{RINGLET_URL}}";

/// What runs in the shop's page.
const LOADERS: [&str; 2] = ["/ringlet.js", "/preflight.js"];

/// Merchants' pages name the loader without a hash: this long may a page use an old one.
const LOADER_CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";

/// What is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assets {
    files: &'static [Asset],
    templates: &'static [(&'static str, &'static str)],
}

impl Assets {
    /// What was embedded when this library was built.
    pub(crate) fn embedded() -> Self {
        let files = DIRECTORIES.first().map_or(&[] as &[Asset], |(_, files)| files);
        Self { files, templates: TEMPLATES }
    }

    /// A page's HTML with its placeholders, by its path in `www/dist`; `None` when the assets are not built.
    pub(crate) fn page(&self, name: &str) -> Option<&'static str> {
        self.template(name)
    }

    fn template(&self, name: &str) -> Option<&'static str> {
        self.templates.iter().find(|(path, _)| *path == name).map(|(_, text)| *text)
    }

    /// `/ringlet.js`, what it fetches into the shop's page, and `/a/…`.
    pub(crate) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let loader = serve(self.files.iter().filter(|it| LOADERS.contains(&it.route)).map(copy).collect())
            .cache_control(CacheControl::Custom(LOADER_CACHE))
            .into_router()
            // The script tag stands on other sites, also on those that isolate themselves or check integrity.
            .layer(header_layer("cross-origin-resource-policy", "cross-origin"))
            .layer(header_layer("access-control-allow-origin", "*"));
        let hashed = serve(self.files.iter().filter(|it| it.route.starts_with("/a/")).map(copy).collect())
            .cache_control(CacheControl::Custom("public, max-age=31536000, immutable"))
            .into_router()
            .layer(header_layer("cross-origin-resource-policy", "same-origin"))
            // A worker of a page that isolates itself, as the panel does, must do so too.
            .layer(header_layer("cross-origin-embedder-policy", "require-corp"));
        loader.merge(hashed)
    }

    /// The demo shop at `/`, its pages pointing at `public_url`.
    pub(crate) fn shop<S: Clone + Send + Sync + 'static>(&self, public_url: &str) -> Router<S> {
        let in_shop = |it: &&Asset| it.route.starts_with("/shop/");
        let plain = self.files.iter().filter(in_shop).filter(|it| !it.route.ends_with(".html")).map(copy);
        let pages = self.templates.iter().filter_map(|(path, text)| {
            let route = path.strip_prefix("shop")?;
            Some(page(route, text.replace(RINGLET_URL, public_url)))
        });
        serve(
            plain
                .map(|it| Asset { route: it.route.strip_prefix("/shop").unwrap_or(it.route), ..it })
                .chain(pages)
                .collect(),
        )
        .index_file(self.template("shop/index.html").map(|_| "/index.html"))
        .cache_control(CacheControl::NoCache)
        .html_cache_control(CacheControl::NoCache)
        .into_router()
    }
}

/// memory-serve keeps its assets for the life of the process, which is that of the server.
fn serve(assets: Vec<Asset>) -> MemoryServe {
    MemoryServe::new(assets.leak()).index_file(None)
}

fn copy(asset: &Asset) -> Asset {
    let Asset { route, path, etag, content_type, bytes, is_compressed, should_compress } = *asset;
    Asset { route, path, etag, content_type, bytes, is_compressed, should_compress }
}

fn page(route: &'static str, text: String) -> Asset {
    let etag: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    Asset {
        route,
        path: "",
        etag: etag.leak(),
        content_type: "text/html",
        bytes: Some(text.into_bytes().leak()),
        is_compressed: false,
        should_compress: true,
    }
}

fn header_layer(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// Every answer says that its type is what it says.
pub(crate) fn nosniff() -> SetResponseHeaderLayer<HeaderValue> {
    header_layer(header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff")
}

#[cfg(test)]
impl Assets {
    /// A panel that shows the placeholders, a loader, a hashed file, a shop of one page: whatever www/ holds today.
    pub(crate) fn for_tests() -> Self {
        let file = |route, content_type, bytes: &'static [u8]| Asset {
            route,
            path: "",
            etag: "e1",
            content_type,
            bytes: Some(bytes),
            is_compressed: false,
            should_compress: true,
        };
        let files = vec![
            file("/ringlet.js", "text/javascript", b"loader"),
            file("/preflight.js", "text/javascript", b"preflight"),
            file("/a/panel-0123abcd.js", "text/javascript", b"panel"),
            file("/shop/shop.css", "text/css", b"shop"),
        ];
        let templates = &[
            ("panel.html", "<html data-token=\"{{TOKEN}}\" data-error=\"{{ERROR}}\" data-message=\"{{MESSAGE}}\">"),
            (
                "check.html",
                "<html data-token=\"{{TOKEN}}\" data-error=\"{{ERROR}}\"><title>{{NAME}}</title>{{CATALOGUE}}",
            ),
            ("errors.html", "{{ENTRIES}}"),
            ("shop/index.html", "<script async src=\"{{RINGLET_URL}}/ringlet.js\"></script>"),
        ];
        Self { files: files.leak(), templates }
    }

    /// As before `cargo xtask build`.
    pub(crate) fn not_built() -> Self {
        Self { files: &[], templates: &[] }
    }
}
