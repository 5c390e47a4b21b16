//! The shell around [`Call`]: WebSocket, `RTCPeerConnection`, timer, clock. It takes no decisions.

use crate::call::{Call, Input, Output, Path};
use crate::link::Request;
use crate::message;
use alloc::borrow::ToOwned;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use js_sys::{Array, ArrayBuffer, Function, Promise};
use protocol::ReadError;
use protocol::error::ErrorCode;
use protocol::visitor::{FrameCodec, Quality, VERSION, VisitorRequest};
use wasm_bindgen::prelude::*;
use web_sys::{
    BinaryType, CloseEvent, Event, EventTarget, MediaStreamTrack, MessageEvent, RtcBundlePolicy, RtcConfiguration,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcRtpSender, RtcSdpType, RtcSessionDescriptionInit, RtcTrackEvent,
    RtcdtmfSender, WebSocket,
};

/// How long each key sounds: RFC 4733 asks for nothing, but ITU-T Q.24 lets receivers ignore less than 40 ms, and old
/// voice menus want more.
const TONE_MS: u32 = 120;
/// The silence between two keys; ITU-T Q.24 lets receivers demand 40 ms.
const GAP_MS: u32 = 70;

/// Sockets that are tried in vain before the server is asked for in another way first: browsers count sockets that failed, and make those
/// that follow wait, Chromium up to 5 s each after some 16 in 3 minutes. Nothing of the kind befalls a request.
const SOCKETS_IN_VAIN: u32 = 2;
const SOCKET_EVENTS: [&str; 3] = ["open", "message", "close"];
/// Bytes that may wait in the socket before frames are left out: half a second of G.711.
const MAX_BUFFERED: u32 = 4_096;

#[wasm_bindgen(typescript_custom_section)]
const LISTENER: &str = r#"
/** What the phone tells the panel. */
export interface Listener {
  /** The call exists: its id, who is called, and which line. */
  onWelcome(call: string, merchant: string, link: string): void;
  /** The call has come to a new state (protocol: CallState), or is taken up again in it; answered so long ago. */
  onState(state: string, answeredMs: number): void;
  /** What the next page needs to take the call up again, in place of the token before. */
  onKeep(token: string): void;
  /** The far end's audio; to be played by an audio element. */
  onTrack(track: MediaStreamTrack): void;
  /** Audio goes as frames from now on, or over WebRTC again. */
  onFrames(on: boolean): void;
  /** A frame of the far end's audio. */
  onFrame(frame: ArrayBuffer): void;
  /** What carries the audio, whenever that changes: `udp`, `tcp`, `websocket`. */
  onTransport(transport: string): void;
  /** The far end pressed a key: one of 0-9, *, #, A-D. */
  onDigit(digit: string): void;
  /** The server says what is none of the phone's business (protocol: VisitorEventPage and its like), or newer than it. */
  onMessage(message: object): void;
  /** Asks for the server: a `Response` when it has answered, whatever it says, or else something of an empty type. Never rejected. */
  onSearch(): Promise<Response | { type: "" }>;
  /** Something is wrong, but the call goes on. */
  onWarning(code: string, message: string): void;
  /** The call is over; an empty code when it was no error. Said once, the last word. */
  onEnded(code: string, message: string): void;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// What the phone tells the panel: a JavaScript object with the methods of the TypeScript interface of that name.
    #[wasm_bindgen(typescript_type = "Listener")]
    pub type Listener;

    #[wasm_bindgen(method, js_name = onWelcome)]
    fn on_welcome(this: &Listener, call: &str, merchant: &str, link: &str);
    #[wasm_bindgen(method, js_name = onState)]
    fn on_state(this: &Listener, state: &str, answered_ms: u32);
    #[wasm_bindgen(method, js_name = onKeep)]
    fn on_keep(this: &Listener, token: &str);
    #[wasm_bindgen(method, js_name = onTrack)]
    fn on_track(this: &Listener, track: &MediaStreamTrack);
    #[wasm_bindgen(method, js_name = onFrames)]
    fn on_frames(this: &Listener, on: bool);
    #[wasm_bindgen(method, js_name = onFrame)]
    fn on_frame(this: &Listener, frame: &JsValue);
    #[wasm_bindgen(method, js_name = onTransport)]
    fn on_transport(this: &Listener, transport: &str);
    #[wasm_bindgen(method, js_name = onDigit)]
    fn on_digit(this: &Listener, digit: &str);
    #[wasm_bindgen(method, js_name = onMessage)]
    fn on_message(this: &Listener, message: JsValue);
    #[wasm_bindgen(method, js_name = onSearch)]
    fn on_search(this: &Listener) -> Promise;
    #[wasm_bindgen(method, js_name = onWarning)]
    fn on_warning(this: &Listener, code: &str, message: &str);
    #[wasm_bindgen(method, js_name = onEnded)]
    fn on_ended(this: &Listener, code: &str, message: &str);

