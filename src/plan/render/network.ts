import type { EffectiveSpec } from '../../job/defaults.ts';
import { rangeContains } from '../../job/ipv4.ts';
import type { PeerSpec } from '../../job/spec.ts';
import { LABELS } from '../objects.ts';

/** Cluster DNS, where every common distribution runs it. Port 53 of other places stays closed: DNS is a way out. */
const DNS_RULE = {
  to: [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
      podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    },
  ],
  ports: [
    { port: 53, protocol: 'UDP' },
    { port: 53, protocol: 'TCP' },
  ],
};

const renderPorts = (peer: PeerSpec) =>
  (peer.ports ?? []).map((p) => ({ port: p.port, protocol: p.protocol ?? 'TCP' }));

/**
 * Where clouds keep a node's own credentials and settings (RFC 3927 link-local). The schema refuses ranges inside of it;
 * a larger range that contains it leaves it out.
 */
const LINK_LOCAL = '169.254.0.0/16';

const ipBlock = (cidr: string): Record<string, unknown> =>
  rangeContains(cidr, LINK_LOCAL) ? { cidr, except: [LINK_LOCAL] } : { cidr };

/**
 * A job is named within its own tenant, so a spec can never open a way to another tenant's workers. Its tier may change
 * at any time, so both places in which its workers may be are named: a namespace of its own, and the tenant's.
 */
function renderPeer(peer: PeerSpec, tenant: string, storeId: string): Record<string, unknown>[] {
  if (peer.cidr !== undefined) return [{ ipBlock: ipBlock(peer.cidr) }];
  const labels = { [LABELS.store]: storeId, [LABELS.tenant]: tenant, [LABELS.job]: peer.job ?? '' };
  return [
    { namespaceSelector: { matchLabels: labels } },
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': tenant } },
      podSelector: { matchLabels: labels },
    },
  ];
}

/**
 * Default deny both ways; DNS and what the spec names are allowed, nothing else.
 * @param workers labels of the pods that the policy is for; none for all in the namespace
 */
export function networkPolicySpec(
  spec: EffectiveSpec,
  tenant: string,
  storeId: string,
  workers: Readonly<Record<string, string>> = {},
): Record<string, unknown> {
  return {
    podSelector: Object.keys(workers).length > 0 ? { matchLabels: workers } : {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: spec.network.ingress.map((peer) => ({
      from: renderPeer(peer, tenant, storeId),
      ports: renderPorts(peer),
    })),
    egress: [
      DNS_RULE,
      ...spec.network.egress.map((peer) => ({ to: renderPeer(peer, tenant, storeId), ports: renderPorts(peer) })),
    ],
  };
}
