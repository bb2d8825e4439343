//! Exchanging the attention of a trained network for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{NAME, Recorder};
use crate::graph::Value;
use crate::nn::{Attend, Layout};
use crate::{Error, ErrorKind, Result};

/// What takes the place of layers' attention.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    attend: Arc<dyn Attend>,
    /// Numbers of the layers that take it; all where absent.
    layers: Option<Arc<[usize]>>,
    /// Layers so far whose attention can be exchanged, of whichever recorder of the network.
    recorded: Arc<AtomicUsize>,
}

impl Recorder<'_> {
    /// Puts `attend` in the place of the attention between the projections of every [`SelfAttention`](crate::nn::SelfAttention), its masks and
    /// score modifiers with it: to see what another method costs a trained model in error, and gains in time. Attention over another
    /// sequence stays, and so do layers with projections of their own, such as Longformer's.
    #[must_use]
    pub fn exchange(mut self, attend: Arc<dyn Attend>) -> Self {
        self.settings.exchange = Some(Exchange { attend, layers: None, recorded: Arc::default() });
        self
    }

    /// [`Recorder::exchange`] in some of these layers, by their numbers from 0 on in the order in which they are recorded.
    #[must_use]
    pub fn exchange_in(mut self, attend: Arc<dyn Attend>, layers: &[usize]) -> Self {
        let layers = Some(Arc::from(layers));
        self.settings.exchange = Some(Exchange { attend, layers, recorded: Arc::default() });
        self
    }

    /// What `attend`, or what was put in its place, makes of query, key and value.
    pub(crate) fn attend(
        &mut self,
        attend: &dyn Attend,
        [query, key, value]: [Value; 3],
        layout: &Layout,
    ) -> Result<Value> {
        let Some(other) = self.settings.exchange.clone() else {
            return attend.record(self, query, key, value, layout);
        };
        let number = other.recorded.fetch_add(1, Ordering::Relaxed);
        match &other.layers {
            Some(layers) if !layers.contains(&number) => attend.record(self, query, key, value, layout),
            _ => other.attend.record(self, query, key, value, layout),
        }
    }

    /// Fails when there is an attention to put in the place of others and no layer has taken it, or one that should does not exist.
    pub(crate) fn check_exchanged(&self) -> Result<()> {
        let Some(exchange) = &self.settings.exchange else { return Ok(()) };
        let recorded = exchange.recorded.load(Ordering::Relaxed);
        if recorded == 0 {
            return Err(Error::new(ErrorKind::Unsupported, NAME, "exchange")
                .expecting("a network with layers whose attention can be exchanged")
                .but_found("none"));
        }
        match exchange.layers.iter().flat_map(|layers| layers.iter()).find(|layer| **layer >= recorded) {
            Some(layer) => Err(Error::new(ErrorKind::Argument, NAME, "exchange")
                .expecting(format!("layers below {recorded}"))
                .but_found(layer)),
            None => Ok(()),
        }
    }
}
