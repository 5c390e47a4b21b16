//! The phone: the main-thread WASM module of the panel. It signals over a WebSocket and negotiates WebRTC; what it shows
//! and hears passes through a [`Listener`](browser::Listener) and two `MediaStreamTrack`s.
//!
//! Not here: anything on the screen, the microphone's permission, the audio graph (`www/widget`), the samples (`engine`).
//! The call itself is in `call`, where neither browser nor clock is known; `browser` is its shell.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod browser;
mod call;
mod link;
mod message;

pub use browser::{Listener, Phone, sentence};

// A few KB less than std's, and enough for the few hundred small allocations in the life of a phone.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> =
    lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());

// Without std, whose handler would format for 2 KB what no console of a browser shows.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(test)]
mod tests {
    use protocol::error::ErrorCode;

    #[test]
    fn the_loader_says_what_the_catalogue_says() {
        let loader = include_str!("../../www/loader/ringlet.js");
        for code in [ErrorCode::PhoneNotLoaded, ErrorCode::LoaderMisconfigured] {
            let said = format!("say(\"{code}\", \"{}\")", code.shopper());
            assert!(loader.contains(&said), "ringlet.js lacks {said}");
        }
    }
}
