//! Archives good and bad, against a store in a temporary directory. Needs root, as unpacking does.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{ImageStore, ImportError};
use crate::image::archive::{ArchiveError, sha256};

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, Cursor::new(content)).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config_json(architecture: &str, diff_ids: &[String]) -> Vec<u8> {
    json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/bin/serve"], "Cmd": null, "Env": ["A=1"], "User": "7:8", "StopSignal": "SIGQUIT"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string()
    .into_bytes()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An OCI layout with one gzipped layer.
struct Layout {
    layer: Vec<u8>,
    config: Vec<u8>,
    name: Option<&'static str>,
    layer_digest: String,
}

impl Layout {
    fn new(name: Option<&'static str>) -> Layout {
        let plain = tar_of(&[("bin/serve", b"#!/bin/sh\n")]);
        let layer = gzip(&plain);
        Layout {
            layer_digest: sha256(&layer),
            config: config_json(architecture(), &[sha256(&plain)]),
            layer,
            name,
        }
    }

    fn tar(&self) -> Vec<u8> {
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&self.config), "size": 1},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": self.layer_digest, "size": 1}],
        })
        .to_string()
        .into_bytes();
        let mut descriptor =
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(&manifest), "size": 1});
        if let Some(name) = self.name {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        let blob = |digest: &str| {
            format!(
                "blobs/sha256/{}",
                digest.trim_start_matches("sha256:").trim_start_matches('/')
            )
        };
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string();
        tar_of(&[
            // Blobs first: nobody promises an order.
            (&blob(&self.layer_digest), &self.layer),
            (&blob(&sha256(&self.config)), &self.config),
            (&blob(&sha256(&manifest)), &manifest),
            ("./index.json", index.as_bytes()),
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ])
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: ImageStore,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        Bench { dir, store }
    }

    fn import(&self, file: &str, bytes: &[u8]) -> Result<Vec<super::ImportedImage>, ImportError> {
        let path: PathBuf = self.dir.path().join(file);
        fs::write(&path, bytes).unwrap();
        self.store.import(&path, None, &mut |_| {})
    }

    fn resolves(&self, name: &str) -> bool {
        self.store.resolve(name).unwrap().is_some()
    }
}

#[test]
fn an_oci_layout_is_found_by_every_form_of_its_name() {
    let bench = Bench::new();
    let imported = bench.import("x.tar", &Layout::new(Some("web:v1")).tar()).unwrap();
    assert_eq!(imported[0].names, ["docker.io/library/web:v1"]);
    assert_eq!((imported[0].layers_new, imported[0].size_bytes), (1, 10));
    let image = bench.store.resolve("web:v1").unwrap().unwrap();
    let digest = image.manifest_digest.clone().unwrap();
    for name in [
        "docker.io/library/web:v1",
        "library/web:v1",
        &format!("web@{digest}"),
        &image.id,
    ] {
        assert!(bench.resolves(name), "{name}");
    }
    for name in ["web", "web:v2", "other:v1", &format!("other@{digest}")] {
        assert!(!bench.resolves(name), "{name}");
    }
    assert_eq!(image.image_id(), format!("docker.io/library/web@{digest}"));
    assert_eq!(image.config.entrypoint, ["/bin/serve"]);
    assert_eq!((image.config.cmd.len(), image.config.user.as_str()), (0, "7:8"));
    let lower = bench.store.layers_dir().join(&image.lower_dirs()[0]);
    assert!(lower.join("bin/serve").is_file());
}

#[test]
fn names_come_from_the_archive_the_file_or_the_caller() {
    for (annotation, file, full) in [
        (Some("registry.example/a/b:2"), "x.tar", "registry.example/a/b:2"),
        (Some("latest"), "Web.tar", "docker.io/library/web:latest"),
        (None, "web.tar.gz", "docker.io/library/web:latest"),
    ] {
        let bench = Bench::new();
        let imported = bench.import(file, &Layout::new(annotation).tar()).unwrap();
        assert_eq!(imported[0].names, [full], "{annotation:?} {file}");
    }
    let bench = Bench::new();
    let path = bench.dir.path().join("a.tar");
    fs::write(&path, Layout::new(Some("web:v1")).tar()).unwrap();
    let imported = bench.store.import(&path, Some("given:1"), &mut |_| {}).unwrap();
    assert_eq!(imported[0].names, ["docker.io/library/given:1"]);
}

