//! The call as a state machine, from the click to its record, under a virtual clock.
//!
//! The shell owns sockets, store and clock; it feeds [`Input`]s and the time, drains [`Output`]s and re-arms one timer:
//!
//! 1. [`Switchboard::handle_input`] or [`Switchboard::handle_timeout`],
//! 2. [`Switchboard::poll_output`] until `None`,
//! 3. [`Switchboard::poll_timeout`].
//!
//! Not here: who may call (tokens, origins, limits and the look-up of the destination are done before
//! [`Input::Arrived`]), wall-clock time, logs, metrics, randomness.

mod adrift;
mod again;
mod board;
mod call;
mod certificates;
mod checks;
mod commands;
mod config;
mod deadlines;
mod ears;
mod gateways;
mod keys;
mod offers;
mod plan;
mod record;
mod resume;
mod said;
mod session;
mod status;
mod timers;

#[cfg(test)]
mod tests;

pub use adrift::Restored;
pub use board::Switchboard;
pub use checks::{CheckInput, CheckOutput, Checks, MAX_CHECK_LEGS};
pub use commands::{Act, CommandTable, Outcome, Question, ResolveRequest, Step};
pub use config::{
    Config, MAX_CANDIDATE_BYTES, MAX_CANDIDATES, MAX_DETAIL_CHARS, MAX_GATEWAYS, MAX_HELD_REQUESTS, MAX_NO_ANSWER,
    MAX_OFFERS, MAX_REPLAY, MIN_NO_ANSWER,
};
pub use gateways::Refusal;
pub use plan::Plan;
pub use record::{Change, Ending};
pub use resume::{Epoch, Page};
pub use session::Session;
pub use status::{reason_for_code, reason_for_failure, reason_for_status};

use protocol::gateway::{Command, Event};
use protocol::settings::Change as SettingsChange;
use protocol::visitor::{VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId, MerchantId};
use std::time::Instant;

/// What happens to the switchboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A visitor said `hello` and may call. Answered by `welcome`, or by `ended` when no more calls are taken.
    Arrived {
        /// A fresh id. An id that is in use is ignored.
        call: CallId,
        /// The visitor's page; new.
        page: Page,
        /// Where the call goes, and what its record shall tell.
        plan: Box<Plan>,
    },
    /// A page said `hello` with a `resume` token whose signature and origin are right. Answered by `welcome` and `resumed`,
    /// or by `error` or `ended` and the end of the socket.
    Resume {
        /// The call, as the token names it. It need not exist.
        call: CallId,
        /// The page that asks; new.
        page: Page,
        /// Which of the call's tokens it is.
        epoch: Epoch,
        /// Take the call from the page that has it.
        takeover: bool,
        /// The fingerprint of the certificate that the page says it will connect with.
        fingerprint: Option<String>,
    },
    /// A page of a call sent a message. Those of a page that has not got the call yet are kept until it has.
    Visitor {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
        /// The message; `hello` never comes here, [`Input::Arrived`] or [`Input::Resume`] does.
        request: VisitorRequest,
    },
    /// A page's socket was closed, by the page as its last word, or by [`Output::CloseVisitor`].
    VisitorLost {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
    },
    /// A gateway reported something.
    Gateway {
        /// From which connection, by the name under which it registered.
        gateway: GatewayId,
        /// What.
        event: Event,
    },
    /// The connection to a gateway is gone; its calls wait for it ([`Config::gateway`]). When a new connection takes over a
    /// name, this comes before the new connection's [`Event::Registered`].
    GatewayLost {
        /// Which.
        gateway: GatewayId,
    },
    /// What [`Output::FindCommands`] asked for.
    Commands {
        /// The call.
        call: CallId,
        /// What each sequence means to it; `None`: that cannot be found out.
        table: Option<CommandTable>,
    },
    /// What [`Output::Resolve`] asked for.
    Resolved {
        /// The call.
        call: CallId,
        /// Which of its questions.
        question: Question,
        /// The page, absolute and of the call's origin; `None`: the merchant's server named none that can be shown.
        page: Option<String>,
    },
    /// A desk that may do so sets something on the shopper's side.
    Set {
        /// The call.
        call: CallId,
        /// What.
        change: SettingsChange,
    },
    /// End every call and take no further one. The shell waits until [`Switchboard::is_empty`].
    Stop,
    /// A page's socket broke, or does not answer: the page may still be there.
    VisitorBroken {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
    },
    /// A page said `hello` with a `session` token whose signature and origin are right: it goes on over another socket. Answered
    /// by `reconnected`, or by `error` or `ended` and the end of the socket.
    Reconnect {
        /// The call, as the token names it. It need not exist.
        call: CallId,
        /// The page's new socket.
        page: Page,
        /// Which of the call's pages it is.
        session: Session,
        /// How many events have come to it.
        seen: u32,
    },
    /// A call that an earlier server has left open. Comes before any gateway: which of them carries it, gateways tell.
    Restored {
        /// The call.
        call: CallId,
        /// What its record tells.
        restored: Box<Restored>,
    },
    /// The process is about to end, and another will go on with the answered calls that nothing in this process carries:
    /// those whose gateway is named or out of reach. They are forgotten, their records stay open. Before [`Input::Stop`].
    Leave {
        /// Gateways that go on without this process, and the name of each towards the next.
        outliving: Vec<(GatewayId, GatewayId)>,
        /// Those as well that nobody has answered, or that no gateway carries yet: the next process is there very soon.
        all: bool,
    },
}

