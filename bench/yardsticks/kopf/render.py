"""The objects of a cell as dicts, in the order in which they are made: the same as src/plan/render/cell.ts."""

import re
from decimal import Decimal

MANAGER = "bulkhead"
JOB_ID = "bulkhead.dev/job-id"
EPOCH = "bulkhead.dev/epoch"
SURGE = 1
RUN_AS_USER = 65532
STORAGE = {"requests": "16Mi", "limits": "1Gi"}
API_VERSIONS = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
}


def render(spec):
    cell = [
        namespace(spec),
        obj(spec, "ServiceAccount", {"automountServiceAccountToken": False}),
        obj(spec, "ResourceQuota", {"spec": {"hard": quota(spec)}}),
        obj(spec, "LimitRange", {"spec": {"limits": [limits(spec)]}}),
        obj(spec, "NetworkPolicy", {"spec": network_policy()}),
        obj(spec, "Deployment", {"spec": deployment(spec)}),
        obj(spec, "PodDisruptionBudget", {"spec": disruption_budget(spec)}),
    ]
    return cell + ([obj(spec, "Service", {"spec": service(spec)})] if spec.get("ports") else [])


def identity(spec):
    return {
        "app.kubernetes.io/managed-by": MANAGER,
        "bulkhead.dev/store": spec["storeId"],
        JOB_ID: spec["jobId"],
        "bulkhead.dev/tenant": spec["tenant"],
        "bulkhead.dev/job": spec["job"],
    }


def selector(spec):
    return {JOB_ID: spec["jobId"]}


def obj(spec, kind, content):
    metadata = {
        "name": spec["name"],
        "namespace": spec["namespace"],
        "labels": {**identity(spec), "bulkhead.dev/revision": str(spec["revision"])},
        "annotations": {EPOCH: spec["mark"]},
    }
    return {"apiVersion": API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata, **content}


def namespace(spec):
    made = obj(spec, "Namespace", {})
    metadata = made["metadata"]
    metadata["name"] = metadata.pop("namespace")
    metadata["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    metadata["labels"]["pod-security.kubernetes.io/enforce-version"] = "latest"
    return made


def times(quantity, factor):
    number, suffix = re.fullmatch(r"([0-9.]+)(\w*)", quantity).groups()
    return f"{Decimal(number) * factor}{suffix}"


def quota(spec):
    pods = 2 * (spec["replicas"] + SURGE)
    hard = {"pods": str(pods)}
    for side, storage in STORAGE.items():
        for name, quantity in {**spec[side], "ephemeral-storage": storage}.items():
            hard[f"{side}.{name}"] = times(quantity, pods)
    return hard


def limits(spec):
    return {
        "type": "Container",
        "default": spec["limits"],
        "defaultRequest": spec["requests"],
        "max": spec["limits"],
    }


def network_policy():
    dns = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [dns]}


def deployment(spec):
    return {
        "replicas": spec["replicas"],
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": 120,
        "selector": {"matchLabels": selector(spec)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": identity(spec)}, "spec": pod(spec)},
    }


def pod(spec):
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(spec)},
    }
    return {
        "automountServiceAccountToken": False,
        "serviceAccountName": spec["name"],
        "serviceAccount": spec["name"],
        "enableServiceLinks": False,
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": RUN_AS_USER,
            "runAsGroup": RUN_AS_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        "containers": [container(spec)],
    }


def container(spec):
    ports = [
        {"name": p["name"], "containerPort": p["port"], "protocol": p["protocol"]} for p in spec.get("ports", [])
    ]
    return {
        "name": "worker",
        "image": spec["image"],
        "imagePullPolicy": "IfNotPresent",
        "env": spec.get("env", []),
        "ports": ports,
        "resources": {
            side: {**spec[side], "ephemeral-storage": storage} for side, storage in STORAGE.items()
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def disruption_budget(spec):
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector(spec)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def service(spec):
    return {
        "type": "ClusterIP",
        "clusterIP": "None",
        "selector": selector(spec),
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ports": [{**p, "targetPort": p["name"]} for p in spec["ports"]],
    }
