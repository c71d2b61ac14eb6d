//! Volumes in a temporary directory. Those in memory are mounted, so this needs root.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use api::k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Sources, VolumeError, binds, prepare, refresh, release, within};
use crate::{
    pods::{
        fields::PodFacts,
        objects::Objects,
        tokens::{self, Answer},
    },
    runtime::spec::Access,
};

struct Bench {
    dir: tempfile::TempDir,
    pod: Pod,
    objects: Objects,
    facts: PodFacts,
}

impl Bench {
    fn new(volumes: Value, mounts: Value) -> Bench {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web", "tier": "b"}},
            "spec": {
                "volumes": volumes,
                "containers": [{"name": "c", "volumeMounts": mounts, "resources": {"limits": {"cpu": "2"}}}],
            },
        });
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
            pod: serde_json::from_value(pod).unwrap(),
            objects: Objects::default(),
            facts: PodFacts::default(),
        };
        bench.config_map(json!({"a": "1", "b": "2"}));
        let secret = json!({"metadata": {"namespace": "ns", "name": "se"}, "data": {"key": "c2VjcmV0"}});
        bench.objects.put_secret(serde_json::from_value(secret).unwrap());
        bench
    }

    fn config_map(&self, data: Value) {
        let map = json!({"metadata": {"namespace": "ns", "name": "cm"}, "data": data});
        self.objects.put_config_map(serde_json::from_value(map).unwrap());
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            pod: &self.pod,
            facts: &self.facts,
            objects: &self.objects,
            dir: self.dir.path(),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap_or_else(|err| format!("({err})"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        release(&self.dir.path().join("none")).unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap().flatten() {
            super::unmount(&entry.path()).unwrap();
        }
    }
}

#[test]
fn objects_become_files() {
    let bench = Bench::new(
        json!([
            {"name": "all", "configMap": {"name": "cm", "defaultMode": 0o400}},
            {"name": "some", "configMap": {"name": "cm", "items": [{"key": "b", "path": "x/y", "mode": 0o600}]}},
            {"name": "secret", "secret": {"secretName": "se"}},
            {"name": "none", "configMap": {"name": "none", "optional": true}},
            {"name": "down", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
            ]}},
            {"name": "all-in-one", "projected": {"sources": [
                {"configMap": {"name": "cm"}}, {"secret": {"name": "se"}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ]}},
        ]),
        json!([]),
    );
    prepare(&bench.sources()).unwrap();
    for (path, text) in [
        ("all/a", "1"),
        ("all/b", "2"),
        ("some/x/y", "2"),
        ("secret/key", "secret"),
        ("down/labels", "app=\"web\"\ntier=\"b\""),
        ("down/cpu", "2"),
        ("all-in-one/a", "1"),
        ("all-in-one/key", "secret"),
        ("all-in-one/name", "p"),
    ] {
        assert_eq!(bench.read(path), text, "{path}");
    }
    let mode = |path: &str| fs::metadata(bench.dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("all/a"), mode("some/x/y"), mode("down/cpu")),
        (0o400, 0o600, 0o644)
    );
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(
        device(&bench.dir.path().join("secret")),
        device(bench.dir.path()),
        "secrets lie in memory"
    );
    assert_eq!(
        fs::read_dir(bench.dir.path().join("none"))
            .unwrap()
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with(".."))
            .count(),
        0
    );
}

#[test]
fn a_change_replaces_all_files_at_once_and_no_change_none() {
    let bench = Bench::new(json!([{"name": "v", "configMap": {"name": "cm"}}]), json!([]));
    prepare(&bench.sources()).unwrap();
    let data = bench.dir.path().join("v/..data");
    let before = fs::read_link(&data).unwrap();
    assert!(refresh(&bench.sources()).is_empty());
    assert_eq!(fs::read_link(&data).unwrap(), before);
    let open = fs::File::open(bench.dir.path().join("v/a")).unwrap();
    bench.config_map(json!({"a": "new", "c": "3"}));
    assert!(refresh(&bench.sources()).is_empty());
    assert_ne!(fs::read_link(&data).unwrap(), before);
    assert_eq!((bench.read("v/a").as_str(), bench.read("v/c").as_str()), ("new", "3"));
    assert!(!bench.dir.path().join("v/b").exists() && fs::symlink_metadata(bench.dir.path().join("v/b")).is_err());
    assert!(!bench.dir.path().join("v").join(before).exists());
    drop(open);
    bench.objects.remove_config_map("ns", "cm");
    let failures = refresh(&bench.sources());
    assert!(
        matches!(&failures[..], [(name, VolumeError::ConfigMap(_))] if name == "v"),
        "{failures:?}"
    );
    assert_eq!(bench.read("v/a"), "new", "what is there stays");
}

#[test]
fn what_an_ended_writer_left_goes_with_the_next_change() {
    let bench = Bench::new(json!([{"name": "v", "configMap": {"name": "cm"}}]), json!([]));
    prepare(&bench.sources()).unwrap();
    let volume = bench.dir.path().join("v");
    fs::create_dir(volume.join("..2020_01_01_00_00_00.1")).unwrap();
    fs::write(volume.join("..2020_01_01_00_00_00.1").join("a"), "old").unwrap();
    bench.config_map(json!({"a": "other"}));
    assert!(refresh(&bench.sources()).is_empty());
    let hidden = fs::read_dir(&volume).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("..20")
    });
    assert_eq!(hidden.count(), 1);
}

