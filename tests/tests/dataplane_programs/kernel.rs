//! The programs in the kernel without any device: maps filled by hand, packets through BPF_PROG_TEST_RUN.
//!
//! The context's device is the loopback device, index 1.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use agent::dataplane::OBJECT;
use aya::{
    Ebpf, EbpfLoader, Pod, VerifierLogLevel,
    maps::{Array, HashMap, LpmTrie, MapData, lpm_trie},
    programs::{CgroupSockAddr, Program, SchedClassifier},
};
use dataplane::{
    addr::{Addr, PortBe, PortRange, Prefix},
    layout::{
        Backend, Config, FRONTEND_OUTSIDE, Frontend, FrontendKey, KnownNode, LocalPod, NODE_LOCAL, Route,
        SCOPE_ADDRESS, SCOPE_NODE_PORT, SlotKey,
    },
    verdict::{Hook, Reason, drop_index},
};

/// On along the packet's path.
pub(crate) const NEXT: u32 = u32::MAX;
pub(crate) const DROP: u32 = 2;
pub(crate) const REDIRECT: u32 = 7;
/// Index of the loopback device, where the pod 10.42.1.2 is said to be.
pub(crate) const LINK: u32 = 1;
pub(crate) const POD_MAC: [u8; 6] = [0x0a, 0x58, 10, 42, 1, 2];
pub(crate) const OTHER_MAC: [u8; 6] = [0x0a, 0x58, 10, 42, 1, 3];
pub(crate) const OVERLAY_MAC: [u8; 6] = [2, 0x53, 0x4b, 0x45, 0x50, 2];
pub(crate) const OVERLAY_SOURCE_MAC: [u8; 6] = [2, 0x53, 0x4b, 0x45, 0x50, 0x82];

/// A layout as aya wants its keys and values.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw<T: Copy + 'static>(T);

// SAFETY: used with `dataplane::layout` types only, which are plain bytes.
unsafe impl<T: Copy + 'static> Pod for Raw<T> {}

fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<std::net::IpAddr>().unwrap())
}

pub(crate) struct Kernel {
    object: Ebpf,
}

