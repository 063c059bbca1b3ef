#!/bin/bash
# The pod network of the node image, in the place of kind's kindnetd: this node's CNI configuration, a route to every
# other node's pods, and masquerading of what leaves the cluster. It knows no NetworkPolicy.
# Environment: NODE_NAME, POD_SUBNET.
set -u
config=/etc/cni/net.d/10-kindnet.conflist

masquerade=(POSTROUTING -s "$POD_SUBNET" ! -d "$POD_SUBNET" -j MASQUERADE)
iptables -w -t nat -C "${masquerade[@]}" 2>/dev/null || iptables -w -t nat -A "${masquerade[@]}"

configure_self() {
  [ -s "$config" ] && return
  cat >"$config.tmp" <<JSON
{"cniVersion": "0.3.1", "name": "kindnet", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "$1"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  mv "$config.tmp" "$config"
  echo "wrote $config for $1"
}

nodes='{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}'
while :; do
  # The watch ends now and then; a node without its range or address yet will be seen again when it has them.
  kubectl get nodes --watch -o "jsonpath=$nodes" | while read -r name subnet address; do
    [ -n "${address:-}" ] || continue
    if [ "$name" = "$NODE_NAME" ]; then configure_self "$subnet"; else ip route replace "$subnet" via "$address"; fi
  done
  sleep 1
done