    /// An `RTCCertificate`.
    #[wasm_bindgen(typescript_type = "RTCCertificate")]
    pub type Certificate;
    // web-sys lacks the certificates.
    #[wasm_bindgen(extends = RtcConfiguration)]
    type Configuration;
    #[wasm_bindgen(method, setter, js_name = certificates)]
    fn set_certificates(this: &Configuration, certificates: &Array);

    // web-sys lacks the form without an argument, which makes offer and description in one step.
    #[wasm_bindgen(extends = RtcPeerConnection)]
    type Peer;
    #[wasm_bindgen(method, js_name = setLocalDescription)]
    fn set_local_offer(this: &Peer) -> Promise;
    #[wasm_bindgen(method, js_name = restartIce)]
    fn restart(this: &Peer);
    #[wasm_bindgen(method, js_name = getReceivers)]
    fn receivers(this: &Peer) -> Vec<Receiver>;

    type Receiver;
    #[wasm_bindgen(method, js_name = getSynchronizationSources)]
    fn sources(this: &Receiver) -> Vec<Source>;
    type Source;
    #[wasm_bindgen(method, getter, js_name = rtpTimestamp)]
    fn rtp_timestamp(this: &Source) -> f64;
    // As text, since a closed enum would carry a table of its words.
    #[wasm_bindgen(method, getter, js_name = connectionState)]
    fn state(this: &Peer) -> String;
    #[wasm_bindgen(method, getter, js_name = iceConnectionState)]
    fn ice_state(this: &Peer) -> String;

    // web-sys lets what this throws through, and it throws where no telephone-event was negotiated.
    #[wasm_bindgen(extends = RtcdtmfSender)]
    type Keys;
    #[wasm_bindgen(method, catch, js_name = insertDTMF)]
    fn try_insert(this: &Keys, tones: &str, duration_ms: u32, gap_ms: u32) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: f64) -> f64;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: f64);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = Math)]
    fn random() -> f64;
    #[wasm_bindgen(js_name = String)]
    fn to_text(value: &JsValue) -> String;
}

/// The sentence for the shopper that belongs to an error's code; empty for a code that is none.
#[wasm_bindgen]
pub fn sentence(code: &str) -> String {
    ErrorCode::from_word(code).map_or("", ErrorCode::shopper).to_owned()
}

/// A call from the shopper's side, begun when it is made.
#[wasm_bindgen]
pub struct Phone(Rc<Shell>);

impl core::fmt::Debug for Phone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Phone")
    }
}

