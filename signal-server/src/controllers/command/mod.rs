//! What the far end's keys mean, by merchant. Changes count for running calls from the next code that is keyed.

pub(crate) mod card;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod write;

use crate::app::App;
use crate::controllers::check_name;
use crate::problem::Problem;
use crate::push;
use protocol::MerchantId;
use protocol::command::{Action, Command, is_sequence};

/// Checks a command that a request would make.
async fn check(app: &App, merchant: &MerchantId, command: &Command) -> Result<(), Problem> {
    if !is_sequence(&command.sequence) {
        let cure = "Use a star and 1 to 11 keys of 0-9 and A-D, like *76.";
        return Err(Problem::invalid("sequence", "Those keys cannot be a command.", cure));
    }
    if !command.label.is_empty() {
        check_name("label", &command.label)?;
    }
    let keypad = app.store.keypad(merchant).await?.ok_or_else(|| Problem::not_found("merchant"))?;
    push::check_command(command, &keypad.origins, &app.config.resolver_networks)
        .map_err(|error| Problem::invalid("url", format!("The address {error}."), error.cure()))?;
    if command.action == Action::Resolve && keypad.signing_secret.is_none() {
        let cure = "Let the operator give the merchant a `signing_secret`: the question is signed with it.";
        return Err(Problem::conflict("The merchant has no signing secret.", cure));
    }
    Ok(())
}
