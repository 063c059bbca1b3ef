"""An operator of cells as people write it with kopf and the official client. The contract is in ../README.md."""

import argparse
import json
import logging
import os
import sys
import threading
import time

import kopf
import kubernetes
from kubernetes.client import ApiException, AppsV1Api, CoreV1Api, NetworkingV1Api, PolicyV1Api
from kubernetes.utils import parse_quantity

from render import JOB_ID, MANAGER, render

CELLS = ("yardstick.dev", "v1", "cells")
OURS = {"app.kubernetes.io/managed-by": MANAGER}
# Handlers that wait for the API server, each in a thread.
THREADS = 32
RETRY_SECONDS = 1

# Kind → the client's class and noun, and what kopf calls it.
KINDS = {
    "Namespace": (CoreV1Api, "namespace", ("v1", "namespaces")),
    "ServiceAccount": (CoreV1Api, "namespaced_service_account", ("v1", "serviceaccounts")),
    "ResourceQuota": (CoreV1Api, "namespaced_resource_quota", ("v1", "resourcequotas")),
    "LimitRange": (CoreV1Api, "namespaced_limit_range", ("v1", "limitranges")),
    "NetworkPolicy": (NetworkingV1Api, "namespaced_network_policy", ("networking.k8s.io", "v1", "networkpolicies")),
    "Deployment": (AppsV1Api, "namespaced_deployment", ("apps", "v1", "deployments")),
    "PodDisruptionBudget": (PolicyV1Api, "namespaced_pod_disruption_budget", ("policy", "v1", "poddisruptionbudgets")),
    "Service": (CoreV1Api, "namespaced_service", ("v1", "services")),
}


def call(verb, kind, metadata, **arguments):
    """One call of the official client; answers are not decoded, since nobody reads them."""
    api, noun, _ = KINDS[kind]
    where = {"namespace": metadata["namespace"]} if "namespace" in metadata else {}
    return getattr(api(), f"{verb}_{noun}")(**where, **arguments, _preload_content=False)


def create(wanted):
    """Makes an object; it is fine that it is there."""
    try:
        call("create", wanted["kind"], wanted["metadata"], body=wanted, field_manager=MANAGER)
    except ApiException as error:
        if error.status != 409:
            raise kopf.TemporaryError(f"{error.status} {error.body}", delay=RETRY_SECONDS) from error


def replace(wanted, found):
    """Refused when the object has changed since: then its event brings us back, or the handler's next try."""
    metadata = {**wanted["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}
    body = {**wanted, "metadata": metadata}
    try:
        call("replace", wanted["kind"], metadata, name=metadata["name"], body=body, field_manager=MANAGER)
    except ApiException as error:
        raise kopf.TemporaryError(f"{error.status} {error.body}", delay=RETRY_SECONDS) from error


def same(wanted, found):
    """Whether what is found has all that is wanted. Quantities may be written otherwise."""
    if isinstance(wanted, dict):
        return all(same(value, (found or {}).get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        found = found or []
        return len(wanted) == len(found) and all(map(same, wanted, found))
    return wanted == found or same_quantity(wanted, found)


def same_quantity(wanted, found):
    try:
        return isinstance(found, str) and parse_quantity(wanted) == parse_quantity(found)
    except ValueError:
        return False


def is_as_wanted(wanted, found):
    """The epoch is written with every change and never for its own sake."""
    content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind", "metadata")}
    return same(content, found) and same(wanted["metadata"]["labels"], found["metadata"].get("labels"))


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()
    settings.execution.max_workers = THREADS
    # As the handlers' decorators, but at the API server.
    for _api, _noun, resource in KINDS.values():
        settings.watching.label_selectors[resource[-1]] = f"app.kubernetes.io/managed-by={MANAGER}"


@kopf.on.login()
def login(**arguments):
    return kopf.login_with_kubeconfig(**arguments)


@kopf.index(*CELLS)
def cells(name, spec, **_):
    return {name: dict(spec)}


def index_children(resource, kind):
    """kopf's own cache of what is there."""

    @kopf.index(*resource, labels=OURS, id=f"found_{kind}")
    def found(body, **_):
        return {body["metadata"]["labels"].get(JOB_ID): body}


def keep_children(resource, kind):
    """Whatever somebody changes or deletes is put right, one object at a time."""

    @kopf.on.event(*resource, labels=OURS, id=f"keep_{kind}")
    def keep(event, body, cells, **_):
        job_id = body["metadata"]["labels"].get(JOB_ID)
        # What is made is as it shall be.
        if event["type"] == "ADDED" or job_id not in cells:
            return
        [spec] = cells[job_id]
        wanted = next((one for one in render(spec) if one["kind"] == kind), None)
        if wanted is None:
            return
        if event["type"] == "DELETED":
            create(wanted)
        elif not is_as_wanted(wanted, body):
            replace(wanted, body)


for each, (_, _, place) in KINDS.items():
    index_children(place, each)
    keep_children(place, each)


@kopf.on.create(*CELLS)
@kopf.on.resume(*CELLS)
@kopf.on.update(*CELLS, field="spec")
def ensure(spec, name, meta, status, patch, **indices):
    for wanted in render(spec):
        found = next(iter(indices[f"found_{wanted['kind']}"].get(name, [])), None)
        if found is None:
            create(wanted)
        elif not is_as_wanted(wanted, found):
            replace(wanted, found)
    if not status.get("ready") or status.get("observedGeneration") != meta["generation"]:
        patch.status["ready"] = True
        patch.status["observedGeneration"] = meta["generation"]


def tell_when(ready):
    ready.wait()
    print(json.dumps({"event": "synced", "atUnixMs": time.time() * 1000}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    options = parser.parse_args()
    os.environ["KUBECONFIG"] = options.kubeconfig
    kubernetes.config.load_kube_config(options.kubeconfig)
    configuration = kubernetes.client.Configuration.get_default_copy()
    configuration.connection_pool_maxsize = THREADS
    kubernetes.client.Configuration.set_default(configuration)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    ready = threading.Event()
    threading.Thread(target=tell_when, args=[ready], daemon=True).start()
    kopf.run(clusterwide=True, standalone=True, ready_flag=ready)


if __name__ == "__main__":
    main()