impl Kernel {
    /// Node 192.168.0.1 with pods 10.42.1.2 and .3, beside node 192.168.0.2 that owns 10.42.2.0/24.
    pub(crate) fn load() -> Self {
        let mut loader = EbpfLoader::new();
        let loader = loader
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .allow_unsupported_maps();
        let mut object = loader.load(OBJECT).expect("load the object: root is needed");
        for (name, program) in object.programs_mut() {
            match program {
                Program::SchedClassifier(program) => SchedClassifier::load(program),
                Program::CgroupSockAddr(program) => CgroupSockAddr::load(program),
                _ => panic!("{name} is of no known type"),
            }
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        let mut kernel = Self { object };
        kernel.fill();
        kernel
    }

    fn fill(&mut self) {
        let config = Config {
            node: addr("192.168.0.1"),
            dns: addr("169.254.20.10"),
            hairpin: addr("169.254.42.1"),
            cluster: Prefix::new(addr("10.42.0.0"), 96 + 16),
            services: Prefix::new(addr("10.43.0.0"), 96 + 16),
            overlay_ifindex: LINK,
            uplink_ifindex: LINK,
            overlay_mac: OVERLAY_MAC,
            vxlan_port: PortBe::new(8472),
            node_ports: PortRange {
                first: 30_000,
                last: 32_767,
            },
            masquerade_ports: PortRange {
                first: 61_000,
                last: 65_535,
            },
        };
        let mut map: Array<_, Raw<Config>> = Array::try_from(self.object.map_mut("CONFIG").unwrap()).unwrap();
        map.set(0, Raw(config), 0).unwrap();
        for (last, mac) in [(2, POD_MAC), (3, OTHER_MAC)] {
            let pod = LocalPod {
                ifindex: LINK,
                mac,
                uid_len: 0,
                uid: [0; 36],
            };
            self.put("PODS", Addr::from_v4([10, 42, 1, last]), pod);
        }
        for node in 1..=2u8 {
            let own = Addr::from_v4([192, 168, 0, node]);
            self.put(
                "NODES",
                own,
                KnownNode {
                    flags: if node == 1 { NODE_LOCAL } else { 0 },
                },
            );
            let map = self.object.map_mut("ROUTES").unwrap();
            let mut map: LpmTrie<&mut MapData, Raw<Addr>, Raw<Route>> = LpmTrie::try_from(map).unwrap();
            let key = lpm_trie::Key::new(96 + 24, Raw(Addr::from_v4([10, 42, node, 0])));
            map.insert(&key, Raw(Route { node: own }), 0).unwrap();
        }
    }

    fn put<K: Copy + 'static, V: Copy + 'static>(&mut self, map: &str, key: K, value: V) {
        let map = self.object.map_mut(map).unwrap();
        let mut map: HashMap<&mut MapData, Raw<K>, Raw<V>> = HashMap::try_from(map).unwrap();
        map.insert(Raw(key), Raw(value), 0).unwrap();
    }

    /// A TCP and UDP service 10.43.0.7:80, node port 30080.
    pub(crate) fn serve(&mut self, backends: &[(&str, u16)]) {
        let count = u32::try_from(backends.len()).unwrap();
        for (slot, &(ip, port)) in (0u32..).zip(backends) {
            let backend = Backend {
                addr: addr(ip),
                port: PortBe::new(port),
                protocol: 0,
                reserved: 0,
            };
            self.put("BACKENDS", slot + 1, backend);
            self.put(
                "SLOTS",
                SlotKey {
                    service: 7,
                    generation: 1,
                    slot,
                },
                slot + 1,
            );
        }
        for protocol in [6, 17] {
            for (ip, port, scope, flags) in [
                ("10.43.0.7", 80, SCOPE_ADDRESS, 0),
                ("::", 30_080, SCOPE_NODE_PORT, FRONTEND_OUTSIDE),
            ] {
                let key = FrontendKey {
                    addr: addr(ip),
                    port: PortBe::new(port),
                    protocol,
                    scope,
                };
                self.put(
                    "FRONTENDS",
                    key,
                    Frontend {
                        service: 7,
                        generation: 1,
                        count,
                        flags,
                    },
                );
            }
        }
    }

    pub(crate) fn program(&self, name: &str) -> RawFd {
        match self.object.program(name).unwrap() {
            Program::SchedClassifier(program) => program.fd().unwrap().as_fd().as_raw_fd(),
            _ => panic!("{name} runs at no device"),
        }
    }

    /// What a program returns, and the packet it leaves.
    pub(crate) fn run(&self, name: &str, packet: &[u8]) -> (u32, Vec<u8>) {
        run(self.program(name), packet).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn drops(&self, hook: Hook, reason: Reason) -> u64 {
        let map = self.object.map("DROPS").unwrap();
        let map: aya::maps::PerCpuArray<&MapData, u64> = aya::maps::PerCpuArray::try_from(map).unwrap();
        map.get(&drop_index(hook, reason), 0).unwrap().iter().sum()
    }
}

fn bpf(command: u32, attr: &mut [u8; 128]) -> io::Result<i32> {
    // SAFETY: the attribute is as long as said; what it points to outlives the call in all callers here.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), attr.len()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(result).unwrap())
    }
}

struct Attr([u8; 128]);

impl Attr {
    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn pointer<T: ?Sized>(mut self, at: usize, to: *const T) -> Self {
        self.0[at..at + 8].copy_from_slice(&(to.cast::<u8>().addr() as u64).to_ne_bytes());
        self
    }
}

/// BPF_PROG_TEST_RUN.
pub(crate) fn run(program: RawFd, packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    let mut out = vec![0u8; packet.len() + 256];
    let mut attr = Attr([0; 128])
        .u32(0, program as u32)
        .u32(8, packet.len() as u32)
        .u32(12, out.len() as u32)
        .pointer(16, packet)
        .pointer(24, out.as_mut_slice());
    bpf(10, &mut attr.0)?;
    let word = |at: usize| u32::from_ne_bytes(attr.0[at..at + 4].try_into().unwrap());
    out.truncate(word(12) as usize);
    Ok((word(4), out))
}

/// A program that gives its packet the tunnel metadata of one received from `sender` and goes on to `target`:
/// BPF_PROG_TEST_RUN has no such input.
pub(crate) struct FromTunnel {
    program: OwnedFd,
    _array: OwnedFd,
}

impl FromTunnel {
    pub(crate) fn to(target: RawFd, sender: [u8; 4], vni: u32) -> Self {
        // BPF_MAP_CREATE of a program array with one entry, and its only entry.
        let mut attr = Attr([0; 128]).u32(0, 3).u32(4, 4).u32(8, 4).u32(12, 1);
        let array = owned(bpf(0, &mut attr.0).unwrap());
        let (key, value) = ([0u8; 4], (target as u32).to_ne_bytes());
        let mut attr = Attr([0; 128])
            .u32(0, array.as_raw_fd() as u32)
            .pointer(8, &key[..])
            .pointer(16, &value[..]);
        bpf(2, &mut attr.0).unwrap();
        let instructions = wrapper(array.as_raw_fd(), u32::from_be_bytes(sender), vni);
        let license = c"GPL".to_bytes_with_nul();
        let mut attr = Attr([0; 128])
            .u32(0, 3)
            .u32(4, instructions.len() as u32)
            .pointer(8, instructions.as_slice())
            .pointer(16, license);
        let program = owned(bpf(5, &mut attr.0).unwrap());
        Self { program, _array: array }
    }

    pub(crate) fn run(&self, packet: &[u8]) -> (u32, Vec<u8>) {
        run(self.program.as_raw_fd(), packet).unwrap()
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `struct bpf_tunnel_key` on the stack: identifier at 0, local address (the sender, for who reads it back) at 28.
fn wrapper(array: RawFd, sender: u32, vni: u32) -> Vec<u64> {
    const KEY: i16 = -48;
    let insn = |code: u8, dst: u8, src: u8, offset: i16, value: u32| {
        u64::from(code)
            | u64::from(dst | src << 4) << 8
            | u64::from(offset.cast_unsigned()) << 16
            | u64::from(value) << 32
    };
    let mut code = vec![insn(0xbf, 6, 1, 0, 0)];
    code.extend((0..12).map(|word| insn(0x62, 10, 0, KEY + 4 * word, 0)));
    code.extend([
        insn(0x62, 10, 0, KEY, vni),
        insn(0x62, 10, 0, KEY + 28, sender),
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, i32::from(KEY).cast_unsigned()),
        insn(0xb7, 3, 0, 0, 44),
        insn(0xb7, 4, 0, 0, 0),
        insn(0x85, 0, 0, 0, 21),
        insn(0xbf, 1, 6, 0, 0),
        insn(0x18, 2, 1, 0, array as u32),
        insn(0, 0, 0, 0, 0),
        insn(0xb7, 3, 0, 0, 0),
        insn(0x85, 0, 0, 0, 12),
        insn(0xb7, 0, 0, 0, 99),
        insn(0x95, 0, 0, 0, 0),
    ]);
    code
}
