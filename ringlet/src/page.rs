//! `ringlet check --from-browser URL`: whether a shop's page lets the call button load, open its phone and have a microphone, as
//! far as the page's HTML and headers tell; and the address at which a browser finds out the rest. Not here: running one.

mod html;
mod policy;

use crate::check::{Report, Verdict};
use crate::config::File;
use html::Tag;
use policy::{Policy, PolicyKind};
use protocol::check::Finding;
use protocol::error::ErrorCode;
use reqwest::header::HeaderMap;
use signal_server::Origin;
use std::time::Duration;
use url::Url;

/// A shopper would have gone by then.
const DEADLINE: Duration = Duration::from_secs(15);

/// The longest page that is looked at; the script tag of a longer one stands before its end all the same.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What a page is judged by.
#[derive(Debug)]
struct Page {
    /// Where it came from, after redirects.
    url: Url,
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// One thing that was found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    is_wrong: bool,
    code: &'static str,
    what: String,
    cure: String,
}

/// Fetches the page, says what is wrong with it, and where a browser finds out the rest.
pub(crate) async fn check(file: &File, url: &Url, report: &mut Report) {
    let host = &file.http.public_url;
    match fetch(url).await {
        Err(error) => {
            let what = format!("{url}: {error} ({})", Finding::PageUnreachable);
            report.tell(&Verdict::Wrong, &what, Finding::PageUnreachable.engineer());
        }
        Ok(page) => {
            let found = judge(&page, host, file);
            if !found.iter().any(|it| it.is_wrong) {
                report.tell(&Verdict::Right, &format!("{}: script, frame and microphone are allowed", page.url), "");
            }
            for Found { is_wrong, code, what, cure } in found {
                let verdict = if is_wrong { Verdict::Wrong } else { Verdict::Doubtful };
                report.tell(&verdict, &format!("{}: {what} ({code})", page.url), &cure);
            }
            let tag = script(&html::tags(&page.body), &page.url, host).cloned().unwrap_or_default();
            let query = [("merchant", "data-merchant"), ("link", "data-link")].map(|(key, name)| (key, tag.get(name)));
            let query = query.into_iter().filter_map(|(key, value)| Some((key, value?)));
            if let Ok(mut address) = host.join("check") {
                address.query_pairs_mut().extend_pairs(query);
                eprintln!("\nIn a browser: {}", address.as_str().trim_end_matches('?'));
            }
            eprintln!("In the page's console: await Ringlet.preflight()");
        }
    }
}

