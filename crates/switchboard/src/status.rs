//! What a far end's, a gateway's or a browser's word for trouble means as the end of a call.

use protocol::error::ErrorCode;
use protocol::gateway::Failure;
use protocol::visitor::EndReason;

/// What a final SIP status (RFC 3261 section 21, IANA's registry) means for the call. `rang` tells whether the far end
/// had rung or sent early media: a 408 then comes from a phone that nobody took, else from a trunk that found no way.
pub const fn reason_for_status(status: u16, rang: bool) -> EndReason {
    match status {
        486 | 600 => EndReason::Busy,
        // 433 RFC 5079, 607 RFC 8197, 608 RFC 8688: somebody, or somebody's filter, does not want this call.
        403 | 433 | 603 | 607 | 608 => EndReason::Refused,
        404 | 410 | 416 | 484 | 485 | 604 => EndReason::NotFound,
        408 if !rang => EndReason::TrunkUnreachable,
        408 | 480 | 487 => EndReason::NoAnswer,
        // 488 and 606 say "not with this SDP"; the other 4xx that our request or our set-up is wrong.
        300..=599 | 606 => EndReason::TrunkFailed,
        601..=699 => EndReason::Refused,
        _ => EndReason::TrunkFailed,
    }
}

/// What it means that a gateway could not carry out a command.
pub const fn reason_for_failure(failure: Failure) -> EndReason {
    match failure {
        Failure::OfferUnusable => EndReason::MediaFailed,
        Failure::AnswerUnusable => EndReason::TrunkFailed,
        Failure::Full => EndReason::NoCapacity,
        Failure::Undialable => EndReason::NotFound,
    }
}

/// What it means that the browser gave up with `code`.
pub const fn reason_for_code(code: ErrorCode) -> EndReason {
    match code {
        ErrorCode::MicrophoneDenied
        | ErrorCode::MicrophoneMissing
        | ErrorCode::MicrophoneBusy
        | ErrorCode::MicrophoneForbiddenByPage => EndReason::MicrophoneDenied,
        ErrorCode::MediaPathFailed => EndReason::MediaFailed,
        ErrorCode::BrowserTooOld
        | ErrorCode::PhoneNotLoaded
        | ErrorCode::SocketLost
        | ErrorCode::OriginNotAllowed
        | ErrorCode::LinkUnknown
        | ErrorCode::TokenInvalid
        | ErrorCode::DestinationTokenInvalid
        | ErrorCode::TooManyCalls
        | ErrorCode::LoaderMisconfigured
        | ErrorCode::Busy
        | ErrorCode::Refused
        | ErrorCode::NumberNotFound
        | ErrorCode::NoAnswer
        | ErrorCode::TrunkUnreachable
        | ErrorCode::TrunkFailed
        | ErrorCode::CallTooLong
        | ErrorCode::GatewayGone
        | ErrorCode::NoGateway
        | ErrorCode::ServerStopping
        | ErrorCode::VersionUnknown
        | ErrorCode::MessageInvalid
        | ErrorCode::SetupTimedOut => EndReason::BrowserFailed,
    }
}
