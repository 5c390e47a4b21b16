//! A dialog (RFC 3261 section 12): who talks to whom under which Call-ID, and the requests that follow from it.
//!
//! It knows no transactions and sends nothing.

use rsipstack::{
    sip::{
        Header, Headers, HeadersExt as _, Host, HostWithPort, Method, Request, Response, Uri, Version,
        headers::{CSeq, CallId, Contact, From, MaxForwards, RecordRoute, Route, To},
        prelude::ToTypedHeader as _,
        typed,
        uri::Domain,
    },
    sip_all_headers, sip_header_opt,
    transaction::{make_tag, make_uuid_v4},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// A route set longer than this is no network but an attack on us.
const MAX_ROUTES: usize = 16;

/// RFC 3261 section 8.1.1.6.
const MAX_FORWARDS: u32 = 70;

/// What finds a dialog of ours. The far end's tag is left out: our own is random enough, and forks share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DialogId {
    /// The Call-ID header.
    pub(super) call_id: String,
    /// Our tag.
    pub(super) local_tag: String,
}

impl DialogId {
    /// A fresh one, whose Call-ID tells the process that made it (see `shared_port.rs`).
    pub(super) fn new(process: &str) -> Self {
        Self { call_id: format!("{}{process}", make_uuid_v4()), local_tag: make_tag().0 }
    }

    /// The dialog that a request from outside belongs to, if it names any.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let local_tag = tag_of(request.to_header().ok()?.value())?.to_owned();
        Some(Self { call_id: request.call_id_header().ok()?.value().to_owned(), local_tag })
    }
}

/// One side's view of a dialog, also of one that is still early or not yet there.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) id: DialogId,
    /// Our From in requests, tag included.
    local: String,
    /// Our To in requests; has a tag once the dialog exists.
    remote: String,
    /// The last CSeq that we used; clones count together, so that requests in flight at the same time differ.
    local_seq: Arc<AtomicU32>,
    /// The last CSeq that the far end used.
    remote_seq: Option<u32>,
    /// Where requests are addressed to: the far end's Contact.
    pub(super) target: Uri,
    /// The Route headers of requests, topmost first.
    routes: Vec<Uri>,
    /// Our Contact, with angle brackets.
    pub(super) contact: String,
}

/// A request came out of order (RFC 3261 section 12.2.2).
#[derive(Debug)]
pub(super) struct OutOfOrder;

impl Dialog {
    /// The dialog that an INVITE of ours may become. `local` has no tag yet.
    pub(super) fn outgoing(id: DialogId, local: &str, target: Uri, contact: String) -> Self {
        Self {
            local: format!("{local};tag={}", id.local_tag),
            id,
            remote: format!("<{}>", verbatim(&target)),
            // RFC 3261 section 8.1.1.5 lets us begin anywhere below 2^31.
            local_seq: Arc::new(AtomicU32::new(0)),
            remote_seq: None,
            target,
            routes: Vec::new(),
            contact,
        }
    }

    /// The dialog that an INVITE from outside becomes. `None` when it lacks what a dialog needs.
    pub(super) fn incoming(invite: &Request, contact: String) -> Option<Self> {
        let id = DialogId { call_id: invite.call_id_header().ok()?.value().to_owned(), local_tag: make_tag().0 };
        Some(Self {
            local: format!("{};tag={}", invite.to_header().ok()?.value(), id.local_tag),
            id,
            remote: invite.from_header().ok()?.value().to_owned(),
            local_seq: Arc::new(AtomicU32::new(0)),
            remote_seq: Some(invite.cseq_header().ok()?.seq().ok()?),
            target: contact_of(&invite.headers)?,
            routes: record_route(&invite.headers),
            contact,
        })
    }

    /// The dialog that a response to our INVITE makes of this one: early for a provisional one, else confirmed.
    pub(super) fn established(&self, response: &Response) -> Self {
        let mut routes = record_route(&response.headers);
        routes.reverse();
        Self {
            remote: response.to_header().map_or_else(|_| self.remote.clone(), |to| to.value().to_owned()),
            // A peer that leaves its Contact out is reached the way that the INVITE went.
            target: contact_of(&response.headers).unwrap_or_else(|| self.target.clone()),
            routes,
            remote_seq: None,
            ..self.clone()
        }
    }

    /// Goes on counting the far end's requests where the same dialog stood before.
    pub(super) fn keep_remote_seq(&mut self, before: &Self) {
        self.remote_seq = before.remote_seq;
    }

