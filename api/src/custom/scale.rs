//! Where a custom kind keeps what its `scale` subresource shows.

use serde_json::{Map, Value, json};

use super::path::Path;

/// The fields behind a Scale.
#[derive(Debug)]
pub(super) struct ScalePaths {
    wanted: Vec<String>,
    present: Path,
    selector: Option<Path>,
}

impl ScalePaths {
    /// The paths of `subresources.scale`; none if it is absent or malformed.
    pub(super) fn parse(scale: &Value) -> Option<ScalePaths> {
        let path = |field: &str| Path::parse(scale[field].as_str()?).ok();
        Some(ScalePaths {
            wanted: path("specReplicasPath")?
                .fields()?
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            present: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }

    /// Replicas asked for, replicas there, selector.
    pub(super) fn of(&self, object: &Value) -> (i64, i64, String) {
        let wanted = self.wanted.iter().try_fold(object, |value, name| value.get(name));
        let present = self.present.first(object);
        let selector = self.selector.as_ref().and_then(|path| path.first(object)?.as_str());
        (
            wanted.and_then(Value::as_i64).unwrap_or(0),
            present.and_then(Value::as_i64).unwrap_or(0),
            selector.unwrap_or_default().to_owned(),
        )
    }

    pub(super) fn set(&self, object: &mut Value, replicas: i64) {
        let mut value = object;
        for name in &self.wanted {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            value = &mut value[name.as_str()];
        }
        *value = json!(replicas);
    }
}
