//! What every scenario stands on: a gateway with a hand-made control plane, backends and clients.
mod backend;
mod bounded;
mod client;
mod collector;
mod grpc;
mod metrics;
mod moody;
mod rig;
mod scripted;
mod site;
mod tls;
mod wire;

pub(crate) use backend::{Backend, Refusing, respond};
pub(crate) use bounded::{LIMIT, bounded, eventually};
pub(crate) use client::{Body, Client, Reply, channel, collect, empty, full};
pub(crate) use collector::{Collector, Says};
pub(crate) use grpc::{GrpcBackend, grpc_client};
pub(crate) use metrics::Metrics;
pub(crate) use moody::{Mood, Moody};
pub(crate) use rig::{Rig, config};
pub(crate) use scripted::Scripted;
pub(crate) use site::{Site, Spec};
pub(crate) use tls::{Authority, Identity, Offer};
pub(crate) use wire::{Head, Wire, dial};