    /// Whether a response belongs to this dialog, and not to a fork of it.
    pub(super) fn is_of(&self, response: &Response) -> bool {
        tag_of(&self.remote) == response.to_header().ok().and_then(|to| tag_of(to.value()))
    }

    /// Notes a request of the far end: its CSeq, and the new target that it may bring (RFC 3261 section 12.2.2).
    pub(super) fn take_request(&mut self, request: &Request) -> Result<(), OutOfOrder> {
        let seq = request.cseq_header().and_then(|cseq| cseq.seq()).map_err(|_| OutOfOrder)?;
        if self.remote_seq.is_some_and(|last| seq < last) {
            return Err(OutOfOrder);
        }
        self.remote_seq = Some(seq);
        if matches!(request.method, Method::Invite | Method::Update) {
            self.refresh_target(&request.headers);
        }
        Ok(())
    }

    /// Takes over the Contact of a target refresh.
    pub(super) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact_of(headers) {
            self.target = target;
        }
    }

    /// The URI that decides where requests of this dialog go.
    pub(super) fn next_hop(&self) -> &Uri {
        self.routes.first().unwrap_or(&self.target)
    }

    /// A request of this dialog, with the next CSeq. The Via, and whatever the method wants beside, is to be added.
    pub(super) fn request(&self, method: Method) -> Request {
        let seq = self.local_seq.fetch_add(1, Ordering::Relaxed) + 1;
        self.request_with_seq(method, seq)
    }

    /// The same with a given CSeq.
    fn request_with_seq(&self, method: Method, seq: u32) -> Request {
        let mut headers = vec![
            Header::MaxForwards(MaxForwards::new(MAX_FORWARDS.to_string())),
            Header::From(From::new(&*self.local)),
            Header::To(To::new(&*self.remote)),
            Header::CallId(CallId::new(&*self.id.call_id)),
            Header::CSeq(CSeq::new(format!("{seq} {method}"))),
        ];
        headers.extend(self.routes.iter().map(|route| Header::Route(Route::new(format!("<{}>", verbatim(route))))));
        if matches!(method, Method::Invite | Method::Update) {
            headers.push(Header::Contact(Contact::new(&*self.contact)));
        }
        Request { method, uri: verbatim(&self.target), version: Version::V2, headers: headers.into(), body: Vec::new() }
    }

    /// The To header of our responses, for a dialog that came in.
    pub(super) fn local(&self) -> &str {
        &self.local
    }
}

/// The CANCEL of an INVITE: everything like that, its topmost Via included (RFC 3261 section 9.1).
pub(super) fn cancel(invite: &Request) -> Request {
    let mut headers: Vec<Header> = Vec::new();
    headers.extend(invite.headers.iter().find(|header| matches!(header, Header::Via(_))).cloned());
    let copied = |header: &&Header| {
        matches!(
            header,
            Header::MaxForwards(_) | Header::From(_) | Header::To(_) | Header::CallId(_) | Header::Route(_)
        )
    };
    headers.extend(invite.headers.iter().filter(copied).cloned());
    let seq = invite.cseq_header().and_then(|cseq| cseq.seq()).unwrap_or_default();
    headers.push(Header::CSeq(CSeq::new(format!("{seq} CANCEL"))));
    Request {
        method: Method::Cancel,
        uri: invite.uri.clone(),
        version: Version::V2,
        headers: headers.into(),
        body: Vec::new(),
    }
}

/// The tag of a From or To header.
pub(super) fn tag_of(value: &str) -> Option<&str> {
    // Parameters of the header, not of the URI: what follows the angle brackets.
    let parameters = value.rsplit_once('>').map_or(value, |(_, rest)| rest);
    parameters.split(';').skip(1).find_map(|parameter| {
        let (name, tag) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("tag").then(|| tag.trim())
    })
}

/// A URI that is printed as it was read: rsipstack escapes the user part a second time, `%20` becoming `%2520`.
fn verbatim(uri: &Uri) -> Uri {
    let Some(auth) = uri.auth.as_ref().filter(|auth| auth.user.contains('%')) else { return uri.clone() };
    let password = auth.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
    let host = Host::Domain(Domain(format!("{}{password}@{}", auth.user, uri.host_with_port.host)));
    Uri { auth: None, host_with_port: HostWithPort { host, port: uri.host_with_port.port }, ..uri.clone() }
}