#[wasm_bindgen]
impl Phone {
    /// Opens the socket at `url` and makes the offer at once. `origin` and `page` are those of the page around the
    /// panel, `customer` and `destination_token` what its script tag carries, if anything. With `resume` a call is taken
    /// up again that a page before this one had, with `takeover` even if another page has it now. `quality` is a word of [`Quality`]; another
    /// is as none. `certificate` has been announced by that page, and has this `fingerprint` as SDP writes it; `prepared` is the answer
    /// that it was given.
    ///
    /// # Errors
    /// What the browser throws where it has no WebRTC, or where it is switched off.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::too_many_arguments, reason = "an object for them would cost the shopper bytes of glue")]
    pub fn new(
        listener: Listener,
        url: &str,
        token: String,
        origin: String,
        page: Option<String>,
        customer: Option<String>,
        destination_token: Option<String>,
        resume: Option<String>,
        takeover: Option<bool>,
        quality: Option<String>,
        certificate: Option<Certificate>,
        fingerprint: Option<String>,
        prepared: Option<String>,
    ) -> Result<Phone, JsValue> {
        let hello = VisitorRequest::Hello {
            version: VERSION,
            token,
            origin,
            page,
            customer,
            destination_token,
            resume,
            takeover,
            session: None,
            seen: None,
            fingerprint,
        };
        let configuration: Configuration = RtcConfiguration::new().unchecked_into();
        configuration.set_bundle_policy(RtcBundlePolicy::MaxBundle);
        if let Some(certificate) = certificate {
            configuration.set_certificates(&Array::of1(&certificate));
        }
        let peer: Peer = RtcPeerConnection::new_with_configuration(&configuration)?.unchecked_into();
        // sendrecv by default, and with a sender whose track may come later: nothing waits for the microphone.
        let sender = peer.add_transceiver_with_str("audio").sender();
        let socket = WebSocket::new(url)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let mut call = Call::new(hello, (random() * f64::from(u32::MAX)) as u32, now());
        if let Some(prepared) = prepared {
            call.expect_answer(prepared);
        }
        let shell = Rc::new_cyclic(|shell| Shell {
            call: RefCell::new(call),
            on_event: closure(shell, |shell, event| shell.event(&event.unchecked_into())),
            on_offered: closure(shell, |shell, _| shell.offered()),
            on_rejected: closure(shell, |shell, error| {
                shell.handle(Input::Rejected(to_text(&error)));
            }),
            on_timeout: closure(shell, |shell, _| {
                shell.call.borrow_mut().handle_timeout(now());
                shell.perform();
            }),
            timeout: Cell::new(0.0),
            in_vain: Cell::new(0),
            listener,
            url: url.to_owned(),
            socket: RefCell::new(socket),
            peer,
            sender,
            quality: quality.and_then(|word| Quality::from_word(&word)),
        });
        shell.listen(&shell.socket.borrow(), &SOCKET_EVENTS);
        shell.listen(&shell.peer, &["icecandidate", "track", "iceconnectionstatechange", "connectionstatechange"]);
        shell.offer();
        shell.perform();
        Ok(Phone(shell))
    }

    /// Sends `track` as the shopper's voice. The first one lets the far end ring; a later one takes its place unheard.
    #[wasm_bindgen(js_name = setMicrophone)]
    pub fn set_microphone(&self, track: &MediaStreamTrack) {
        let _ = self.0.sender.replace_track(Some(track)).catch(&self.0.on_rejected);
        self.0.handle(Input::MicrophoneAllowed);
    }

    /// Sends keys (`0`–`9`, `*`, `#`, `A`–`D`) after those that still wait (RFC 4733). Says whether that was possible: before
    /// the audio path is up, the browser would take them and send them nowhere.
    pub fn digits(&self, digits: &str) -> bool {
        if self.0.call.borrow().is_frames() {
            self.0.handle(Input::Pressed(digits.to_owned()));
            return true;
        }
        self.0.peer.state() == "connected"
            && self.0.sender.dtmf().is_some_and(|sender| {
                let tones = sender.tone_buffer() + digits;
                sender.unchecked_into::<Keys>().try_insert(&tones, TONE_MS, GAP_MS).is_ok()
            })
    }

    /// Sends a frame of the shopper's voice, unless so much waits already that it would come too late.
    #[wasm_bindgen(js_name = sendFrame)]
    pub fn send_frame(&self, frame: &ArrayBuffer) {
        let socket = self.0.socket.borrow();
        if self.0.call.borrow().is_frames() && socket.buffered_amount() < MAX_BUFFERED {
            let _ = socket.send_with_array_buffer(frame);
        }
    }

    /// Opus runs, or does so no longer: what frames are to be of.
    #[wasm_bindgen(js_name = useOpus)]
    pub fn use_opus(&self, runs: bool) {
        self.0.handle(Input::Codec(if runs { FrameCodec::Opus } else { FrameCodec::G711 }));
    }

    /// A page before this one found that WebRTC does not pass: to be said at the beginning.
    #[wasm_bindgen(js_name = expectSlow)]
    pub fn expect_slow(&self) {
        self.0.call.borrow_mut().expect_slow();
    }

    /// The engine has heard a key of the far end in its audio.
    #[wasm_bindgen(js_name = keyHeard)]
    pub fn key_heard(&self, digit: char) {
        self.0.handle(Input::KeyHeard(digit));
    }

