#!/usr/bin/env bash
# Renders deploy/ from the chart, into the folder that is named or into deploy/ itself.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-deploy}
e2e/build.sh helm
helm=${INGORA_E2E_CACHE:-$HOME/.cache/ingora-e2e}/bin/helm
mkdir -p "$folder"

render() { # NAME SENTENCE FLAGS...
  local file=$folder/$1.yaml sentence=$2
  shift 2
  {
    echo "# $sentence"
    echo "# Rendered from charts/ingora; \`make manifests\` rewrites it. kubectl apply --filename THIS"
    echo "apiVersion: v1"
    echo "kind: Namespace"
    echo "metadata:"
    echo "  name: ingora"
    "$helm" template ingora charts/ingora --namespace ingora "$@" |
      grep -v -e '^# Source: ' -e 'helm.sh/chart: ' -e 'app.kubernetes.io/managed-by: Helm'
  } >"$file"
}

render cloud "Behind a load balancer of the cloud." --set controller.replicaCount=2
render baremetal "On every node, at its ports 80 and 443." --set controller.kind=DaemonSet \
  --set controller.hostPort.enabled=true --set controller.service.enabled=false --set controller.publishService.enabled=false
render namespaced "For one namespace, with rights in no other: the Ingresses of namespace ingora with the annotation kubernetes.io/ingress.class: ingora." \
  --set controller.scope.enabled=true --set rbac.scope=true --set controller.ingressClassResource.enabled=false