#[test]
fn a_docker_archive_is_taken_plain_and_gzipped_and_layers_are_shared() {
    let plain = tar_of(&[("bin/serve", b"#!/bin/sh\n")]);
    let config = config_json(architecture(), &[sha256(&plain)]);
    let name = format!("{}.json", sha256(&config).trim_start_matches("sha256:"));
    let manifest = json!([{"Config": name, "RepoTags": ["web:v2", "web:latest"], "Layers": ["l/layer.tar"]}]);
    let archive = tar_of(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        ("l/layer.tar", &plain),
        (&name, &config),
    ]);
    for bytes in [archive.clone(), gzip(&archive)] {
        let bench = Bench::new();
        let imported = bench.import("x.tar", &bytes).unwrap();
        assert_eq!(
            imported[0].names,
            ["docker.io/library/web:v2", "docker.io/library/web:latest"]
        );
        assert!(bench.resolves("web") && bench.resolves("web:v2"));
        // The same layer in another archive is not unpacked again.
        let again = bench.import("y.tar", &Layout::new(Some("other:1")).tar()).unwrap();
        assert_eq!(again[0].layers_new, 0);
    }
}

#[test]
fn one_name_is_for_one_image() {
    let plain = tar_of(&[("bin/serve", b"#!/bin/sh\n")]);
    let config = config_json(architecture(), &[sha256(&plain)]);
    let name = format!("{}.json", sha256(&config).trim_start_matches("sha256:"));
    let image = |tag: &str| json!({"Config": name, "RepoTags": [tag], "Layers": ["l/layer.tar"]});
    let archive = tar_of(&[
        (
            "manifest.json",
            json!([image("a:1"), image("b:1")]).to_string().as_bytes(),
        ),
        ("l/layer.tar", &plain),
        (&name, &config),
    ]);
    let bench = Bench::new();
    let path = bench.dir.path().join("two.tar");
    fs::write(&path, archive).unwrap();
    let refused = bench.store.import(&path, Some("given:1"), &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ImportError::OneName { count: 2 }), "{refused}");
    assert_eq!(bench.store.import(&path, None, &mut |_| {}).unwrap().len(), 2);
}

#[test]
fn a_name_moves_to_the_newer_image_and_the_older_keeps_its_others() {
    let bench = Bench::new();
    bench.import("x.tar", &Layout::new(Some("web:v1")).tar()).unwrap();
    let before = bench.store.resolve("web:v1").unwrap().unwrap();
    let mut other = Layout::new(Some("web:v1"));
    let mut config: Value = serde_json::from_slice(&other.config).unwrap();
    config["config"]["Cmd"] = json!(["-v"]);
    other.config = config.to_string().into_bytes();
    bench.import("x.tar", &other.tar()).unwrap();
    let after = bench.store.resolve("web:v1").unwrap().unwrap();
    assert_ne!(before.id, after.id);
    assert_eq!(bench.store.list().unwrap().len(), 2);
    assert!(bench.store.resolve(&before.id).unwrap().unwrap().names.is_empty());
}