    /// The browser speaks of another network, or of having slept.
    #[wasm_bindgen(js_name = networkChanged)]
    pub fn network_changed(&self) {
        self.0.handle(Input::NetworkChanged);
    }

    /// Tells the server what is none of the phone's business (protocol: `VisitorRequestShown`, `VisitorRequestSettings`), as JSON.
    pub fn tell(&self, message: String) {
        self.0.handle(Input::Told(message));
    }

    /// For whoever measures it.
    #[wasm_bindgen(getter)]
    pub fn peer(&self) -> RtcPeerConnection {
        self.0.peer.clone()
    }

    /// Hangs up, before or after the answer.
    pub fn hangup(&self) {
        self.0.handle(Input::HungUp);
    }

    /// Leaves the call to the next page, as its `resume` token allows: lets go of socket and audio path without a word.
    pub fn leave(&self) {
        self.0.handle(Input::Left);
        self.0.peer.close();
    }

    /// Gives up for an error of the browser; `detail` is for the server's log. An unknown code counts as RL-106.
    pub fn fail(&self, code: &str, detail: String) {
        self.0.handle(Input::Failed(ErrorCode::from_word(code).unwrap_or(ErrorCode::PhoneNotLoaded), detail));
    }
}

type Handler = Closure<dyn FnMut(JsValue)>;

struct Shell {
    call: RefCell<Call>,
    listener: Listener,
    url: String,
    socket: RefCell<WebSocket>,
    peer: Peer,
    sender: RtcRtpSender,
    quality: Option<Quality>,
    timeout: Cell<f64>,
    /// Sockets that were tried since one was open.
    in_vain: Cell<u32>,
    on_event: Handler,
    on_offered: Handler,
    on_rejected: Handler,
    on_timeout: Handler,
}

impl Shell {
    fn listen(&self, target: &EventTarget, kinds: &[&str]) {
        for kind in kinds {
            // Throws for nothing but a target that is none.
            let _ = target.add_event_listener_with_callback(kind, self.on_event.as_ref().unchecked_ref());
        }
    }

    /// Opens a socket in place of the one before, of which nothing is to be heard any more.
    fn connect(&self) {
        let mut socket = self.socket.borrow_mut();
        for kind in SOCKET_EVENTS {
            let _ = socket.remove_event_listener_with_callback(kind, self.on_event.as_ref().unchecked_ref());
        }
        let _ = socket.close();
        self.in_vain.set(self.in_vain.get() + 1);
        if self.in_vain.get() > SOCKETS_IN_VAIN {
            let _ = self.listener.on_search().then(&self.on_event);
            return;
        }
        // Throws for nothing but a malformed address, and this one was good before.
        if let Ok(next) = WebSocket::new(&self.url) {
            next.set_binary_type(BinaryType::Arraybuffer);
            *socket = next;
            self.listen(&socket, &SOCKET_EVENTS);
        }
    }

    fn event(&self, event: &Event) {
        let input = match event.type_().as_str() {
            "open" => {
                self.in_vain.set(0);
                Input::SocketOpened
            }
            // The answer to the search for the server, unless one before it has led to a socket.
            kind @ ("basic" | "") => {
                if self.in_vain.get() <= SOCKETS_IN_VAIN {
                    return;
                }
                if !kind.is_empty() {
                    self.in_vain.set(0);
                    return self.connect();
                }
                Input::SocketClosed(1006)
            }
            "close" => Input::SocketClosed(event_as::<CloseEvent>(event).code()),
            "message" if !event_as::<MessageEvent>(event).data().is_string() => {
                return self.listener.on_frame(&event_as::<MessageEvent>(event).data());
            }
            "message" => {
                let text = event_as::<MessageEvent>(event).data().as_string().unwrap_or_default();
                match message::read(&text) {
                    Ok(event) => Input::Received(event),
                    Err(ReadError::UnknownType) => Input::Relayed(text),
                    Err(ReadError::Field(field)) => Input::Unreadable(field.to_owned()),
                }
            }
            "icecandidate" => Input::Found(
                event_as::<RtcPeerConnectionIceEvent>(event)
                    .candidate()
                    .map_or_else(String::new, |candidate| candidate.candidate()),
            ),
            "track" => return self.listener.on_track(&event_as::<RtcTrackEvent>(event).track()),
            "iceconnectionstatechange" if self.peer.ice_state() == "connected" => Input::Path(Path::Paired),
            // Of everything else the other event tells, and this one may come before the state has changed.
            "iceconnectionstatechange" => return,
            _ => match self.peer.state().as_str() {
                "connected" => Input::Path(Path::Up),
                "disconnected" => Input::Path(Path::Interrupted),
                "failed" => Input::Path(Path::Failed),
                _ => return,
            },
        };
        self.handle(input);
    }

