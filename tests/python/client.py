"""CRUD, watch and patch with the official Python client; fails with an assertion, or prints "all passed"."""

import threading

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
core = client.CoreV1Api()
apps = client.AppsV1Api()
NAMESPACE = "default"


def config_map(name, value):
    metadata = client.V1ObjectMeta(name=name, labels={"from": "python"})
    return client.V1ConfigMap(metadata=metadata, data={"value": value})


def refused(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ApiException as error:
        assert error.status == code, error
        return
    raise AssertionError(f"{call} was not refused")


def crud():
    made = core.create_namespaced_config_map(NAMESPACE, config_map("p", "1"))
    assert made.metadata.uid and made.data == {"value": "1"}
    refused(409, core.create_namespaced_config_map, NAMESPACE, config_map("p", "1"))
    made.data = {"value": "2"}
    replaced = core.replace_namespaced_config_map("p", NAMESPACE, made)
    assert replaced.data == {"value": "2"}
    refused(409, core.replace_namespaced_config_map, "p", NAMESPACE, made)
    patched = core.patch_namespaced_config_map("p", NAMESPACE, {"data": {"more": "3"}})
    assert patched.data == {"value": "2", "more": "3"}
    json_patch = [{"op": "remove", "path": "/data/more"}]
    patched = core.patch_namespaced_config_map("p", NAMESPACE, json_patch)
    assert patched.data == {"value": "2"}
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="from=python")
    assert [item.metadata.name for item in listed.items] == ["p"]
    core.delete_namespaced_config_map("p", NAMESPACE)
    refused(404, core.read_namespaced_config_map, "p", NAMESPACE)
    bad = config_map("Not A Name", "1")
    refused(422, core.create_namespaced_config_map, NAMESPACE, bad)


def watching():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    seen = []

    def change():
        core.create_namespaced_config_map(NAMESPACE, config_map("w", "1"))
        core.patch_namespaced_config_map("w", NAMESPACE, {"data": {"value": "2"}})
        core.delete_namespaced_config_map("w", NAMESPACE)

    writer = threading.Thread(target=change)
    writer.start()
    events = watch.Watch()
    for event in events.stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        label_selector="from=python",
        resource_version=start,
        timeout_seconds=30,
    ):
        seen.append((event["type"], event["object"].data["value"]))
        if event["type"] == "DELETED":
            events.stop()
    writer.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen


def workloads():
    labels = {"app": "py"}
    container = client.V1Container(name="c", image="skep.test/none:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="py"), spec=spec)
    apps.create_namespaced_deployment(NAMESPACE, deployment)
    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "skep.test/none:2"}]}}}}
    patched = apps.patch_namespaced_deployment("py", NAMESPACE, strategic)
    assert patched.spec.template.spec.containers[0].image == "skep.test/none:2"
    scale = apps.read_namespaced_deployment_scale("py", NAMESPACE)
    assert scale.spec.replicas == 0
    apps.delete_namespaced_deployment("py", NAMESPACE)


crud()
watching()
workloads()
print("all passed")
