//! What the switchboard asks for and the hub does not wait for: a merchant's commands from the store, a page from the merchant's
//! server. Each question is a short task; its answer comes back as a message.

use crate::hub::Message;
use crate::push;
use crate::resolver::Resolver;
use crate::store::Store;
use protocol::error::ErrorCode;
use protocol::{CallId, MerchantId};
use std::sync::Arc;
use switchboard::{Question, ResolveRequest};
use tokio::sync::{Semaphore, mpsc};

/// Questions at the same time: the keys of as many agents within the same two seconds. Beyond, keys pass as digits.
const MAX_QUESTIONS: usize = 256;

/// Where the answers are.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    store: Store,
    resolver: Resolver,
    messages: mpsc::WeakSender<Message>,
    places: Arc<Semaphore>,
}

impl Lookup {
    pub(crate) fn new(store: Store, resolver: Resolver, messages: mpsc::WeakSender<Message>) -> Self {
        Self { store, resolver, messages, places: Arc::new(Semaphore::new(MAX_QUESTIONS)) }
    }

    /// Answered by [`Message::Commands`].
    pub(crate) fn commands(&self, call: CallId, merchant: MerchantId, origin: String) {
        let Self { store, messages, places, .. } = self.clone();
        tokio::spawn(async move {
            let keypad = match places.try_acquire() {
                Ok(_place) => store.keypad(&merchant).await.unwrap_or_else(|error| {
                    tracing::error!(%call, %error, "the store failed while an agent keyed a command");
                    None
                }),
                Err(_) => None,
            };
            let table = keypad.map(|keypad| push::table(&keypad, &origin));
            tell(&messages, Message::Commands { call, table }).await;
        });
    }

    /// Answered by [`Message::Resolved`].
    pub(crate) fn resolve(
        &self,
        call: CallId,
        merchant: MerchantId,
        origin: String,
        question: Question,
        request: ResolveRequest,
    ) {
        let lookup = self.clone();
        tokio::spawn(async move {
            let page = match lookup.places.try_acquire() {
                Ok(_place) => lookup.page(&call, &merchant, &origin, &request).await,
                Err(_) => None,
            };
            tell(&lookup.messages, Message::Resolved { call, question, page }).await;
        });
    }

    async fn page(
        &self,
        call: &CallId,
        merchant: &MerchantId,
        origin: &str,
        request: &ResolveRequest,
    ) -> Option<String> {
        let keypad = self.store.keypad(merchant).await.ok().flatten()?;
        let secret = keypad.signing_secret.as_ref()?;
        let page = match self.resolver.ask(merchant, call, request, secret).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%call, %merchant, code = %ErrorCode::PageNotResolved, %error, "the merchant's server names no page");
                return None;
            }
        };
        let found = push::at_origin(&page, &keypad.origins, origin).filter(|_| !page.contains('{'));
        if found.is_none() {
            tracing::warn!(%call, %merchant, code = %ErrorCode::PageNotAllowed, "the merchant's server names a page elsewhere");
        }
        found
    }
}

async fn tell(messages: &mpsc::WeakSender<Message>, message: Message) {
    if let Some(messages) = messages.upgrade() {
        // The hub has ended: so has the call.
        let _ = messages.send(message).await;
    }
}
