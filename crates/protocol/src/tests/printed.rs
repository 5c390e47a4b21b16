//! Files that are printed from the declarations: `ringlet.d.ts` for the panel's scripts, `docs/errors.md` and
//! `docs/protocol.md` for people.

use super::assert_fresh;
use crate::check::{self, CheckEvent, CheckPath, CheckRequest, Finding};
use crate::error::ErrorCode;
use crate::settings::{By, EchoLayer};
use crate::visitor::{CallState, EndReason, MAX_MESSAGE_BYTES, VERSION, VisitorEvent, VisitorRequest};
use crate::{VariantShape, typescript};
use std::collections::BTreeSet;
use std::fmt::{Display, Write};

fn words<W: Display>(name: &str, doc: &str, all: &[W]) -> String {
    let all: Vec<_> = all.iter().map(|word| format!("\"{word}\"")).collect();
    format!("/** {doc} */\nexport type {name} =\n  | {};\n", all.join("\n  | "))
}

#[test]
fn the_typescript_declarations_are_those_of_the_messages() {
    let text = [
        format!(
            "// What the browser and the signal-server say to each other, version {VERSION}: JSON texts of at most \
             {MAX_MESSAGE_BYTES} bytes.\n// Printed from crates/protocol by UPDATE=1 cargo test -p protocol; not to be \
             edited.\n"
        ),
        words("CallState", "Where a call stands, as the shopper is told.", CallState::ALL),
        words("EndReason", "Why a call ended.", EndReason::ALL),
        words(
            "EchoLayer",
            "What keeps the far end from hearing itself, from the weakest to the strongest.",
            EchoLayer::ALL,
        ),
        words("By", "Whose doing it is that the shopper's page or settings change.", By::ALL),
        words("ErrorCode", "An error of the catalogue, docs/errors.md.", ErrorCode::ALL),
        typescript("VisitorRequest", VisitorRequest::SHAPE),
        typescript("VisitorEvent", VisitorEvent::SHAPE),
        words("CheckPath", "The way to the gateway that a leg of a check tries.", CheckPath::ALL),
        words("Finding", "What a check finds that is no error of a call, docs/errors.md.", Finding::ALL),
        typescript("CheckRequest", CheckRequest::SHAPE),
        typescript("CheckEvent", CheckEvent::SHAPE),
    ];
    assert_fresh("ringlet.d.ts", &text.join("\n"));
}

/// A table of one message kind's fields, below its name and what it is for.
fn chapter(text: &mut String, direction: &str, shape: &[VariantShape]) {
    let _ = writeln!(text, "\n## {direction}");
    for variant in shape {
        let _ = writeln!(text, "\n### `{}`\n\n{}", variant.tag, prose(variant.doc));
        if variant.fields.is_empty() {
            continue;
        }
        text.push_str("\n| field | type | meaning |\n| --- | --- | --- |\n");
        for field in variant.fields {
            let optional = if field.optional { ", optional" } else { "" };
            let _ = writeln!(text, "| `{}` | {}{optional} | {} |", field.name, field.typescript, prose(field.doc));
        }
    }
}

/// A doc comment's lines as one paragraph, without rustdoc's link brackets.
fn prose(doc: &[&str]) -> String {
    doc.join("").replace("[`", "`").replace("`]", "`").trim().to_owned()
}

#[test]
fn the_page_of_messages_is_that_of_the_declarations() {
    let mut text = format!(
        "# Messages\n\nWhat the shopper's browser and the signal-server say to each other, version {VERSION}: JSON texts of \
         at most {MAX_MESSAGE_BYTES}\nbytes over the WebSocket `/ws/visitor`. The same as types: \
         [ringlet.d.ts](../crates/protocol/ringlet.d.ts); as examples:\n[golden/](../crates/protocol/golden).\n\nA message \
         whose `type` is unknown is to be ignored: a newer peer may send it.\n\nPrinted from \
         `crates/protocol/src/visitor.rs` by `UPDATE=1 cargo test -p protocol`; not to be edited.\n"
    );
    chapter(&mut text, "From the browser", VisitorRequest::SHAPE);
    chapter(&mut text, "From the server", VisitorEvent::SHAPE);
    let _ = writeln!(text, "\n## Words\n\n- `CallState`: {}", list(CallState::ALL));
    let _ = writeln!(text, "- `EndReason`: {}", list(EndReason::ALL));
    let _ = writeln!(text, "- `EchoLayer`: {}\n- `By`: {}", list(EchoLayer::ALL), list(By::ALL));
    text.push_str("- `ErrorCode`: see [errors.md](errors.md)\n");
    let _ = writeln!(
        text,
        "\n# Messages of a check\n\nWhat the check page and the signal-server say to each other over `/ws/check`, version {}. \
         Binary messages are frames\nof audio, which come back as they are. Printed from `crates/protocol/src/check.rs`.",
        check::VERSION
    );
    chapter(&mut text, "From the check page", CheckRequest::SHAPE);
    chapter(&mut text, "To the check page", CheckEvent::SHAPE);
    let _ = writeln!(text, "\n- `CheckPath`: {}", list(CheckPath::ALL));
    assert_fresh("../../docs/protocol.md", &text);
}

fn list<W: Display>(all: &[W]) -> String {
    all.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_of_errors_is_that_of_the_catalogue() {
    let mut text = String::from(
        "# Errors\n\nEvery error that a person can meet, by its code. The first sentence is what the shopper reads, the \
         second is for\nthe engineer. A running server has the same at `/errors`.\n\nPrinted from `crates/protocol/src/error.rs` and \
         `check.rs` by `UPDATE=1 cargo test -p \
         protocol`; not to be edited.\n",
    );
    let errors = ErrorCode::ALL.iter().map(|it| (it.word(), format!("{it:?}"), it.shopper(), it.engineer()));
    let findings = Finding::ALL.iter().map(|it| (it.word(), format!("{it:?}"), it.shopper(), it.engineer()));
    let all: Vec<_> = errors.chain(findings).collect();
    let families = [
        ("RL-1", "The shopper's browser"),
        ("RL-2", "The merchant's page and set-up"),
        ("RL-3", "The call"),
        ("RL-4", "The servers"),
        ("RL-5", "Findings of a check"),
    ];
    let mut printed = 0;
    for (family, title) in families {
        let _ = writeln!(text, "\n## {title}");
        for (code, name, shopper, engineer) in all.iter().filter(|it| it.0.starts_with(family)) {
            let _ = writeln!(text, "\n### {code}\n\n{shopper}\n\n*{name}.* {engineer}");
            printed += 1;
        }
    }
    assert_eq!(printed, all.len(), "a code of no family");
    assert_fresh("../../docs/errors.md", &text);
}

#[test]
fn no_code_is_given_twice_and_every_text_is_a_sentence() {
    let errors = ErrorCode::ALL.iter().map(|it| (it.word(), it.shopper(), it.engineer()));
    let findings = Finding::ALL.iter().map(|it| (it.word(), it.shopper(), it.engineer()));
    let all: Vec<_> = errors.chain(findings).collect();
    let codes: BTreeSet<_> = all.iter().map(|it| it.0).collect();
    assert_eq!(codes.len(), all.len());
    for (code, shopper, engineer) in all {
        assert!(shopper.ends_with('.') && engineer.ends_with('.'), "{code}");
        // Neither may be left out, and neither is the other.
        assert!(shopper.len() > 10 && engineer.len() > 20 && shopper != engineer, "{code}");
    }
    for reason in EndReason::ALL {
        assert!(reason.shopper().ends_with('.'), "{reason}");
    }
}
