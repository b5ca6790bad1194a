# shellcheck shell=bash
# Certificates, kubeconfigs and configuration files of one cluster. Sourced by tools/cluster.

# openssl prints progress on stderr and its errors too: keep both in the log that the step writes.
pki_cert() {
  local name=$1 subject=$2
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out "$name.csr" -subj "$subject"
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$name.crt" -extfile san.ext
  rm "$name.csr"
}

make_pki() {
  local part=$STATE/pki.part
  [ ! -d "$STATE/pki" ] || return 0
  rm -rf "$part"
  mkdir -p "$part"
  chmod 700 "$part"
  cd "$part" || return
  # 127.0.0.1 for the clients in the node, SERVICE_IP for pods, NODE_IP for the kubelet's own server.
  printf 'subjectAltName=IP:127.0.0.1,IP:%s,IP:%s,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:%s\n' \
    "$SERVICE_IP" "$NODE_IP" "$NODE" >san.ext
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=tundra-cluster-ca
  openssl genrsa -out sa.key 2048
  openssl rsa -in sa.key -pubout -out sa.pub
  pki_cert apiserver /CN=kube-apiserver
  pki_cert kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  pki_cert admin /O=system:masters/CN=admin
  pki_cert scheduler /CN=system:kube-scheduler
  pki_cert kcm /CN=system:kube-controller-manager
  pki_cert proxy /CN=system:kube-proxy
  pki_cert kubelet "/O=system:nodes/CN=system:node:$NODE"
  mv -T "$part" "$STATE/pki"
}

write_kubeconfig() {
  cat >"$STATE/conf/$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: tundra
  cluster: {server: "$API_SERVER", certificate-authority: "$STATE/pki/ca.crt"}
users:
- name: $1
  user: {client-certificate: "$STATE/pki/$1.crt", client-key: "$STATE/pki/$1.key"}
contexts:
- name: tundra
  context: {cluster: tundra, user: $1}
current-context: tundra
EOF
}

write_containerd_config() {
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE (sandboxes, nested machines) no score below one's own can be set.
  # opt, nri: their default folders lie outside the cluster's state.
  cat >"$STATE/conf/containerd.toml" <<EOF
version = 3
root = '$STATE/containerd'
state = '/run/containerd'
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing']
[grpc]
  address = '$RUNTIME_SOCKET'
[plugins.'io.containerd.internal.v1.opt']
  path = '$STATE/containerd-opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '$PAUSE_IMAGE'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  enable_cdi = true
  cdi_spec_dirs = ['/etc/cdi', '/var/run/cdi']
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
    conf_dir = '$STATE/conf/cni'
EOF
}

write_cni_config() {
  # The default route is what lets pods reach the service range; there is nothing else out there.
  cat >"$STATE/conf/cni/10-bridge.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "$POD_CIDR", "gateway": "$NODE_IP", "rangeStart": "$POD_FIRST", "rangeEnd": "$POD_LAST"}]]}}]}
EOF
}

write_kubelet_config() {
  # No DNS server answers at clusterDNS; without an address the kubelet warns about every pod.
  # Images cannot be pulled again, so the kubelet must not collect them when the machine's disk fills up.
  cat >"$STATE/conf/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$STATE/pki/ca.crt"}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet.crt
tlsPrivateKeyFile: $STATE/pki/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://$RUNTIME_SOCKET
resolvConf: ""
clusterDNS: ["$DNS_IP"]
evictionHard: {memory.available: "50Mi", nodefs.available: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
$([ -z "$KUBELET_GATES" ] || printf 'featureGates: {%s}' "${KUBELET_GATES//=/: }")
EOF
}

write_proxy_config() {
  # What a pod of a further node asks of a service is answered by node 1 over the common network: it must come back by the way it went.
  # The proxy ends when its file is written, even with the same.
  cat >"$STATE/conf/proxy.new" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0}
nftables: {masqueradeAll: $([ "$INDEX" = 1 ] && echo false || echo true)}
clientConnection: {kubeconfig: "$STATE/conf/proxy.kubeconfig"}
EOF
  cmp -s "$STATE/conf/proxy.new" "$STATE/conf/proxy.yaml" || cp "$STATE/conf/proxy.new" "$STATE/conf/proxy.yaml"
}

write_audit_policy() {
  # Who asked what about claims and slices: tests count the driver's requests with it.
  cat >"$STATE/conf/audit.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts", "system:nodes"]
  resources: [{group: resource.k8s.io}]
- level: None
EOF
}

write_configs() {
  local u
  mkdir -p "$STATE/conf/cni"
  for u in admin scheduler kcm proxy kubelet; do write_kubeconfig "$u"; done
  write_containerd_config
  write_cni_config
  write_kubelet_config
  write_proxy_config
  write_audit_policy
}