    fn offer(&self) {
        let _ = self.peer.set_local_offer().then2(&self.on_offered, &self.on_rejected);
    }

    /// The RTP timestamp of the audio that came last; 0 while there was none.
    fn heard(&self) -> u32 {
        let sources = self.peer.receivers().first().map(Receiver::sources).unwrap_or_default();
        sources.first().map_or(0, |source| source.rtp_timestamp() as u32)
    }

    fn offered(&self) {
        if let Some(offer) = self.peer.local_description() {
            self.handle(Input::Offered(offer.sdp(), self.quality));
        }
    }

    fn handle(&self, input: Input) {
        self.call.borrow_mut().handle_input(input, now());
        self.perform();
    }

    fn perform(&self) {
        loop {
            // Released before each step: the listener may well call back.
            let Some(output) = self.call.borrow_mut().poll_output() else { break };
            match output {
                Output::Connect => self.connect(),
                Output::Send(request) => {
                    let text = match request {
                        Request::Phone(request) => message::write(&request),
                        Request::Panel(text) => text,
                    };
                    // Throws while connecting only; a socket that is closing says `close` next.
                    let _ = self.socket.borrow().send_with_str(&text);
                }
                Output::Restart => {
                    self.peer.restart();
                    self.offer();
                }
                Output::Listen => {
                    let heard = Input::Heard(self.heard());
                    self.call.borrow_mut().handle_input(heard, now());
                }
                Output::Accept(sdp) => {
                    let answer = RtcSessionDescriptionInit::new(RtcSdpType::Answer);
                    answer.set_sdp(&sdp);
                    let _ = self.peer.set_remote_description(&answer).catch(&self.on_rejected);
                }
                Output::Welcome(call, merchant, link) => self.listener.on_welcome(&call, &merchant, &link),
                Output::State(state, answered_ms) => self.listener.on_state(state.word(), answered_ms),
                Output::Keep(token) => self.listener.on_keep(&token),
                Output::Relay(text) => {
                    let message = message::object(&text);
                    if message.is_object() {
                        self.listener.on_message(message);
                    }
                }
                Output::Frames(on) => self.listener.on_frames(on),
                Output::Transport(transport) => self.listener.on_transport(transport.word()),
                Output::Digit(digit) => self.listener.on_digit(&digit),
                Output::Warn(code, message) => self.listener.on_warning(code.word(), &message),
                Output::End(code, message) => {
                    self.peer.close();
                    self.listener.on_ended(code.map_or("", ErrorCode::word), &message);
                }
                Output::CloseSocket => {
                    // An answer to the search comes too late.
                    self.in_vain.set(0);
                    let _ = self.socket.borrow().close();
                }
            }
        }
        clear_timeout(self.timeout.get());
        if let Some(at) = self.call.borrow().poll_timeout() {
            let wait = at.saturating_sub(now()).as_millis() as u32;
            self.timeout.set(set_timeout(self.on_timeout.as_ref().unchecked_ref(), f64::from(wait) + 1.0));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        clear_timeout(self.timeout.get());
        self.peer.close();
        let _ = self.socket.borrow().close();
    }
}

/// All callbacks have one shape, since each further shape costs bytes of glue.
fn closure(shell: &Weak<Shell>, act: fn(&Shell, JsValue)) -> Handler {
    let shell = shell.clone();
    Closure::new(move |value| {
        if let Some(shell) = shell.upgrade() {
            act(&shell, value);
        }
    })
}

fn event_as<T: JsCast>(event: &Event) -> &T {
    event.unchecked_ref()
}

/// Time since the panel was loaded.
fn now() -> Duration {
    Duration::from_millis(performance_now() as u64)
}