/// Everything that the switchboard does to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a page.
    Visitor {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
        /// The message.
        event: VisitorEvent,
    },
    /// Sign a `resume` token and send it to the page.
    ResumeToken {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
        /// What [`Input::Resume`] will give back.
        epoch: Epoch,
        /// The origin to which the token is bound.
        origin: String,
    },
    /// Ask the page for a sign of life: if none comes well before [`Config::contest`], [`Input::VisitorBroken`].
    ProbeVisitor {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
    },
    /// Close the page's socket once everything before is sent.
    CloseVisitor {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
    },
    /// Send a command to a gateway.
    Gateway {
        /// Which.
        gateway: GatewayId,
        /// The command.
        command: Command,
    },
    /// Carry frames between the page's socket and the gateway, each way, until told otherwise or until either is gone.
    Frames {
        /// The call.
        call: CallId,
        /// Which gateway has it.
        gateway: GatewayId,
        /// Whose socket; `None`: carry none any more.
        page: Option<Page>,
    },
    /// A gateway cannot be used: say so in the log and close its connection.
    RefuseGateway {
        /// Which.
        gateway: GatewayId,
        /// Why.
        refusal: Refusal,
    },
    /// The far end begins to key a code: find the merchant's commands as they are now. Answered by [`Input::Commands`].
    FindCommands {
        /// The call.
        call: CallId,
        /// Whose.
        merchant: MerchantId,
        /// Where the shopper is: the only origin whose pages can be shown.
        origin: String,
    },
    /// Ask the merchant's server for a page. Answered by [`Input::Resolved`].
    Resolve {
        /// The call.
        call: CallId,
        /// Whose server.
        merchant: MerchantId,
        /// Where the shopper is.
        origin: String,
        /// Goes into the answer.
        question: Question,
        /// What is asked.
        request: ResolveRequest,
    },
    /// A command has come to its end: for log and metrics.
    Commanded {
        /// The call.
        call: CallId,
        /// What was keyed.
        sequence: String,
        /// What came of it.
        outcome: Outcome,
    },
    /// Change a call's record. The first change of a call is [`Change::Started`], the last [`Change::Ended`], each once.
    Record {
        /// The call.
        call: CallId,
        /// When it came about; for [`Change::Ended`] this lies before the output by as long as the gateway took to
        /// release the call.
        at: Instant,
        /// What changed.
        change: Change,
    },
    /// Sign a `session` token and send it to the page.
    SessionToken {
        /// The call.
        call: CallId,
        /// The page.
        page: Page,
        /// What [`Input::Reconnect`] will give back.
        session: Session,
        /// The origin to which the token is bound.
        origin: String,
    },
}
