//! Every decision of the cluster as a pure function: `plan(world, key, context) -> Plan`.
//!
//! Never here: clocks, randomness, async, files, sockets. `now` and `seed` are arguments ([`plan::Context`]).
//! The one driver in `control` carries plans out; the agent carries out those of the pod machine.

pub mod availability;
mod builtin;
mod cluster_roles;
mod conditions;
mod defaults;
pub mod definitions;
mod deployment;
pub mod endpointslice;
mod eviction;
mod facts;
mod garbage;
mod leftover_pods;
mod matching;
mod namespace;
mod naming;
pub mod node_health;
mod node_ranges;
pub mod plan;
pub mod planners;
pub mod pod;
pub mod pod_resources;
pub mod protection;
pub mod quota;
pub mod renewal;
mod replicaset;
mod scheduler;
#[cfg(test)]
mod simulation;
pub mod withdrawal;
pub mod world;

pub use plan::{Action, Context, Plan, Planner, Removal, Waiting};
pub use planners::{PlannerConfig, planners};
pub use world::World;