async fn fetch(url: &Url) -> Result<Page, reqwest::Error> {
    // The one provider of this program; a second call is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(DEADLINE).user_agent("Mozilla/5.0 (compatible; ringlet check)");
    let mut response = client.build()?.get(url.clone()).header("accept", "text/html").send().await?;
    let (url, status, headers) = (response.url().clone(), response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_PAGE_BYTES {
            break;
        }
    }
    Ok(Page { url, status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn judge(page: &Page, host: &Url, file: &File) -> Vec<Found> {
    let mut found = Vec::new();
    let mut finding = |finding: Finding, what: String, cure: String| {
        found.push(Found { is_wrong: true, code: finding.word(), what, cure });
    };
    let content = page.headers.get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if page.status != 200 || !content.contains("html") {
        let what = format!("it answers {} with `{content}`", page.status);
        finding(Finding::PageUnreachable, what, Finding::PageUnreachable.engineer().to_owned());
        return found;
    }
    let is_local = matches!(page.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if page.url.scheme() != "https" && !is_local {
        finding(Finding::PageNotSecure, "it is not https".to_owned(), Finding::PageNotSecure.engineer().to_owned());
    }
    let tags = html::tags(&page.body);
    let tag = script(&tags, &page.url, host);
    if tag.is_none() {
        let cure = format!("Paste <script async src=\"{host}ringlet.js\" data-merchant=… data-link=…></script>.");
        finding(Finding::ScriptMissing, format!("no script tag names {host}ringlet.js"), cure);
    }
    for policy in policies(page, &tags) {
        let nonce = tag.and_then(|tag| tag.get("nonce"));
        for (kind, code) in
            [(PolicyKind::Script, Finding::ScriptForbidden), (PolicyKind::Frame, Finding::FrameForbidden)]
        {
            if let Some(directive) = policy.forbids(kind, host, &page.url, nonce) {
                let cure = format!("Add {} to it.", host.origin().ascii_serialization());
                finding(code, format!("{} says `{directive}`", policy.place), cure);
            }
        }
    }
    if let Some(directive) = policy::microphone_withheld(&page.headers, host) {
        let own = host.origin().ascii_serialization();
        let cure = format!("Write microphone=(self \"{own}\"), or leave it out.");
        let what = format!("the header Permissions-Policy says `{directive}`");
        found.push(Found { is_wrong: true, code: ErrorCode::MicrophoneForbiddenByPage.word(), what, cure });
    }
    found.extend(tag.and_then(|tag| merchant(tag, page, file)));
    found
}

/// What the script tag says of the merchant, beside the configuration. Others may be in the store.
fn merchant(tag: &Tag, page: &Page, file: &File) -> Option<Found> {
    let Some(id) = tag.get("data-merchant") else {
        let (code, what) = (ErrorCode::LoaderMisconfigured, format!("line {}: no data-merchant", tag.line));
        return Some(Found { is_wrong: true, code: code.word(), what, cure: code.engineer().to_owned() });
    };
    let Some(merchant) = file.merchant.iter().find(|it| it.id == id) else {
        let what = format!("line {}: the configuration names no merchant `{id}`", tag.line);
        let cure = "If the REST API has made it, this is right.".to_owned();
        return Some(Found { is_wrong: false, code: ErrorCode::LinkUnknown.word(), what, cure });
    };
    let origin = Origin::of(&page.url)?;
    if merchant.origins.iter().any(|it| it.parse::<Origin>().is_ok_and(|it| it == origin)) {
        return None;
    }
    let what = format!("{origin} is no origin of merchant `{id}`");
    let cure = format!("Add \"{origin}\" to `origins` of the merchant.");
    Some(Found { is_wrong: true, code: ErrorCode::OriginNotAllowed.word(), what, cure })
}

/// The script tag of ours.
fn script<'a>(tags: &'a [Tag], page: &Url, host: &Url) -> Option<&'a Tag> {
    let is_ours = |tag: &&Tag| {
        let src = tag.get("src").and_then(|src| page.join(src).ok());
        src.is_some_and(|src| src.origin() == host.origin() && src.path().ends_with("/ringlet.js"))
    };
    tags.iter().filter(|tag| tag.name == "script").find(is_ours)
}

/// Those of the headers, and those of the page's own `<meta>`.
fn policies(page: &Page, tags: &[Tag]) -> Vec<Policy> {
    let headers = page.headers.get_all("content-security-policy").iter().filter_map(|it| it.to_str().ok());
    let headers =
        headers.flat_map(|it| it.split(',')).map(|it| Policy::parse("the header Content-Security-Policy", it));
    let is_policy = |tag: &&Tag| {
        tag.name == "meta" && tag.get("http-equiv").is_some_and(|it| it.eq_ignore_ascii_case("content-security-policy"))
    };
    let metas = tags
        .iter()
        .filter(is_policy)
        .filter_map(|tag| Some(Policy::parse(&format!("the <meta> of line {}", tag.line), tag.get("content")?)));
    headers.chain(metas).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    const SCRIPT: &str =
        "<script async\n src='https://call.example/ringlet.js' data-merchant=acme data-link=sales></script>";

    fn page(url: &str, headers: &[(&'static str, &'static str)], body: &str) -> Page {
        let pairs = [("content-type", "text/html; charset=utf-8")].iter().chain(headers);
        let pairs = pairs.map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        Page { url: url.parse().expect("a URL"), status: 200, headers: map, body: body.to_owned() }
    }

    fn codes(page: &Page) -> Vec<(&'static str, String)> {
        let merchant = "[[merchant]]\nid = \"acme\"\nname = \"Acme\"\norigins = [\"https://shop.example\"]\n";
        let file: File = toml::from_str(merchant).expect("a configuration");
        let host = "https://call.example/".parse().expect("a URL");
        judge(page, &host, &file).into_iter().map(|it| (it.code, it.what)).collect()
    }

    #[test]
    fn a_page_is_judged_by_its_script_tag_its_policies_and_its_origin() {
        let shop = "https://shop.example/shoes";
        let csp = |policy| [("content-security-policy", policy)];
        let table: [(Page, &[&str]); 10] = [
            (page(shop, &[], SCRIPT), &[]),
            (page(shop, &[], "<!-- <script src=https://call.example/ringlet.js> -->"), &["RL-511"]),
            (page(shop, &csp("script-src https://call.example; frame-src https://call.example"), SCRIPT), &[]),
            (page(shop, &csp("default-src 'self'"), SCRIPT), &["RL-512", "RL-513"]),
            (page(shop, &csp("script-src *.example, frame-src 'none'"), SCRIPT), &["RL-513"]),
            (page(shop, &[("permissions-policy", "camera=(), microphone=(self)")], SCRIPT), &["RL-104"]),
            (page("http://shop.example/", &[], SCRIPT), &["RL-515", "RL-201"]),
            (page("https://other.example/", &[], SCRIPT), &["RL-201"]),
            (page(shop, &[], "<script src=https://call.example/ringlet.js></script>"), &["RL-206"]),
            (page(shop, &[], &SCRIPT.replace("acme", "other")), &["RL-202"]),
        ];
        for (page, expected) in table {
            let found = codes(&page);
            assert_eq!(found.iter().map(|it| it.0).collect::<Vec<_>>(), expected, "{page:?}: {found:?}");
        }
        let meta = format!("<html>\n<meta http-equiv=content-security-policy content=\"frame-src 'self'\">\n{SCRIPT}");
        assert_eq!(
            codes(&page(shop, &[], &meta)),
            [("RL-513", "the <meta> of line 2 says `frame-src 'self'`".to_owned())]
        );
    }

    #[test]
    fn what_is_no_page_is_said_to_be_none() {
        let gone = Page { status: 404, ..page("https://shop.example/", &[], SCRIPT) };
        assert_eq!(codes(&gone).first().map(|it| it.0), Some("RL-514"));
    }
}
