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
        Failure::FarEndSilent => EndReason::FarEndSilent,
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
        | ErrorCode::UdpBlocked
        | ErrorCode::CancellerNotLoaded
        | ErrorCode::EchoEngineMissing
        | ErrorCode::EchoBrowserUnwilling
        | ErrorCode::AudioPathBroken
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
        | ErrorCode::CallElsewhere
        | ErrorCode::CallOver
        | ErrorCode::WindowCutOff
        | ErrorCode::WindowBlocked
        | ErrorCode::GatewayGone
        | ErrorCode::NoGateway
        | ErrorCode::ServerStopping
        | ErrorCode::VersionUnknown
        | ErrorCode::MessageInvalid
        | ErrorCode::SetupTimedOut
        | ErrorCode::Reconnecting
        | ErrorCode::CalledAgain
        | ErrorCode::FarEndSilent
        | ErrorCode::PageNotShown
        | ErrorCode::MicrophoneSwitched
        | ErrorCode::MicrophoneGone
        | ErrorCode::SpeakerSwitched
        | ErrorCode::PageNotAllowed
        | ErrorCode::PageNotResolved => EndReason::BrowserFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sip_status_ends_the_call_for_the_reason_that_it_means() {
        use EndReason::{Busy, NoAnswer, NotFound, Refused, TrunkFailed, TrunkUnreachable};
        // Status, the reason when nothing had rung, the reason when it had.
        let table = [
            (300, TrunkFailed, TrunkFailed),
            (302, TrunkFailed, TrunkFailed),
            (400, TrunkFailed, TrunkFailed),
            (401, TrunkFailed, TrunkFailed),
            (403, Refused, Refused),
            (404, NotFound, NotFound),
            (407, TrunkFailed, TrunkFailed),
            (408, TrunkUnreachable, NoAnswer),
            (410, NotFound, NotFound),
            (415, TrunkFailed, TrunkFailed),
            (433, Refused, Refused),
            (480, NoAnswer, NoAnswer),
            (484, NotFound, NotFound),
            (486, Busy, Busy),
            (487, NoAnswer, NoAnswer),
            (488, TrunkFailed, TrunkFailed),
            (500, TrunkFailed, TrunkFailed),
            (503, TrunkFailed, TrunkFailed),
            (504, TrunkFailed, TrunkFailed),
            (600, Busy, Busy),
            (603, Refused, Refused),
            (604, NotFound, NotFound),
            (606, TrunkFailed, TrunkFailed),
            (607, Refused, Refused),
            (699, Refused, Refused),
            (0, TrunkFailed, TrunkFailed),
            (200, TrunkFailed, TrunkFailed),
            (u16::MAX, TrunkFailed, TrunkFailed),
        ];
        for (status, silent, rang) in table {
            assert_eq!(reason_for_status(status, false), silent, "{status} before ringing");
            assert_eq!(reason_for_status(status, true), rang, "{status} after ringing");
        }
    }

    #[test]
    fn every_microphone_error_of_the_browser_counts_as_a_denied_microphone() {
        for code in ErrorCode::ALL {
            let expected = match code.word() {
                "RL-101" | "RL-102" | "RL-103" | "RL-104" => EndReason::MicrophoneDenied,
                "RL-108" => EndReason::MediaFailed,
                _ => EndReason::BrowserFailed,
            };
            assert_eq!(reason_for_code(*code), expected, "{code}");
        }
    }

    #[test]
    fn each_failure_of_a_gateway_ends_the_call_for_the_reason_that_it_means() {
        assert_eq!(reason_for_failure(Failure::OfferUnusable), EndReason::MediaFailed);
        assert_eq!(reason_for_failure(Failure::AnswerUnusable), EndReason::TrunkFailed);
        assert_eq!(reason_for_failure(Failure::Full), EndReason::NoCapacity);
        assert_eq!(reason_for_failure(Failure::Undialable), EndReason::NotFound);
        assert_eq!(reason_for_failure(Failure::FarEndSilent), EndReason::FarEndSilent);
    }
}