#[test]
fn what_is_damaged_or_foreign_is_refused_and_leaves_nothing() {
    let mut wrong_layer = Layout::new(Some("web:v1"));
    wrong_layer.layer = gzip(&tar_of(&[("bin/evil", b"x")]));
    let mut wrong_diff = Layout::new(Some("web:v1"));
    wrong_diff.config = config_json(architecture(), &[format!("sha256:{}", "0".repeat(64))]);
    let mut foreign = Layout::new(Some("web:v1"));
    foreign.config = config_json("riscv64", &[format!("sha256:{}", "0".repeat(64))]);
    let mut climbing = Layout::new(Some("web:v1"));
    climbing.layer_digest = "sha256:/etc/passwd".to_owned();
    let mut truncated = Layout::new(Some("web:v1")).tar();
    truncated.truncate(700);
    type Expected = fn(&ImportError) -> bool;
    let cases: [(&str, Vec<u8>, Expected); 7] = [
        ("another layer under the digest", wrong_layer.tar(), |err| {
            matches!(err, ImportError::LayerDigest { .. })
        }),
        ("another diff id", wrong_diff.tar(), |err| {
            matches!(err, ImportError::LayerDigest { .. })
        }),
        ("another machine", foreign.tar(), |err| {
            matches!(
                err,
                ImportError::Archive {
                    source: ArchiveError::Platform { .. },
                    ..
                }
            )
        }),
        ("a digest that is a path", climbing.tar(), |err| {
            matches!(
                err,
                ImportError::Archive {
                    source: ArchiveError::UnknownDigest(_),
                    ..
                }
            )
        }),
        ("cut off", truncated, |err| matches!(err, ImportError::Archive { .. })),
        ("not an image", tar_of(&[("hello", b"x")]), |err| {
            matches!(
                err,
                ImportError::Archive {
                    source: ArchiveError::NotAnImage,
                    ..
                }
            )
        }),
        ("not an archive", b"hello world".to_vec(), |err| {
            matches!(err, ImportError::Archive { .. })
        }),
    ];
    for (name, bytes, expected) in cases {
        let bench = Bench::new();
        let err = bench.import("x.tar", &bytes).unwrap_err();
        assert!(expected(&err), "{name}: {err:?}");
        assert!(bench.store.list().unwrap().is_empty(), "{name}");
        let left: Vec<_> = fs::read_dir(bench.store.layers_dir()).unwrap().collect();
        assert!(left.is_empty(), "{name}: {left:?}");
        assert!(!bench.store.dir().join("tmp").exists(), "{name}");
    }
}

#[test]
fn an_archive_that_is_cut_off_is_refused_even_if_its_layers_are_here() {
    let plain = tar_of(&[("bin/serve", &[7; 4000])]);
    let config = config_json(architecture(), &[sha256(&plain)]);
    let manifest = json!([{"Config": "c.json", "RepoTags": ["web:v2"], "Layers": ["l/layer.tar"]}]);
    let docker = tar_of(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        ("c.json", &config),
        ("l/layer.tar", &plain),
    ]);
    let bench = Bench::new();
    bench.import("x.tar", &docker).unwrap();
    // Within the layer, which is the last entry, and between the entries before it. 1024 bytes mark the end.
    let layer_from = docker.len() - 1024 - plain.len();
    for length in [docker.len() - 1024 - 1, layer_from, layer_from - 512, 512 + 200] {
        let err = bench.import("x.tar", &docker[..length]).unwrap_err();
        let said = crate::causes::chain(&err);
        assert!(matches!(err, ImportError::Archive { .. }), "{length}: {said}");
        assert!(
            said.contains("cut off") || said.contains("does not contain"),
            "{length}: {said}"
        );
    }
}

#[test]
fn what_is_no_archive_is_refused_in_letters_that_a_terminal_can_show() {
    let bench = Bench::new();
    let mut layer = Layout::new(Some("web:v1"));
    layer.layer = [0x1b; 2048].to_vec();
    layer.layer_digest = sha256(&layer.layer);
    for (name, bytes) in [("archive", vec![0x1b; 4096]), ("layer", layer.tar())] {
        let err = bench.import("x.tar", &bytes).unwrap_err();
        let said = crate::causes::chain(&err);
        assert!(!said.contains(char::is_control) && said.len() < 500, "{name}: {said:?}");
    }
}

#[test]
fn imports_from_several_processes_or_threads_wait_for_each_other() {
    let bench = Bench::new();
    let names = ["a:1", "b:1", "c:1", "d:1"];
    std::thread::scope(|scope| {
        for name in names {
            let store = ImageStore::open(bench.dir.path()).unwrap();
            let path = bench.dir.path().join(name);
            scope.spawn(move || {
                fs::write(&path, Layout::new(Some(name)).tar()).unwrap();
                store.import(&path, None, &mut |_| {}).unwrap();
            });
        }
    });
    for name in names {
        assert!(bench.resolves(name), "{name}");
    }
}

#[test]
fn progress_ends_at_the_total() {
    let bench = Bench::new();
    let path = bench.dir.path().join("x.tar");
    fs::write(&path, Layout::new(Some("web:v1")).tar()).unwrap();
    let mut last = None;
    bench
        .store
        .import(Path::new(&path), None, &mut |progress| last = Some(progress))
        .unwrap();
    let last = last.unwrap();
    assert_eq!(last.bytes_done, last.bytes_total);
}
