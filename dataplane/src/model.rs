//! Maps in memory, for the tests of the paths.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::{
    addr::{Addr, PortBe, PortRange, Prefix},
    layout::{
        AFFINITY_SHIFT, Affinity, AffinityKey, Backend, Config, FRONTEND_OUTSIDE, Flow, FlowKey, FragmentKey,
        FragmentPorts, Frontend, FrontendKey, KnownNode, LocalPod, NODE_LOCAL, Route, SCOPE_ADDRESS, SCOPE_NODE_PORT,
        SLOT_OF_MEMBER, Scratch, SlotKey,
    },
    tables::{AddError, Tables},
};

pub(crate) fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<core::net::IpAddr>().unwrap())
}

/// Node 1 of three: 192.168.0.N owns 10.42.N.0/24; local pods 10.42.1.2 to 10.42.1.4 at interfaces 2 to 4.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) config: Option<Config>,
    pub(crate) pods: HashMap<Addr, LocalPod>,
    pub(crate) nodes: HashMap<Addr, KnownNode>,
    pub(crate) routes: Vec<(Prefix, Route)>,
    pub(crate) frontends: HashMap<FrontendKey, Frontend>,
    pub(crate) slots: HashMap<SlotKey, u32>,
    pub(crate) backends: HashMap<u32, Backend>,
    pub(crate) affinities: RefCell<HashMap<AffinityKey, Affinity>>,
    pub(crate) turns: RefCell<HashMap<u32, u64>>,
    /// Leaked, so that references outlive a removal as they do under RCU.
    pub(crate) flows: RefCell<HashMap<FlowKey, &'static Flow>>,
    pub(crate) flows_max: usize,
    /// Look-ups of flows so far: what a packet costs.
    pub(crate) flow_lookups: Cell<u32>,
    pub(crate) fragments: RefCell<HashMap<FragmentKey, FragmentPorts>>,
    pub(crate) now: Cell<u32>,
    pub(crate) chance: Cell<u32>,
}

pub(crate) const POD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

impl Model {
    pub(crate) fn node_1() -> Self {
        let mut model = Self {
            flows_max: 1_000,
            ..Self::default()
        };
        model.now.set(1_000);
        model.config = Some(Config {
            node: addr("192.168.0.1"),
            dns: addr("169.254.20.10"),
            hairpin: addr("169.254.42.1"),
            cluster: Prefix::new(addr("10.42.0.0"), 96 + 16),
            services: Prefix::new(addr("10.43.0.0"), 96 + 16),
            overlay_ifindex: 90,
            uplink_ifindex: 91,
            overlay_mac: [2, 0, 0, 0, 0, 1],
            vxlan_port: PortBe::new(8472),
            node_ports: PortRange {
                first: 30000,
                last: 32767,
            },
            masquerade_ports: PortRange {
                first: 61000,
                last: 61003,
            },
        });
        for n in 1..=3u8 {
            let node = Addr::from_v4([192, 168, 0, n]);
            model.nodes.insert(
                node,
                KnownNode {
                    flags: if n == 1 { NODE_LOCAL } else { 0 },
                },
            );
            model
                .routes
                .push((Prefix::new(Addr::from_v4([10, 42, n, 0]), 96 + 24), Route { node }));
        }
        for host in 2..=4u8 {
            let pod = LocalPod {
                ifindex: host.into(),
                mac: POD_MAC,
                uid_len: 0,
                uid: [0; 36],
            };
            model.pods.insert(Addr::from_v4([10, 42, 1, host]), pod);
        }
        model
    }

    /// A TCP and UDP service 10.43.0.1:80, node port 30080, external address 203.0.113.9:80.
    pub(crate) fn serve(&mut self, backends: &[(&str, u16)]) {
        for (slot, &(ip, port)) in (0u32..).zip(backends) {
            let id = slot + 100;
            self.slots.insert(
                SlotKey {
                    service: 5,
                    generation: 1,
                    slot,
                },
                id,
            );
            let backend = Backend {
                addr: addr(ip),
                port: PortBe::new(port),
                protocol: 0,
                reserved: 0,
            };
            self.backends.insert(id, backend);
        }
        let count = u32::try_from(backends.len()).unwrap();
        for protocol in [6, 17] {
            for (ip, port, scope, flags) in [
                ("10.43.0.1", 80, SCOPE_ADDRESS, 0),
                ("203.0.113.9", 80, SCOPE_ADDRESS, FRONTEND_OUTSIDE),
                ("::", 30080, SCOPE_NODE_PORT, FRONTEND_OUTSIDE),
            ] {
                let key = FrontendKey {
                    addr: addr(ip),
                    port: PortBe::new(port),
                    protocol,
                    scope,
                };
                self.frontends.insert(
                    key,
                    Frontend {
                        service: 5,
                        generation: 1,
                        count,
                        flags,
                    },
                );
            }
        }
    }

    /// Gives the service affinity.
    pub(crate) fn keep_clients(&mut self, affinity_s: u32) {
        for frontend in self.frontends.values_mut() {
            frontend.flags |= affinity_s << AFFINITY_SHIFT;
        }
        let members: Vec<_> = self.slots.iter().map(|(key, &id)| (*key, id)).collect();
        for (key, id) in members {
            let slot = SLOT_OF_MEMBER | id;
            self.slots.insert(SlotKey { slot, ..key }, id);
        }
    }
}

impl Tables for Model {
    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    fn pod(&self, addr: &Addr) -> Option<&LocalPod> {
        self.pods.get(addr)
    }

    fn node(&self, addr: &Addr) -> Option<&KnownNode> {
        self.nodes.get(addr)
    }

    fn route(&self, addr: &Addr) -> Option<&Route> {
        self.routes
            .iter()
            .find(|(range, _)| range.contains(addr))
            .map(|(_, route)| route)
    }

    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend> {
        self.frontends.get(key)
    }

    fn slot(&self, key: &SlotKey) -> Option<u32> {
        self.slots.get(key).copied()
    }

    fn backend(&self, id: u32) -> Option<&Backend> {
        self.backends.get(&id)
    }

    fn turn(&self, service: u32) -> Option<u64> {
        let mut turns = self.turns.borrow_mut();
        let turn = turns.entry(service).or_default();
        *turn += 1;
        Some(*turn - 1)
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinities.borrow().get(key).copied()
    }

    fn set_affinity(&self, key: &AffinityKey, affinity: &Affinity) {
        self.affinities.borrow_mut().insert(*key, *affinity);
    }

    fn flow(&self, key: &FlowKey) -> Option<&Flow> {
        self.flow_lookups.set(self.flow_lookups.get() + 1);
        self.flows.borrow().get(key).copied()
    }

    fn add_flow(&self, key: &FlowKey, flow: &Flow) -> Result<(), AddError> {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Err(AddError::Exists);
        }
        if flows.len() >= self.flows_max {
            return Err(AddError::Full);
        }
        flows.insert(*key, Box::leak(Box::new(flow.clone())));
        Ok(())
    }

    fn remove_flow(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        self.fragments.borrow().get(key).copied()
    }

    fn add_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) {
        self.fragments.borrow_mut().insert(*key, *ports);
    }

    fn scratch(&self) -> Option<&mut Scratch> {
        Some(Box::leak(Box::default()))
    }

    fn now_s(&self) -> u32 {
        self.now.get()
    }

    fn random(&self) -> u32 {
        self.chance.get()
    }
}
