//! A SIP user agent that answers every INVITE at once, with media wherever it is told. It knows no more of RFC 3261 than a trunk that
//! never fails needs.

use crate::network::media_of;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A running user agent; it ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Trunk(Arc<Mutex<BTreeMap<String, Line>>>);

/// What is known of a user.
#[derive(Clone, Copy, Debug)]
struct Line {
    ours: SocketAddr,
    theirs: Option<SocketAddr>,
}

impl Trunk {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When it is taken.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let trunk = Self(Arc::default());
        let running = trunk.clone();
        thread::spawn(move || running.run(&socket));
        Ok(trunk)
    }

    /// `user`'s audio is at `media`.
    pub(crate) fn expect(&self, user: &str, media: SocketAddr) {
        let line = Line { ours: media, theirs: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), line);
    }

    /// Where the caller of `user` wants its audio.
    ///
    /// # Errors
    /// When nobody calls for 5 s.
    pub(crate) fn caller_of(&self, user: &str) -> Result<SocketAddr> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let theirs = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).and_then(|line| line.theirs);
            if let Some(theirs) = theirs {
                return Ok(theirs);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("nobody called {user}")
    }

    fn run(&self, socket: &UdpSocket) {
        let mut buffer = [0; 8192];
        loop {
            let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            let body = match text.split(' ').next().unwrap_or_default() {
                "INVITE" => match self.answer(&text) {
                    Ok(body) => body,
                    Err(error) => {
                        eprintln!("an INVITE is not answered: {error:#}");
                        continue;
                    }
                },
                "BYE" | "OPTIONS" | "CANCEL" => String::new(),
                _ => continue,
            };
            let _ = socket.send_to(response(&text, socket, &body).as_bytes(), source);
        }
    }

    fn answer(&self, invite: &str) -> Result<String> {
        let user = invite.split("sip:").nth(1).and_then(|uri| uri.split('@').next()).context("no user")?;
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get_mut(user).with_context(|| format!("{user} is not expected"))?;
        line.theirs = Some(media_of(invite)?);
        Ok(answer(line.ours))
    }
}

/// The SDP of a telephone whose audio is at `media`.
pub(crate) fn answer(media: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
             a=ptime:20\r\na=sendrecv\r\n",
        ip = media.ip(),
        port = media.port()
    )
}

fn response(request: &str, socket: &UdpSocket, body: &str) -> String {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let tag = if name == "to" && !line.contains(";tag=") { ";tag=speech" } else { "" };
        if ["via", "from", "to", "call-id", "cseq", "record-route"].contains(&name.as_str()) {
            text.push_str(&format!("{line}{tag}\r\n"));
        }
    }
    if let Ok(address) = socket.local_addr() {
        text.push_str(&format!("Contact: <sip:agent@{address}>\r\n"));
    }
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}
