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

mod board;
mod call;
mod config;
mod gateways;
mod plan;
mod record;
mod status;
mod timers;

#[cfg(test)]
mod tests;

pub use board::Switchboard;
pub use config::{
    Config, MAX_CANDIDATE_BYTES, MAX_CANDIDATES, MAX_DETAIL_CHARS, MAX_GATEWAYS, MAX_NO_ANSWER, MIN_NO_ANSWER,
};
pub use gateways::Refusal;
pub use plan::Plan;
pub use record::{Change, Ending};
pub use status::{reason_for_code, reason_for_failure, reason_for_status};

use protocol::gateway::{Command, Event};
use protocol::visitor::{VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId};
use std::time::Instant;

/// What happens to the switchboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A visitor said `hello` and may call. Answered by `welcome`, or by `ended` when no more calls are taken.
    Arrived {
        /// A fresh id. An id that is in use is ignored.
        call: CallId,
        /// Where the call goes, and what its record shall tell.
        plan: Box<Plan>,
    },
    /// The visitor of a call sent a message.
    Visitor {
        /// The call.
        call: CallId,
        /// The message; `hello` never comes here, [`Input::Arrived`] does.
        request: VisitorRequest,
    },
    /// The visitor's socket closed, whoever closed it.
    VisitorLost {
        /// The call.
        call: CallId,
    },
    /// A gateway reported something.
    Gateway {
        /// From which connection, by the name under which it registered.
        gateway: GatewayId,
        /// What.
        event: Event,
    },
    /// The connection to a gateway is gone. When a new connection takes over a name, this comes before the new
    /// connection's [`Event::Registered`].
    GatewayLost {
        /// Which.
        gateway: GatewayId,
    },
    /// End every call and take no further one. The shell waits until [`Switchboard::is_empty`].
    Stop,
}

/// Everything that the switchboard does to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to the visitor of a call.
    Visitor {
        /// The call.
        call: CallId,
        /// The message.
        event: VisitorEvent,
    },
    /// Close the visitor's socket once everything before is sent.
    CloseVisitor {
        /// The call.
        call: CallId,
    },
    /// Send a command to a gateway.
    Gateway {
        /// Which.
        gateway: GatewayId,
        /// The command.
        command: Command,
    },
    /// A gateway cannot be used: say so in the log and close its connection.
    RefuseGateway {
        /// Which.
        gateway: GatewayId,
        /// Why.
        refusal: Refusal,
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
}
