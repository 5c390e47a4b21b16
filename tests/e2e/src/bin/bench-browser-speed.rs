//! Measures in Chromium what `bench-echo` measures in Node: the time of a quantum in each module of the worklet, by the same script
//! (`tests/echo/src/quanta.mjs`), in a worker of a page that is isolated from others, which makes the browser's clock fine enough. Node's
//! figures of the same minute stand beside them. Run by `cargo xtask bench audio --section echo`.

use anyhow::{Context as _, Result, ensure};
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use e2e::browser::{Browser, Chromedriver, Microphone};
use e2e::namespace;
use echo::speed::{Figures, MODULES, Module};
use std::net::{Ipv4Addr, SocketAddr};

const PORT: u16 = 8093;

/// So many quanta are timed together, in Node as well: some 150 µs of the cheapest, thirty steps of an isolated page's clock.
const BATCH: u32 = 50;

/// Asks a worker, one for each question: what a compiler has made of another module's quanta is not this one's.
const PAGE: &str = "<!doctype html><script>
    const measure = (module, layer, batch) => new Promise((resolve, reject) => {
      const worker = new Worker('speed-worker.mjs', { type: 'module' });
      worker.onmessage = ({ data }) => (worker.terminate(), resolve(data));
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ module, layer, batch });
    });
    </script>";

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let directory = alone.artifacts.join("bench-browser-speed");
    std::fs::create_dir_all(&directory)?;
    serve().await?;
    let driver = Chromedriver::start(&directory).await?;
    let browser = driver.open(&directory, &Microphone::Denied).await?;
    browser.show(&format!("http://127.0.0.1:{PORT}/")).await?;
    ensure!(browser.in_page("return crossOriginIsolated").await? == true, "the page's clock is a coarse one");
    for module in MODULES {
        let (in_node, _) = module.in_node(BATCH)?;
        module.tell("Chromium", in_browser(&browser, &module).await?, Some(("Node", in_node)));
    }
    browser.quit().await
}

async fn in_browser(browser: &Browser, module: &Module) -> Result<Figures> {
    let Module { file, layer, .. } = module;
    let numbers = browser.in_page(&format!("return measure('{file}.wasm', {layer}, {BATCH})")).await?;
    let numbers = numbers.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64);
    Figures::of(&numbers.collect::<Vec<f64>>()).with_context(|| module.name)
}

/// Serves the page, its scripts and the modules.
async fn serve() -> Result<()> {
    let router = axum::Router::new().route("/", get(async || isolated(Html(PAGE).into_response())));
    let router = router.route("/{file}", get(async |Path(name): Path<String>| file(&name)));
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))).await?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

fn file(name: &str) -> Response {
    let script = |text: &'static str| isolated(([(header::CONTENT_TYPE, "text/javascript")], text).into_response());
    match name {
        "quanta.mjs" => script(include_str!("../../../echo/src/quanta.mjs")),
        "speed-worker.mjs" => script(include_str!("../../../echo/src/speed-worker.mjs")),
        name => {
            let module = MODULES.iter().find(|module| name.strip_suffix(".wasm") == Some(module.file));
            match module.and_then(|module| std::fs::read(module.path()).ok()) {
                Some(bytes) => isolated(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response()),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
    }
}

/// Without both the clock is rounded to 100 µs (High Resolution Time section 4.5).
fn isolated(mut response: Response) -> Response {
    for (name, value) in
        [("cross-origin-opener-policy", "same-origin"), ("cross-origin-embedder-policy", "require-corp")]
    {
        response.headers_mut().insert(HeaderName::from_static(name), header::HeaderValue::from_static(value));
    }
    response
}