#[test]
fn what_cannot_be_made_is_said() {
    for (volume, message) in [
        (json!({"configMap": {"name": "none"}}), "configmap \"none\" not found"),
        (json!({"secret": {"secretName": "none"}}), "secret \"none\" not found"),
        (
            json!({"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
            "configmap \"cm\" has no key \"z\"",
        ),
        (
            json!({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../z"}]}}),
            "path \"../z\" leads out of the volume",
        ),
        (
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
            "the token of the pod's service account has not come",
        ),
        (
            json!({"hostPath": {"path": "/proc/self/status", "type": "Directory"}}),
            "hostPath type check failed: /proc/self/status is not a directory",
        ),
    ] {
        let mut volume = volume;
        volume["name"] = json!("v");
        let bench = Bench::new(json!([volume]), json!([]));
        let (name, err) = prepare(&bench.sources()).unwrap_err();
        assert_eq!((name.as_str(), err.to_string().as_str()), ("v", message));
    }
    for volume in [
        json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}}),
        json!({"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "bundle"}}]}}),
    ] {
        let bench = Bench::new(json!([volume]), json!([]));
        assert!(matches!(prepare(&bench.sources()), Err((_, VolumeError::Unsupported))));
    }
}

#[test]
fn a_token_lies_beside_what_it_is_used_with_and_is_replaced() {
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]);
    let bench = Bench::new(json!([{"name": "v", "projected": {"sources": sources}}]), json!([]));
    let take = |text: &str| {
        let key = tokens::key(&bench.pod, None, Some(3607));
        let answer = Answer::Is {
            text: text.to_owned(),
            refresh_at: api::Timestamp::MAX,
        };
        bench.objects.put_token(key, answer);
    };
    take("one");
    prepare(&bench.sources()).unwrap();
    let files = ["v/token", "v/ca.crt", "v/namespace"].map(|path| bench.read(path));
    assert_eq!(files, ["one", "1", "ns"]);
    take("two");
    assert!(refresh(&bench.sources()).is_empty());
    assert_eq!(bench.read("v/token"), "two");
}

#[test]
fn empty_directories_on_disk_and_in_memory() {
    let bench = Bench::new(
        json!([{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]),
        json!([]),
    );
    prepare(&bench.sources()).unwrap();
    fs::write(bench.dir.path().join("m/x"), "kept").unwrap();
    prepare(&bench.sources()).unwrap();
    assert_eq!(bench.read("m/x"), "kept", "making it again leaves it alone");
    let too_much = fs::write(bench.dir.path().join("m/y"), vec![0_u8; 2 << 20]);
    assert_eq!(too_much.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let mode = fs::metadata(bench.dir.path().join("d")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o777);
}

#[test]
fn mounts_become_binds_in_order() {
    let bench = Bench::new(
        json!([{"name": "d", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm"}}, {"name": "h", "hostPath": {"path": "/usr"}}]),
        json!([
            {"name": "d", "mountPath": "/data/deep", "subPathExpr": "$(WHO)/x"},
            {"name": "c", "mountPath": "/data"},
            {"name": "h", "mountPath": "/a", "readOnly": true},
        ]),
    );
    prepare(&bench.sources()).unwrap();
    let env = [("WHO".to_owned(), "me".to_owned())];
    let container = &bench.pod.spec.as_ref().unwrap().containers[0];
    let binds = binds(&bench.sources(), container, &env).unwrap();
    let seen: Vec<(&str, &Path, Access)> = binds
        .iter()
        .map(|bind| (bind.target.as_str(), bind.source.as_path(), bind.access))
        .collect();
    let dir = bench.dir.path().canonicalize().unwrap();
    assert_eq!(
        seen,
        [
            ("/a", Path::new("/usr"), Access::ReadOnly),
            ("/data", &dir.join("c"), Access::ReadOnly),
            ("/data/deep", &dir.join("d/me/x"), Access::ReadWrite),
        ]
    );
}

#[test]
fn a_path_within_a_volume_stays_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("v");
    fs::create_dir_all(volume.join("inside")).unwrap();
    symlink("/etc", volume.join("absolute")).unwrap();
    symlink("../..", volume.join("above")).unwrap();
    symlink("inside", volume.join("fine")).unwrap();
    for path in [
        "../x",
        "a/../../x",
        "/etc",
        "absolute",
        "absolute/passwd",
        "above",
        "above/x",
    ] {
        assert!(matches!(within(&volume, path), Err(VolumeError::Escapes(_))), "{path}");
    }
    assert_eq!(
        within(&volume, "fine").unwrap(),
        volume.canonicalize().unwrap().join("inside")
    );
    assert_eq!(
        within(&volume, "new/deep").unwrap(),
        volume.canonicalize().unwrap().join("new/deep")
    );
}
