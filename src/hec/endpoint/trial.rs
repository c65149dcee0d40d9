//! Asking an endpoint whether it would take events, without any.

use bytes::Bytes;
use tokio::time::Instant;

use super::{Endpoint, describe, signal};
use crate::hec::classify::Disposition;
use crate::hec::compress::Wire;
use crate::hec::gate::Signal;
use crate::hec::probe::Probe;
use crate::hec::reply::HecCode;
use crate::hec::transport::{By, Exchange, Posted};

/// The most tokens shown for one question: the newest, the one before, and one that has just been written.
pub(super) const TOKENS_MAX: usize = 3;

impl Endpoint {
    /// Asks for its health, and posts nothing with the token, to see whether it would take events.
    ///
    /// Says too what the answer means for the endpoint. What is not HEC's own word on an empty
    /// request says nothing about events.
    pub(crate) async fn ask(&self) -> (Probe, Signal) {
        let health = self.transport.health(self.tokens.shown()).await;
        match &health {
            Exchange::Reply { body, retry_after, .. } if body.code().is_some_and(HecCode::wants_no_data) => {
                let busy = Probe::Busy { detail: describe(&health) };
                return (busy, Signal::Down { after: *retry_after });
            }
            // Gateways and foreign servers need not have it.
            Exchange::Reply { .. } => {}
            Exchange::Failed { failure, .. } => {
                let probe = Probe::of_failure(*failure, describe(&health));
                return (probe, signal(self.classify(&health), &health).without_strikes());
            }
        }
        let (exchange, disposition) = self.post_nothing().await;
        if matches!(exchange, Exchange::Reply { .. })
            && let Some(tried) = self.ask_for_acks().await
            && let Some(Signal::Hold(reason)) = tried.signal
        {
            let detail = tried.error.unwrap_or_default();
            return (Probe::Refused { reason, detail }, Signal::Hold(reason));
        }
        let detail = describe(&exchange);
        let probe = match &exchange {
            Exchange::Reply { status, .. } => Probe::of_reply(disposition, *status, self.mode, detail),
            Exchange::Failed { failure, .. } => Probe::of_failure(*failure, detail),
        };
        (probe, signal(disposition, &exchange).without_strikes())
    }

    /// With another token, if there is one and the first is refused.
    async fn post_nothing(&self) -> (Exchange, Disposition) {
        let mut left = TOKENS_MAX;
        loop {
            let token = self.tokens.shown();
            let channel =
                self.lanes.as_ref().map_or_else(|| self.learned().channel(), |lanes| lanes.channel());
            let by = By { token: token.clone(), channel, cookies: None };
            let Posted { exchange, set_cookies } = self.transport.post(&Wire::plain(Bytes::new()), by).await;
            self.lanes.iter().for_each(|lanes| lanes.note_cookies(channel, &set_cookies, Instant::now()));
            let disposition = self.classify(&exchange);
            left -= 1;
            if left == 0 || self.judge_token(disposition, &token).await != Disposition::FreshToken {
                return (exchange, disposition);
            }
        }
    }
}
