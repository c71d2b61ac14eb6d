//! Agents: they renew leases, run the pods bound to them and end those that are deleted.

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            coordination::v1::{Lease, LeaseSpec},
            core::v1::{Node, NodeCondition, NodeStatus, Pod, PodCondition, PodIP},
        },
        apimachinery::pkg::{
            api::resource::Quantity,
            apis::meta::v1::{MicroTime, ObjectMeta},
        },
    },
};

use super::Cluster;
use crate::{facts, naming::Hash, node_health::LEASE_NAMESPACE};

impl Cluster {
    /// Adds nodes `node-1`, `node-2`, … with 4 cores, 8 GiB and room for 110 pods.
    pub(crate) fn add_nodes(&mut self, count: usize) {
        for number in 1..=count {
            self.add_node(&format!("node-{number}"));
        }
    }

    pub(crate) fn add_node(&mut self, name: &str) {
        let node = Node {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some([("kubernetes.io/hostname".to_owned(), name.to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        self.server.create(node.into(), self.now).unwrap();
        self.living.insert(name.to_owned());
        self.heartbeat();
        self.settle();
    }

    /// The agent dies; its containers are not looked after.
    pub(crate) fn kill_agent(&mut self, name: &str) {
        self.living.remove(name);
    }

    pub(crate) fn start_agent(&mut self, name: &str) {
        self.living.insert(name.to_owned());
        self.heartbeat();
        self.settle();
    }

    /// Every living agent renews its lease and says how it is, if that is not known.
    pub(super) fn heartbeat(&mut self) {
        for name in self.living.clone() {
            if self.find::<Node>("", &name).is_none() {
                continue;
            }
            let key = ObjectKey::new(Kind::Lease, LEASE_NAMESPACE, &name);
            let lease = Lease {
                metadata: match self.server.get(&key) {
                    Some(present) => present.metadata().clone(),
                    None => ObjectMeta {
                        namespace: Some(LEASE_NAMESPACE.to_owned()),
                        name: Some(name.clone()),
                        ..ObjectMeta::default()
                    },
                },
                spec: Some(LeaseSpec {
                    renew_time: Some(MicroTime(self.now)),
                    ..LeaseSpec::default()
                }),
            };
            self.server.put(lease.into());
            self.report(&name);
        }
    }

    fn report(&mut self, name: &str) {
        let node = self.get::<Node>("", name);
        if crate::node_health::is_ready(node) {
            return;
        }
        let mut node = node.clone();
        let quantity = |amount: &str| Quantity(amount.to_owned());
        let room = [
            ("cpu".to_owned(), quantity("4")),
            ("memory".to_owned(), quantity("8Gi")),
            ("pods".to_owned(), quantity("110")),
        ];
        let condition = |kind: &str, status: &str| NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(facts::stamp(self.now)),
            ..NodeCondition::default()
        };
        let present = node.status.take().unwrap_or_default();
        node.status = Some(NodeStatus {
            allocatable: present.allocatable.or_else(|| Some(room.clone().into())),
            capacity: Some(room.into()),
            conditions: Some(vec![
                condition("MemoryPressure", "False"),
                condition("DiskPressure", "False"),
                condition("PIDPressure", "False"),
                condition("Ready", "True"),
            ]),
            ..NodeStatus::default()
        });
        self.server.put(node.into());
    }

    pub(super) fn run_nodes(&mut self) {
        for name in self.living.clone() {
            if self.find::<Node>("", &name).is_none() {
                continue;
            }
            let pods: Vec<Pod> = self.server.world.pods_on(&name).cloned().collect();
            for pod in pods {
                self.run_pod(pod);
            }
        }
    }

    fn run_pod(&mut self, mut pod: Pod) {
        let key = ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata));
        if facts::is_terminating(&pod.metadata) {
            if self.stops_hang {
                return;
            }
            if pod.metadata.finalizers.iter().flatten().next().is_none() {
                self.server.remove(&key);
            } else if pod.metadata.deletion_grace_period_seconds != Some(0) {
                pod.metadata.deletion_grace_period_seconds = Some(0);
                self.server.put(pod.into());
            }
            return;
        }
        if facts::is_finished(&pod) {
            return;
        }
        let is_broken = pod.spec.iter().flat_map(|spec| &spec.containers).any(|container| {
            container
                .image
                .as_ref()
                .is_some_and(|image| self.broken_images.contains(image))
        });
        let before = pod.clone();
        let address = Hash::new().with(facts::uid(&pod.metadata)).value();
        let status = pod.status.get_or_insert_default();
        status.phase = Some("Running".to_owned());
        let ip = format!("10.42.{}.{}", (address >> 8) & 0xff, address & 0xff);
        status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]);
        status.pod_ip = Some(ip);
        let ready = PodCondition {
            type_: "Ready".to_owned(),
            status: if is_broken { "False" } else { "True" }.to_owned(),
            ..PodCondition::default()
        };
        facts::set_pod_condition(&mut pod, ready, self.now);
        if pod != before {
            self.server.put(Object::from(pod));
        }
    }
}