fn contact_of(headers: &Headers) -> Option<Uri> {
    let header = sip_header_opt!(headers.iter(), Header::Contact)?;
    typed::Contact::parse_header_list(header.value()).ok()?.into_iter().next().map(|contact| contact.uri)
}

fn record_route(headers: &Headers) -> Vec<Uri> {
    let values: Vec<&RecordRoute> = sip_all_headers!(headers.iter(), Header::RecordRoute);
    let routes = values.into_iter().filter_map(|value| typed::RecordRoute::parse_header_list(value.value()).ok());
    routes.flatten().map(|route| route.uri).take(MAX_ROUTES).collect()
}

/// What a From or To header shows of a person: the display name, else the user part, else the URI.
pub(super) fn shown_name(from: &From) -> String {
    match from.clone().typed() {
        Ok(typed) => typed
            .display_name
            .filter(|name| !name.trim().is_empty())
            .or_else(|| typed.uri.user().map(str::to_owned))
            .unwrap_or_else(|| typed.uri.to_string()),
        Err(_) => from.value().to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn dialog() -> Dialog {
        Dialog::outgoing(
            DialogId::new("@1.ringlet"),
            "<sip:ringlet@192.0.2.7>",
            "sip:100@trunk.example".try_into().unwrap(),
            "<sip:192.0.2.7>".to_owned(),
        )
    }

    fn ok(extra: &str) -> Response {
        format!("SIP/2.0 200 OK\r\nTo: <sip:100@trunk.example>;tag=far\r\n{extra}Content-Length: 0\r\n\r\n")
            .try_into()
            .unwrap()
    }

    #[test]
    fn the_route_set_is_the_record_route_turned_around() {
        let response = ok(
            "Record-Route: <sip:p3;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p1;lr>\r\nContact: <sip:far@198.51.100.2:5080>\r\n",
        );
        let bye = dialog().established(&response).request(Method::Bye);
        let routes: Vec<_> = bye.route_headers().into_iter().map(|route| route.value().to_owned()).collect();
        assert_eq!(routes, ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]);
        assert_eq!(bye.uri.to_string(), "sip:far@198.51.100.2:5080");
        assert_eq!(bye.to_header().unwrap().value(), "<sip:100@trunk.example>;tag=far");
    }

    #[test]
    fn an_escaped_user_part_is_not_escaped_again() {
        let response = ok("Contact: <sip:a%20b@198.51.100.2;x=y>\r\n");
        let bye = dialog().established(&response).request(Method::Bye);
        assert!(bye.to_string().starts_with("BYE sip:a%20b@198.51.100.2;x=y SIP/2.0\r\n"), "{bye}");
    }

    #[test]
    fn a_cancel_repeats_the_invite() {
        let mut invite = dialog().request(Method::Invite);
        invite.headers.push_front(Header::Via("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1".into()));
        let cancel = cancel(&invite);
        assert_eq!(cancel.via_header().unwrap(), invite.via_header().unwrap());
        assert_eq!(cancel.cseq_header().unwrap().value(), "1 CANCEL");
        assert_eq!(cancel.from_header().unwrap(), invite.from_header().unwrap());
        assert_eq!(cancel.uri, invite.uri);
    }

    #[test]
    fn requests_count_up_even_from_clones() {
        let dialog = dialog();
        let seqs = [dialog.request(Method::Invite), dialog.clone().request(Method::Bye), dialog.request(Method::Info)]
            .map(|request| request.cseq_header().unwrap().seq().unwrap());
        assert_eq!(seqs, [1, 2, 3]);
    }

    #[test]
    fn an_old_request_is_out_of_order() {
        let mut dialog = dialog();
        let mut request = dialog.request(Method::Info);
        for (seq, accepted) in [(7, true), (9, true), (8, false)] {
            request.headers.unique_push(Header::CSeq(CSeq::new(format!("{seq} INFO"))));
            assert_eq!(dialog.take_request(&request).is_ok(), accepted, "{seq}");
        }
    }

    #[test]
    fn tags_are_found_behind_the_uri_only() {
        assert_eq!(tag_of("\"x\" <sip:a@b;tag=no>;tag=yes"), Some("yes"));
        assert_eq!(tag_of("<sip:a@b;tag=no>"), None);
        assert_eq!(tag_of("sip:a@b;TAG=yes"), Some("yes"));
    }
}
