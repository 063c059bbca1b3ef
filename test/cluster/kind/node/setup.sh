#!/bin/bash
# Turns a Debian root file system into kind's node image, from within it (chroot, /proc and /dev mounted). It does what
# the Dockerfiles of kind's module do after their COPY lines, with Debian's own containerd, runc and CNI plugins.
#
#   setup.sh layer                  /build/layer.tar: the one layer that all pod images of the control plane share
#   setup.sh finish KUBERNETES PAUSE  the services, and the pod images of /build/pods.tar unpacked into containerd
#
# Before, /build holds: pause, kindnet.sh, kind/ (images/base/files of kind's module), default-cni.yaml,
# default-storage.yaml; and /usr/bin/localkube is every Kubernetes program in one.
set -euo pipefail

# What runs in pods besides localkube: kube-proxy and kindnet change the node's network with these.
tools=(bash coreutils sed grep iptables nftables conntrack iproute2 busybox-static)

layer() {
  local root=/build/layer files
  mkdir -p "$root"/{tmp,etc,proc,sys,dev,run,var,root,usr/{bin,sbin,lib,lib64,local/bin},etc/coredns}
  chmod 1777 "$root/tmp"
  files=$(mktemp)
  dpkg -L "${tools[@]}" | grep -vE '^/usr/share/' | while read -r f; do
    if [ -L "$f" ] || [ -f "$f" ]; then echo "$f"; fi
  done >"$files"
  # The libraries they load, and the links by which they are found. ldd fails on what is no program.
  while read -r f; do ldd "$f" 2>/dev/null || true; done <"$files" | grep -oE '/[^ ]+' | sort -u >"$files.libs"
  while read -r f; do echo "$f"; readlink -f "$f"; done <"$files.libs" >>"$files"
  tar -C / -cf - --no-recursion bin sbin lib lib64 -T <(sort -u "$files" | sed 's,^/,,') |
    tar -C "$root" -xf - --keep-directory-symlink
  rm "$files" "$files.libs"

  echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
  ln -s /run "$root/var/run"
  ln -sf bash "$root/usr/bin/sh"
  for name in iptables ip6tables; do
    for suffix in '' -save -restore; do ln -sf xtables-nft-multi "$root/usr/sbin/$name$suffix"; done
  done
  for name in nslookup ping ps; do [ -e "$root/usr/bin/$name" ] || ln -s busybox "$root/usr/bin/$name"; done
  cp /usr/bin/localkube "$root/usr/local/bin/"
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl coredns; do
    ln -s localkube "$root/usr/local/bin/$name"
  done
  install -m 755 /build/pause "$root/pause"
  install -m 755 /build/kindnet.sh "$root/kindnetd"
  tar -C "$root" --sort=name --numeric-owner -cf /build/layer.tar .
  rm -r "$root"
}

finish() {
  local kubernetes=$1 pause_image=$2
  cp -r --no-preserve=mode,ownership /build/kind/. /
  chmod 755 /usr/local/bin/* /kind /kind/bin /kind/bin/*
  mkdir -p /kind/manifests /etc/cni/net.d /etc/kubernetes/manifests /opt/cni
  cp --no-preserve=mode,ownership /build/default-{cni,storage}.yaml /kind/manifests/
  printf %s "$kubernetes" >/kind/version
  for name in kubelet kubeadm kubectl; do ln -sf localkube "/usr/bin/$name"; done
  for name in containerd ctr containerd-shim-runc-v2; do ln -sf "/usr/bin/$name" "/usr/local/bin/$name"; done
  rm -rf /opt/cni/bin
  ln -s /usr/lib/cni /opt/cni/bin
  sed -i "s,sandbox_image = .*,sandbox_image = \"$pause_image\"," /etc/containerd/config.toml
  grep -q "$pause_image" /etc/containerd/config.toml

  services
  ctr oci spec | jq 'del(.process.rlimits) | .hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}]' \
    >/etc/containerd/cri-base.json
  unpack_pod_images
}

services() {
  local system=/lib/systemd/system
  find "$system/sysinit.target.wants/" -name systemd-tmpfiles-setup.service -delete
  rm -f "$system"/multi-user.target.wants/* /etc/systemd/system/*.wants/* "$system"/local-fs.target.wants/* \
    "$system"/sockets.target.wants/*{udev,initctl}* "$system"/basic.target.wants/*
  mkdir -p /etc/systemd/journald.conf.d
  printf '[Journal]\nReadKMsg=no\n' >/etc/systemd/journald.conf.d/kind.conf
  systemctl enable kubelet.service containerd.service undo-mount-hacks.service
  # It registers things kernel-wide.
  systemctl mask systemd-binfmt.service
}

# Done here once, or every new node would take a minute to do it.
unpack_pod_images() {
  local socket=/build/containerd.sock snapshots=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots
  local blobs=/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256
  cat >/build/containerd.toml <<TOML
version = 2
root = "/var/lib/containerd"
state = "/build/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$socket"
TOML
  containerd --config /build/containerd.toml >/build/containerd.log 2>&1 &
  local daemon=$!
  for _ in $(seq 100); do [ -S "$socket" ] && break || sleep 0.1; done
  ctr -a "$socket" -n k8s.io images import --snapshotter overlayfs /build/pods.tar
  kill "$daemon"
  wait "$daemon" || true
  # What is unpacked needs no blob any more, and the biggest file need not be there twice.
  rm "$blobs/$(sha256sum </build/layer.tar | cut -d' ' -f1)"
  for copy in "$snapshots"/*/fs/usr/local/bin/localkube; do ln -f /usr/bin/localkube "$copy"; done
}

"$@"
