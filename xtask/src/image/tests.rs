//! What an archive holds.

use std::io::Read;

use super::*;

fn blobs(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut reader = tar::Archive::new(archive);
    for entry in reader.entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let path = entry.path().expect("path").to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        files.insert(path, content);
    }
    files
}

fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().expect("digest").replace(':', "/");
    let content = &files[&format!("blobs/{digest}")];
    assert_eq!(content.len() as u64, descriptor["size"].as_u64().expect("size"));
    content
}

#[test]
fn an_archive_leads_from_its_index_to_its_files() {
    let archive = Image::new("skep.test/app:2")
        .file("srv/deep/file", "content", 0o600)
        .link("srv/link", "/srv/deep/file")
        .directory("tmp", 0o1777)
        .entrypoint(&["/bin/app"])
        .archive()
        .expect("archive");
    let files = blobs(&archive);
    let index: Value = serde_json::from_slice(&files["index.json"]).expect("index");
    assert_eq!(
        index["manifests"][0]["annotations"]["io.containerd.image.name"],
        "skep.test/app:2"
    );
    let manifest: Value = serde_json::from_slice(blob(&files, &index["manifests"][0])).expect("manifest");
    let config: Value = serde_json::from_slice(blob(&files, &manifest["config"])).expect("config");
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/app"]));
    let layer = blob(&files, &manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(layer));
    let paths: Vec<String> = blobs(layer).into_keys().collect();
    assert_eq!(paths, ["srv/", "srv/deep/", "srv/deep/file", "srv/link", "tmp/"]);
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let image = Image::new("skep.test/app:1").file("a", "1", 0o644);
    assert_eq!(image.archive().expect("archive"), image.archive().expect("archive"));
}
